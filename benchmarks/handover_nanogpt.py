"""A framework that applies muP by itself, end to end on a CPU: is a planted double scaling seen by `verify`?

`python -m benchmarks.handover_nanogpt CHECKOUT [WORK]`: CHECKOUT is a git clone of EleutherAI/nanoGPT-mup, bare or not.
Its code is taken at commit b2a5e60, unmodified, and never copied into this repository. WORK is a folder that the same
call goes on with; default: a temporary one. Only public commands are used:

    hptransfer tune, check        the framework's own `train.py` is the trainer (benchmarks/data/handover_nanogpt.yaml)
    hptransfer scale --format nanogpt-mup
    python train.py config.py hptransfer_config.py     the target, 5 seeds that nobody used before
    hptransfer verify             each run against the prediction that was registered

and then the last two again with the export edited as someone does who scales by hand: `learning_rate` already divided
by the width's growth, while the framework divides too. Sizes were chosen by what a run takes, before any verdict.
"""

from __future__ import annotations

import hashlib
import os
import pickle
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import yaml

COMMIT = "b2a5e60948d2e11885dc76c1355af98705f54a70"
RECIPE = Path(__file__).parent / "data" / "handover_nanogpt.yaml"
SEEDS = range(9000, 9005)
#: two runs at a time, a thread each
AT_ONCE = 2
#: the user's own configuration of nanoGPT: all that does not change with the size
CONFIG = """\
device, compile, dtype = 'cpu', False, 'float32'
dataset = {data!r}
n_layer, n_head, block_size, bias = 2, 4, 64, False
batch_size, gradient_accumulation_steps = 8, 1
init_std = 0.02
mup_enabled = True
max_iters, eval_interval, eval_iters, log_interval = 300, 300, 80, 10
warmup_iters, lr_decay_iters, min_lr = 30, 300, 0.0
beta1, beta2, grad_clip = 0.9, 0.95, 1.0
always_save_checkpoint, never_save_checkpoint = False, True
"""
_FINAL = re.compile(r"^step [1-9]\d*: train loss \S+, val loss (\S+)", re.MULTILINE)


def prepare(checkout: Path, work: Path) -> None:
    """The framework's code, its data from the standard library's sources, its configuration and the recipe."""
    code = work / "checkout"
    code.mkdir(parents=True, exist_ok=True)
    archive = subprocess.run(["git", "-C", str(checkout), "archive", COMMIT], check=True, capture_output=True).stdout
    subprocess.run(["tar", "-x", "-C", str(code)], input=archive, check=True)
    data = work / "data"
    data.mkdir(exist_ok=True)
    folder = Path(sysconfig.get_path("stdlib"))
    text = np.frombuffer(b"\n".join(path.read_bytes() for path in sorted(folder.glob("*.py"))), np.uint8)
    # characters beyond ASCII are question marks, so that the vocabulary has 128
    tokens = np.where(text < 128, text, ord("?")).astype(np.uint16)
    held_out = len(tokens) // 10
    tokens[:-held_out].tofile(data / "train.bin")
    tokens[-held_out:].tofile(data / "val.bin")
    (data / "meta.pkl").write_bytes(pickle.dumps({"vocab_size": 128}))
    (work / "config.py").write_text(CONFIG.format(data=str(data.resolve())))
    shutil.copy(RECIPE, work / "recipe.yaml")
    digest = hashlib.sha256(tokens.tobytes()).hexdigest()
    print(f"nanoGPT-mup {COMMIT[:7]}; {len(tokens):,} characters, sha256 {digest[:16]}")


def hptransfer(work: Path, *words: str) -> tuple[int, str]:
    """Exit status and what a public command printed; what it says on the way goes to stderr."""
    command = [sys.executable, "-m", "hptransfer", *words]
    # `verify --export` reads through the framework's own code
    environment = _environment() | {"HPTRANSFER_NANOGPT_MUP": str(work / "checkout")}
    found = subprocess.run(command, cwd=work, check=False, stdout=subprocess.PIPE, text=True, env=environment)
    return found.returncode, found.stdout.strip()


def _environment() -> dict[str, str]:
    here = str(Path(__file__).parents[1])
    path = os.pathsep.join([here, *filter(None, [os.environ.get("PYTHONPATH")])])
    return {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}


