"""Records what nanoGPT-mup's own code makes of configurations, for tests on machines without a checkout.

`python -m benchmarks.nanogpt_mup_golden CHECKOUT > tests/data/nanogpt_mup.json`: CHECKOUT is a git clone of
EleutherAI/nanoGPT-mup (bare or not) with its branches. Its code is taken unmodified, at the two commits below, into a
temporary folder; the values are read as `hptransfer verify --export` reads them (hptransfer/roundtrip/nanogpt_mup.py).
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from hptransfer.handover.nanogpt_mup import COMPLETEP_DEFAULTS, DEFAULTS
from hptransfer.roundtrip.nanogpt_mup import defaults_of, through_code

COMMITS = {
    "master": "b2a5e60948d2e11885dc76c1355af98705f54a70",
    "completep": "6f8bc3bdc744556141255f810a22387b2255b6c1",
}
STEPS = (0, 1, 7, 10, 55, 99, 100, 101)
_SIZE = {"n_layer": 2, "n_head": 2, "n_embd": 64, "warmup_iters": 10, "lr_decay_iters": 100, "max_iters": 100}
_ON = _SIZE | {"mup_enabled": True}
_CASES: tuple[dict[str, Any], ...] = (
    _SIZE,
    _ON,
    _ON | {"mup_width_multiplier": 3.0, "n_embd": 192, "bias": True, "min_lr": 1e-4, "learning_rate": 0.01},
    _ON | {"mup_width_multiplier": 8.0, "n_layer": 4, "init_std": 0.05, "weight_decay": 0.3, "n_head": 4},
    _ON | {"mup_width_multiplier": 4.0, "mup_disable_hidden_lr_scaling": True, "decay_lr": False},
    _ON | {"mup_width_multiplier": 4.0, "mup_disable_attention_scaling": True, "beta2": 0.99, "grad_clip": 0.0},
    _ON | {"mup_width_multiplier": 4.0, "mup_input_alpha": 2.0, "mup_output_alpha": 0.5},
)
_DEEP = {"depth_alpha_enabled": True, "depth_multiplier": 2.0}
_DEEP_CASES: tuple[dict[str, Any], ...] = (
    _ON | {"mup_width_multiplier": 3.0, "n_layer": 4, "bias": True, **_DEEP, "adam_eps": 1e-8},
    _ON | {"mup_width_multiplier": 3.0, **_DEEP, "depth_alpha_exp": 0.5},
    _SIZE | _DEEP,
    _ON | {"mup_width_multiplier": 3.0, "mup_disable_hidden_lr_scaling": True, **_DEEP},
)


def checked_out(clone: Path, branch: str, folder: Path) -> Path:
    """The framework's code at a branch's commit, in a folder of its own.

    Args:
        clone: a git clone of the framework.
        branch: a key of `COMMITS`.
        folder: that the code's folder is made in.
    """
    code = folder / branch
    code.mkdir(parents=True)
    command = ["git", "-C", str(clone), "archive", COMMITS[branch]]
    archive = subprocess.run(command, check=True, capture_output=True).stdout
    subprocess.run(["tar", "-x", "-C", str(code)], input=archive, check=True)
    return code


def _record(code: Path, folder: Path, case: Mapping[str, Any]) -> dict[str, Any]:
    path = folder / "case.py"
    path.write_text("".join(f"{key} = {value!r}\n" for key, value in case.items()))
    reading = through_code(code, path)
    assert reading.schedule is not None
    return {
        "config": dict(case),
        "rows": {
            row.name: [row.init_std, row.learning_rate, row.weight_decay, row.eps, row.multiplier]
            for row in reading.parameters
        },
        "factors": {str(step): reading.schedule(step) for step in STEPS},
    }


def main() -> None:
    """Print the JSON."""
    clone = Path(sys.argv[1])
    content: dict[str, Any] = {
        "source": "EleutherAI/nanoGPT-mup, unmodified",
        "command": "python -m benchmarks.nanogpt_mup_golden CHECKOUT > tests/data/nanogpt_mup.json",
        "torch": torch.__version__,
        "branches": {},
    }
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for branch, commit in COMMITS.items():
            code = checked_out(clone, branch, folder)
            cases = _CASES + (_DEEP_CASES if branch == "completep" else ())
            known = {**DEFAULTS, **(COMPLETEP_DEFAULTS if branch == "completep" else {})}
            content["branches"][branch] = {
                "commit": commit,
                "defaults": {name: value for name, value in defaults_of(code).items() if name in known},
                "cases": [_record(code, folder, case) for case in cases],
            }
    # a row of numbers on one line
    print(
        re.sub(
            r"\[\s+([^\[\]{}]+?)\s+\]", lambda row: "[" + " ".join(row[1].split()) + "]", json.dumps(content, indent=1)
        )
    )


if __name__ == "__main__":
    main()
