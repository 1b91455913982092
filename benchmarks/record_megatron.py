"""Records what Megatron-LM's unmodified code makes of sets of arguments, which its record in hptransfer is pinned to.

    git -C MIRROR archive d98e8a64 megatron | tar x -C CHECKOUT
    python -m benchmarks.record_megatron CHECKOUT d98e8a64 > tests/data/megatron_mup.json

CHECKOUT is a folder outside the repository; its code runs in a process of its own, on a CPU, and none of it is copied.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from hptransfer.export._megatron_flags import python_text
from hptransfer.handover.megatron import Python
from hptransfer.roundtrip._megatron_own import own_rows

ITERATIONS = (0, 1, 5, 9, 10, 11, 40, 80, 90, 99)
_LLAMA = (
    "--swiglu --normalization RMSNorm --disable-bias-linear --position-embedding-type rope "
    "--untie-embeddings-and-output-weights --group-query-attention --num-query-groups 2"
)
_COMMON = (
    "--num-attention-heads 4 --seq-length 32 --max-position-embeddings 32 --train-iters 100 --global-batch-size 8 "
    "--lr 0.01 --lr-warmup-iters 10"
)
_MUP = "--use-mup --mup-base-hidden-size 64 --mup-base-head-dim 16"


def _sized(width: int, depth: int, more: str) -> str:
    return f"--num-layers {depth} --hidden-size {width} {_COMMON} {more}"


#: name -> arguments
SETS = {
    "base": _sized(64, 2, f"{_LLAMA} {_MUP}"),
    "wide": _sized(192, 2, f"{_LLAMA} {_MUP} --min-lr 0.001 --weight-decay 0.1 --adam-eps 1e-7"),
    "wide and deep": _sized(128, 4, f"{_LLAMA} {_MUP} --init-method-std 0.05 --embedding-init-method-std 0.7"),
    "narrow": _sized(32, 3, f"{_LLAMA} {_MUP}"),
    "no switch": _sized(192, 2, f"{_LLAMA} --embedding-init-method-std 0.7"),
    "no base width": _sized(192, 2, f"{_LLAMA} --use-mup --mup-base-head-dim 16"),
    "no base head": _sized(192, 2, f"{_LLAMA} --use-mup --mup-base-hidden-size 64"),
    "head power": _sized(192, 2, f"{_LLAMA} {_MUP} --kv-channels 32 --mup-attn-scale-power 0.5"),
    "logits by hand": _sized(192, 2, f"{_LLAMA} {_MUP} --mup-output-mult 0.3333333333333333"),
    "logits of the base": _sized(192, 2, f"{_LLAMA} {_MUP} --mup-output-mult 2.0 --mup-embedding-mult 3.0"),
    "own width as base": _sized(192, 2, f"{_LLAMA} --use-mup --mup-base-hidden-size 192 --mup-output-mult 0.25"),
    "gpt2": _sized(128, 2, _MUP),
    "qwen": _sized(128, 2, f"{_LLAMA} {_MUP} --add-qkv-bias --qk-layernorm --ffn-hidden-size 352"),
    "gelu": _sized(128, 2, f"{_MUP} --disable-bias-linear --no-bias-gelu-fusion --normalization RMSNorm"),
    "sgd": _sized(192, 2, f"{_LLAMA} {_MUP} --optimizer sgd --min-lr 0.001"),
    "muon": _sized(192, 2, f"{_MUP} --optimizer muon --muon-scale-mode unit_rms_norm --disable-bias-linear"),
    "cosine": _sized(64, 1, f"{_LLAMA} --lr-decay-style cosine --min-lr 0.002"),
    "constant": _sized(64, 1, f"{_LLAMA} --lr-decay-style constant"),
    "wsd": _sized(64, 1, f"{_LLAMA} --lr-decay-style WSD --lr-wsd-decay-style linear --lr-wsd-decay-iters 20"),
    "wsd by default": _sized(64, 1, f"{_LLAMA} --lr-decay-style WSD --lr-wsd-decay-iters 20 --min-lr 0.001"),
    "wsd cosine": _sized(64, 1, f"{_LLAMA} --lr-decay-style WSD --lr-wsd-decay-style cosine --lr-wsd-decay-iters 20"),
    "wsd root": _sized(64, 1, f"{_LLAMA} --lr-decay-style WSD --lr-wsd-decay-style minus_sqrt --lr-wsd-decay-iters 20"),
    "root": _sized(64, 1, f"{_LLAMA} --lr-decay-style inverse-square-root --min-lr 0.004"),
    "root at once": _sized(64, 1, f"{_LLAMA} --lr-decay-style inverse-square-root --lr-warmup-iters 0"),
    "shorter decay": _sized(64, 1, f"{_LLAMA} --lr-decay-iters 50 --min-lr 0.001 --lr-warmup-init 0.0005"),
}
#: name -> (arguments, what a Python file adds)
WITH_PYTHON = {
    "decay of hidden matrices and of vectors": (
        _sized(192, 2, f"{_LLAMA} {_MUP} --weight-decay 0.1"),
        Python(
            [(("*linear_*.weight",), {"wd_mult": 3.0}), (("*layer*norm*weight",), {"wd_mult": 1.0, "eps": 1e-9})],
            {192: 0.03, 512: 0.04},
        ),
    ),
    "final values": (
        _sized(192, 2, f"{_LLAMA} --use-mup --mup-base-hidden-size 192 --mup-base-head-dim 16"),
        Python([(("*linear_*.weight",), {"max_lr": 0.002, "min_lr": 0.0002, "eps": 1e-10, "wd_mult": 5.0})], {}),
    ),
}


def main(checkout: Path, commit: str) -> None:
    """Prints the record of all sets as JSON.

    Args:
        checkout: of Megatron-LM, outside the repository.
        commit: that it is at, kept in the record.
    """
    found: dict[str, Any] = {}
    for name, arguments in SETS.items():
        found[name] = {"arguments": arguments, **_recorded(arguments, None, checkout)}
    for name, (arguments, python) in WITH_PYTHON.items():
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "hptransfer_megatron.py"
            file.write_text(python_text(python), encoding="utf-8")
            own = {"overrides": python.overrides, "output_std": python.output_std}
            found[name] = {"arguments": arguments, "python": own, **_recorded(arguments, file, checkout)}
    *_, defaults = [each.pop("defaults") for each in found.values()]
    command = f"python -m benchmarks.record_megatron CHECKOUT {commit}"
    said = {"repository": "NVIDIA/Megatron-LM", "commit": commit, "command": command, "iterations": ITERATIONS}
    print(json.dumps({**said, "defaults": defaults, "sets": found}, indent=None, separators=(",", ":")))


def _recorded(arguments: str, python: Path | None, checkout: Path) -> dict[str, Any]:
    print(arguments, file=sys.stderr)
    return dict(own_rows(arguments.split(), python, checkout=checkout, iterations=ITERATIONS))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
