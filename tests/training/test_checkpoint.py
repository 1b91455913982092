"""Checkpoints of long trials: a trial that is killed goes on bit for bit; a file that is not its own is not used."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from hptransfer.training.checkpoint import Checkpoint
from hptransfer.training.data import Corpus
from hptransfer.training.loop import TrainingSettings, train

KEY = "0123456789abcdef" * 4
SETTINGS = TrainingSettings(steps=40, batch_size=8, context=4, evaluation_batches=3, warmup=0.2, schedule="cosine")
#: trains for ever so often slowed steps with a checkpoint after each; killed from outside
SCRIPT = """
import sys, time
from pathlib import Path
sys.path.insert(0, {root!r})
from tests.training.test_checkpoint import *
from tests.training.conftest import TEXT
import hashlib, numpy as np
corpus = Corpus(np.frombuffer(TEXT[:3000], np.uint8), np.frombuffer(TEXT[3000:], np.uint8), "x")
def slow(step, loss):
    print(step, flush=True)
    time.sleep(0.02)
run(corpus, Checkpoint(Path({folder!r}), KEY, 0.0), on_loss=slow)
"""


def resuming(script: str) -> str:
    """The script that ends, and prints its loss."""
    return script.replace("run(corpus", "print('loss', run(corpus").replace("slow)", "slow).loss)")


class Dropped(nn.Module):
    """Draws random numbers of its own while it trains: a checkpoint without them would go on otherwise."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Embedding(256, 8), nn.Flatten(), nn.Dropout(0.2), nn.Linear(32, 256))

    def forward(self, context_BxC: torch.Tensor) -> torch.Tensor:
        """Logits of the next byte."""
        logits_BxV: torch.Tensor = self.layers(context_BxC)
        return logits_BxV


def run(corpus: Corpus, checkpoint: Checkpoint | None = None, **given: Any) -> Any:
    """Train a fresh model, two groups with different rates."""
    torch.manual_seed(0)
    module = Dropped()
    first, *others = module.parameters()
    groups = [
        {"params": [first], "lr": 0.02, "weight_decay": 0.1, "eps": 1e-8},
        {"params": others, "lr": 0.005, "weight_decay": 0.0, "eps": 1e-8},
    ]
    return train(module, groups, corpus, SETTINGS, 3, checkpoint=checkpoint, **given)


class Stop(Exception):  # noqa: N818  # no error
    """Ends a run from within, as a kill would."""


def interrupted(corpus: Corpus, folder: Path, after: int) -> None:
    """Leaves a checkpoint of a run that ended after so many steps."""

    def end(step: int, loss: float) -> None:
        if step == after + 1:
            raise Stop

    with pytest.raises(Stop):
        run(corpus, Checkpoint(folder, KEY, 0.0), on_loss=end)


@pytest.mark.parametrize("after", [1, 7, 39])
def test_an_interrupted_run_ends_as_the_whole_one(corpus: Corpus, tmp_path: Path, after: int) -> None:
    """Loss and curve are equal to the last bit, dropout, schedule and Adam's averages included."""
    whole = run(corpus)
    interrupted(corpus, tmp_path, after)
    seen: list[int] = []
    resumed = run(corpus, Checkpoint(tmp_path, KEY, 1e9), on_loss=lambda step, _: seen.append(step))

    assert seen[0] == after + 1  # nothing is trained twice
    assert (resumed.state, resumed.loss, resumed.curve) == (whole.state, whole.loss, whole.curve)


def test_a_run_that_was_killed_ends_as_the_whole_one(tmp_path: Path) -> None:
    """Kill -9 at any moment leaves a file that can be read."""
    root = str(Path(__file__).parents[2])
    script = SCRIPT.format(root=root, folder=str(tmp_path))
    environment = os.environ | {"PYTHONPATH": root}
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, env=environment) as child:
        assert child.stdout is not None
        for line in child.stdout:
            if int(line) >= 12:
                break
        child.send_signal(signal.SIGKILL)

    def finish(folder: Path) -> list[str]:
        finishing = resuming(SCRIPT.format(root=root, folder=str(folder)))
        done = subprocess.run(
            [sys.executable, "-c", finishing], capture_output=True, text=True, env=environment, check=True
        )
        return done.stdout.split()

    lines, whole = finish(tmp_path), finish(tmp_path / "other")

    assert int(lines[0]) >= 12
    assert int(whole[0]) == 1
    assert lines[-1] == whole[-1]


def test_a_short_run_writes_nothing(corpus: Corpus, tmp_path: Path) -> None:
    """The first one is due after a minute."""
    run(corpus, Checkpoint(tmp_path / "checkpoints", KEY))

    assert list(tmp_path.iterdir()) == []


def test_the_file_of_another_trial_is_not_used(corpus: Corpus, tmp_path: Path) -> None:
    """Its key is in the file, not in its name alone."""
    interrupted(corpus, tmp_path, 7)
    other = "f" * 64
    (tmp_path / f"{KEY}.pt").rename(tmp_path / f"{other}.pt")
    seen: list[int] = []
    run(corpus, Checkpoint(tmp_path, other, 1e9), on_loss=lambda step, _: seen.append(step))

    assert seen[0] == 1


class Payload:
    """What a hostile file would run."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (os.system, ("touch hacked",))


def damages() -> Iterator[tuple[str, bytes]]:
    """Contents of files that are no checkpoint."""
    yield "empty", b""
    yield "text", b"no checkpoint"
    yield "pickle", pickle.dumps(Payload())


@pytest.mark.parametrize(("name", "content"), list(damages()))
def test_a_damaged_or_hostile_file_is_no_checkpoint(
    corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, content: bytes
) -> None:
    """The trial begins anew; nothing in the file is run."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / f"{KEY}.pt").write_bytes(content)
    seen: list[int] = []
    run(corpus, Checkpoint(tmp_path, KEY, 1e9), on_loss=lambda step, _: seen.append(step))

    assert seen[0] == 1
    assert not (tmp_path / "hacked").exists()
