"""Limits of one task: time and memory of its whole process group; which GPU a worker sees."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from hptransfer.execution.limits import (
    TaskLimits,
    gpu_of,
    group_memory,
    listed_memory,
    trials_at_once,
    visible_gpus,
)
from hptransfer.execution.outcome import Failure, Success
from hptransfer.execution.pool import WorkerPool
from tests.support.processes import ENTRY, outcome_of, wait_until_dead

MB = 10**6


def test_a_task_over_its_memory_is_killed_with_its_children(tmp_path: Path) -> None:
    """What a grandchild holds counts: 300 MB of 200 MB end the group, and the next task runs."""
    with WorkerPool(ENTRY, 1, TaskLimits(memory=200 * MB)) as pool:
        failure = outcome_of(pool, do="grandchild holds", megabytes=300, tell=str(tmp_path / "pids"))
        after = outcome_of(pool, do="square", x=2)

    assert isinstance(failure, Failure)
    assert failure.cause == "out of memory"
    assert "of the 0.2 GB allowed" in failure.message
    assert isinstance(after, Success)
    wait_until_dead(*map(int, (tmp_path / "pids").read_text().split()))


def test_a_task_within_its_memory_is_left_alone() -> None:
    """100 MB of 400 MB, held for longer than the interval between looks."""
    with WorkerPool(ENTRY, 1, TaskLimits(memory=400 * MB)) as pool:
        result = outcome_of(pool, do="hold", megabytes=100, seconds=0.7)

    assert isinstance(result, Success)


def test_what_a_task_leaves_behind_does_not_count_against_the_next() -> None:
    """A worker that stays bloated is replaced before the next task, and one that stays small is kept."""
    with WorkerPool(ENTRY, 1, TaskLimits(memory=400 * MB)) as pool:
        first = outcome_of(pool, do="leak", megabytes=250)
        second = outcome_of(pool, do="leak", megabytes=10)
        third = outcome_of(pool, do="leak", megabytes=10)

    pids = [result.value["pid"] for result in (first, second, third) if isinstance(result, Success)]
    assert len(pids) == 3
    assert pids[0] != pids[1] == pids[2]


def test_the_start_of_a_worker_does_not_count_as_time_of_its_task() -> None:
    """An entry whose import takes a second fits into a limit of half a second."""
    with WorkerPool("tests.support.slow_entry:run", 1, TaskLimits(seconds=0.5)) as pool:
        result = outcome_of(pool)

    assert isinstance(result, Success)


def test_what_is_no_trial_is_not_limited() -> None:
    """A task that reads a model may take longer than a trial is allowed."""
    with WorkerPool(ENTRY, 1, TaskLimits(seconds=0.2)) as pool:
        pool.submit("readings", {"do": "gpu", "seconds": 0.6}, limited=False)
        first = pool.next_result(60)
        pool.submit("readings", {"do": "gpu", "seconds": 30.0})
        second = pool.next_result(60)

    assert isinstance(first, Success)
    assert isinstance(second, Failure)
    assert second.cause == "timeout"


def test_a_failed_task_gets_a_fresh_process() -> None:
    """What an error leaves behind (leaks, a GPU's state) does not meet the next task."""
    with WorkerPool(ENTRY, 1) as pool:
        before = outcome_of(pool, do="square", x=1)
        outcome_of(pool, do="raise", message="wrong")
        after = outcome_of(pool, do="square", x=1)

    assert isinstance(before, Success)
    assert isinstance(after, Success)
    assert before.value["pid"] != after.value["pid"]


def test_memory_of_a_group_is_that_of_its_processes() -> None:
    """/proc and ps agree on a group of one process that holds 150 MB, and on one that is gone."""
    code = "block = b'x' * 150_000_000; print('ready', flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        used, listed = group_memory(process.pid), listed_memory(process.pid)
        process.kill()

    assert 150 * MB < used < 250 * MB
    assert listed == pytest.approx(used, rel=0.05)
    assert group_memory(process.pid) == 0


def test_workers_take_the_gpus_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three workers on two GPUs: first, second, first; a replacement takes the GPU of the one it replaces."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-aa, 3")
    with WorkerPool(ENTRY, 3) as pool:
        for number in range(3):
            pool.submit(str(number), {"do": "gpu", "seconds": 0.5})
        results = [pool.next_result(60) for _ in range(3)]
        seen = sorted(result.value for result in results if isinstance(result, Success))
        for number in range(3):
            pool.submit(str(number), {"do": "gpu", "seconds": 0.5} if number else {"do": "exit"})
        pool.submit("again", {"do": "gpu", "seconds": 0.0})
        again = [pool.next_result(60) for _ in range(4)]

    assert seen == ["3", "GPU-aa", "GPU-aa"]
    assert sorted(result.value for result in again if isinstance(result, Success)) == ["3", "GPU-aa", "GPU-aa"]


@pytest.mark.parametrize(
    ("named", "gpus"),
    [("0,1,2", ("0", "1", "2")), ("MIG-7", ("MIG-7",)), ("", ()), ("-1", ()), ("2,-1,0", ("2",))],
)
def test_gpus_are_what_the_environment_names(named: str, gpus: tuple[str, ...]) -> None:
    """Indices and UUIDs as they are; an index below zero hides the rest, as in CUDA."""
    assert visible_gpus({"CUDA_VISIBLE_DEVICES": named}) == gpus


def test_gpus_are_counted_where_the_environment_names_none(tmp_path: Path) -> None:
    """The driver's device files are counted; other files of the driver are not GPUs."""
    for name in ("nvidia0", "nvidia1", "nvidiactl", "nvidia-uvm"):
        (tmp_path / name).touch()

    assert visible_gpus({}, tmp_path) == ("0", "1")
    assert visible_gpus({}, tmp_path / "nowhere") == ()
    assert gpu_of(5, ()) is None


def test_without_gpus_the_environment_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine whose GPUs are hidden keeps them hidden in its workers."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    with WorkerPool(ENTRY, 1) as pool:
        result = outcome_of(pool, do="gpu", seconds=0.0)

    assert isinstance(result, Success)
    assert result.value == os.environ["CUDA_VISIBLE_DEVICES"] == "-1"


@pytest.mark.parametrize(
    ("workers", "gpus", "each", "per_gpu", "expected"),
    [
        (16, 0, 1, 1, 16),  # no GPU: as many as are wanted
        (16, 4, 1, 1, 4),  # one trial per GPU
        (16, 4, 1, 3, 12),  # several, where they fit
        (2, 4, 1, 3, 2),  # never more than are wanted
        (16, 8, 4, 1, 2),  # four processes each
        (16, 2, 4, 1, 16),  # too few for one trial: it trains on processors
    ],
)
def test_trials_share_gpus_only_where_that_is_asked_for(
    workers: int, gpus: int, each: int, per_gpu: int, expected: int
) -> None:
    """At most `per_gpu` on each, whatever the number of processors."""
    assert trials_at_once(workers, gpus, each=each, per_gpu=per_gpu) == expected


def test_every_trial_leases_its_own_gpus() -> None:
    """In turn, as many as its processes need; two on one GPU are four slots apart."""
    gpus = ("0", "1", "2", "3")

    assert [gpu_of(slot, gpus) for slot in range(6)] == ["0", "1", "2", "3", "0", "1"]
    assert [gpu_of(slot, gpus, 2) for slot in range(4)] == ["0,1", "2,3", "0,1", "2,3"]
    assert gpu_of(1, gpus, 8) == "0,1,2,3"