def trained(work: Path, export: Path, seed: int) -> float:
    """The loss of one run of the target by the framework's own command, from an exported file as it is."""
    out = work / "targets" / export.parent.name / str(seed)
    printed = out / "stdout.txt"
    if not printed.exists() or not _FINAL.search(printed.read_text()):
        out.mkdir(parents=True, exist_ok=True)
        words = ["train.py", "../config.py", str(export), f"--seed={seed}", f"--out_dir={out}"]
        with printed.open("w") as stdout, (out / "stderr.txt").open("w") as stderr:
            subprocess.run(
                [sys.executable, *words], cwd=work / "checkout", check=True, stdout=stdout, stderr=stderr,
                env=_environment(),
            )  # fmt: skip
    return float(_FINAL.findall(printed.read_text())[-1])


def verified(work: Path, name: str, losses: Mapping[int, float]) -> None:
    """A line for each run, with what `verify` says of it, and how many are inside."""
    inside = 0
    for seed, loss in losses.items():
        status, said = hptransfer(work, "verify", "recipe.yaml", repr(loss))
        inside += status == 0
        print(f"  {name:15} seed {seed}: {loss:.4f}  exit {status}  {said.splitlines()[0] if said else ''}")
    print(f"  {name:15} {inside} of {len(losses)} INSIDE, mean {sum(losses.values()) / len(losses):.4f}", flush=True)


def doubly_scaled(export: Path, growth: float) -> Path:
    """A copy of the export whose rate was divided by hand, although the framework divides too."""
    copy = export.parent.with_name("double-scaling") / export.name
    shutil.copytree(export.parent, copy.parent, dirs_exist_ok=True)
    text = export.read_text()
    found = re.search(r"^learning_rate = (\S+)", text, re.MULTILINE)
    assert found is not None
    copy.write_text(text.replace(found[0], f"learning_rate = {float(found[1]) / growth!r}"))
    print(f"planted: {found[0]} -> {float(found[1]) / growth!r}")
    return copy


def _shown(work: Path, words: Sequence[str]) -> int:
    """Runs a public command, prints what it printed, and returns its exit status."""
    started = time.perf_counter()
    status, said = hptransfer(work, *words)
    took = time.perf_counter() - started
    print(f"\n$ hptransfer {' '.join(words)}   (exit {status}, {took:.0f} s)\n{said}", flush=True)
    return status


def run(work: Path) -> None:
    """Every command after the other; each goes on where an earlier call ended."""
    scale = ["scale", "recipe.yaml", "--format", "nanogpt-mup"]
    status = 0
    for words in (["tune", "recipe.yaml"], ["check", "recipe.yaml"], scale):
        status = _shown(work, words)
    if status:
        # the verdict or its scope is above and in every file; the prediction was registered all the same
        _shown(work, [*scale, "--force"])
    folder = work / "runs" / "handover-nanogpt"
    target = yaml.safe_load((folder / "target.yaml").read_text())
    export = (folder / "export" / "nanogpt-mup" / "hptransfer_config.py").resolve()
    loss = target["prediction"]["loss"]
    print(f"\nregistered: {loss['estimate']:.4f} ({loss['low']:.4f} to {loss['high']:.4f})")
    copies = {
        "as exported": export,
        "double scaling": doubly_scaled(export, target["size"]["width"] / target["base"]["width"]),
    }
    for name, path in copies.items():
        status, said = hptransfer(work, "verify", "--export", str(path))
        print(f"\n$ hptransfer verify --export {path.parent.name}   (exit {status})\n{said}", flush=True)
        started = time.perf_counter()
        with ThreadPoolExecutor(AT_ONCE) as pool:
            losses = dict(zip(SEEDS, pool.map(lambda seed, of=path: trained(work, of, seed), SEEDS), strict=True))
        print(
            f"  trained in {time.perf_counter() - started:.0f} s: python train.py ../config.py {path.name} --seed=SEED"
        )
        verified(work, name, losses)


def main(arguments: Sequence[str]) -> None:
    """Everything, in WORK or in a temporary folder."""
    checkout = Path(arguments[0]).resolve()
    started = time.perf_counter()
    if len(arguments) > 1:
        work = Path(arguments[1]).resolve()
        prepare(checkout, work)
        run(work)
    else:
        with tempfile.TemporaryDirectory() as folder:
            prepare(checkout, Path(folder))
            run(Path(folder))
    print(f"\n{(time.perf_counter() - started) / 60:.0f} min in all")


if __name__ == "__main__":
    main(sys.argv[1:])
