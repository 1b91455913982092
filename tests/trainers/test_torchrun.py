"""Trials of several processes, started by torchrun with gloo: the same loss, and a killed process costs one trial."""

from __future__ import annotations

import os
import re
import signal
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from hptransfer.errors import RecipeError
from hptransfer.execution.outcome import Failure, Success, classify_exception
from hptransfer.execution.pool import WorkerPool
from hptransfer.recipe.load import load_recipe
from hptransfer.trainers._tasks import run_trial
from hptransfer.trainers._torchrun import failure
from hptransfer.trials.messages import ENTRY, TrialMessage
from hptransfer.trials.spec import TrialSpec
from tests.support.identities import key
from tests.support.processes import rank_pids

RECIPE = """\
name: together
model: {{kind: {kind}}}
data: {{kind: text, files: ["*.txt"]}}
training:
  {{steps: {steps}, batch_size: {batch}, evaluation_batches: 3, clip: 1.0, weight_decay: 0.1, processes: {processes}}}
parameterization: {{name: mup}}
sizes: {{base: {{width: 64, depth: 2}}, widths: [64, 128], target: {{width: 256, depth: 2}}}}
tune: {{space: {{learning_rate: {{low: 0.001, high: 0.1}}}}}}
"""


def payload(folder: Path, processes: int, *, kind: str = "mlp", batch: int = 8, steps: int = 8) -> dict[str, Any]:
    """A trial of this recipe."""
    (folder / "a.txt").write_text("the quick brown fox jumps over the lazy dog. " * 400)
    (folder / "b.txt").write_text("pack my box with five dozen liquor jugs! " * 200)
    path = folder / "recipe.yaml"
    path.write_text(RECIPE.format(kind=kind, batch=batch, steps=steps, processes=processes))
    recipe = load_recipe(path).recipe
    return TrialMessage.of(TrialSpec(recipe, folder, recipe.size(64, 2), {"learning_rate": 0.01}, 0), "k").payload()


def test_processes_are_no_part_of_a_trial(tmp_path: Path) -> None:
    """The same run, however many processes train it: key and recipe hash stay."""
    keys, hashes = set(), set()
    for processes in (1, 4):
        payload(tmp_path, processes)
        loaded = load_recipe(tmp_path / "recipe.yaml")
        request = TrialSpec(loaded.recipe, tmp_path, loaded.recipe.size(64, 2), {}, 0)
        keys.add(key(request))
        hashes.add(loaded.hash)

    assert len(keys) == len(hashes) == 1


def test_more_processes_than_examples_are_refused(tmp_path: Path) -> None:
    """A process without an example would have no loss."""
    with pytest.raises(RecipeError, match="processes <= batch_size"):
        payload(tmp_path, 9, batch=8)


def test_a_killed_process_counts_as_killed() -> None:
    """So it is retried, unlike an error that would repeat itself."""
    assert classify_exception("KilledError", "one of 2 processes was ended by signal 9") == "killed"


@pytest.mark.parametrize(
    ("said", "told", "expected"),
    [
        ("exitcode  : 1 (pid: 7)\nexitcode  : -9 (pid: 8)", "RuntimeError: peer is gone", "KilledError: .* signal 9"),
        ("exitcode  : -11 (pid: 7)\nexitcode  : -15 (pid: 8)", "", "RuntimeError: .* crashed with signal 11"),
        (
            "exitcode  : 1 (pid: 7)\nexitcode  : -15 (pid: 8)",
            "ValueError: no luck",
            "RuntimeError: ValueError: no luck",
        ),
        ("exitcode  : -15 (pid: 7)", "", "KilledError: .* signal 15"),
        ("No module named torch", "", "RuntimeError: torchrun failed: No module named torch"),
    ],
)
def test_the_first_cause_is_told(tmp_path: Path, said: str, told: str, expected: str) -> None:
    """A killed process counts before what the others say about losing it; what torchrun ends is no cause."""
    if told:
        (tmp_path / "error-1.txt").write_text(f"{told}\nTraceback ...")
    error = failure(tmp_path, 2, said)

    assert re.fullmatch(expected, f"{type(error).__name__}: {error}")


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "batch", "processes"), [("mlp", 8, 2), ("mlp", 7, 2), ("gpt", 6, 3)])
def test_processes_together_give_the_loss_of_one(tmp_path: Path, kind: str, batch: int, processes: int) -> None:
    """Within rounding of float32 over 8 AdamW steps with clipping; also where the batch does not divide."""
    alone = run_trial(payload(tmp_path, 1, kind=kind, batch=batch))["trial"]
    together = run_trial(payload(tmp_path, processes, kind=kind, batch=batch))["trial"]

    assert together["key"] == alone["key"]
    assert together["loss"] == pytest.approx(alone["loss"], rel=2e-5)
    assert [step for step, _ in together["curve"]] == [step for step, _ in alone["curve"]]
    assert [loss for _, loss in together["curve"]] == pytest.approx([loss for _, loss in alone["curve"]], rel=2e-5)


@pytest.mark.slow
def test_a_killed_process_costs_its_trial_and_the_next_one_runs(tmp_path: Path) -> None:
    """SIGKILL of one of two: the trial fails as killed, nobody is left behind, the worker goes on."""
    with WorkerPool(ENTRY, 1) as pool:
        pool.submit("long", payload(tmp_path, 2, steps=100_000))
        killer = threading.Thread(target=lambda: os.kill(rank_pids(2)[0], signal.SIGKILL))
        killer.start()
        killed = pool.next_result(120)
        killer.join()
        left = rank_pids(0)
        pool.submit("short", payload(tmp_path, 2))
        done = pool.next_result(120)

    assert isinstance(killed, Failure)
    assert (killed.cause, killed.message) == ("killed", "KilledError: one of 2 processes was ended by signal 9")
    assert left == []
    assert isinstance(done, Success)


@pytest.mark.slow
def test_processes_do_not_outlive_their_worker(tmp_path: Path) -> None:
    """A worker that is killed, for example over its time limit, takes torchrun and its processes along."""
    with WorkerPool(ENTRY, 1) as pool:
        pool.submit("long", payload(tmp_path, 2, steps=100_000))
        pool.next_result(1)
        rank_pids(2)
    deadline = time.monotonic() + 20
    while rank_pids(0) and time.monotonic() < deadline:
        time.sleep(0.2)

    assert rank_pids(0) == []
