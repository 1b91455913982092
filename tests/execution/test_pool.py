"""WorkerPool: tasks may do anything, the pool answers for each exactly once and leaves nothing behind."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hptransfer.execution.limits import TaskLimits
from hptransfer.execution.outcome import Failure, Success, classify_death
from hptransfer.execution.pool import WorkerPool
from tests.support.pool_tasks import worker_pids
from tests.support.processes import ENTRY, is_alive, outcome_of, wait_until_dead


@pytest.fixture
def pool() -> Iterator[WorkerPool]:
    """Two workers."""
    with WorkerPool(ENTRY, 2) as two:
        yield two


def test_every_task_is_answered_once(pool: WorkerPool) -> None:
    """Many more tasks than workers each come back once with their value."""
    for number in range(20):
        pool.submit(str(number), {"do": "square", "x": number})

    results = [pool.next_result(60) for _ in range(20)]

    values = {result.task_id: result.value["square"] for result in results if isinstance(result, Success)}
    assert values == {"0": 0, "1": 1, "2": 4, "3": 9, "4": 16, "5": 25, "6": 36, "7": 49, "8": 64, "9": 81} | {
        str(number): number * number for number in range(10, 20)
    }
    assert pool.unfinished == 0


def test_what_a_task_announces_arrives_in_order_with_its_answer(pool: WorkerPool) -> None:
    """Each value once, by the task's id; the next task begins with none."""
    pool.submit("a", {"do": "announce", "values": [[1, 2.5], [2, 2.25]]})
    answer = pool.next_result(60)

    assert isinstance(answer, Success)
    assert answer.value == "done"
    assert pool.said() == [("a", [1, 2.5]), ("a", [2, 2.25])]
    assert pool.said() == []

    pool.submit("b", {"do": "square", "x": 2})
    assert isinstance(pool.next_result(60), Success)
    assert pool.said() == []


def test_processes_are_kept_between_tasks(pool: WorkerPool) -> None:
    """Tasks one after the other run in the same process."""
    first, second = outcome_of(pool, do="square", x=1), outcome_of(pool, do="square", x=2)

    assert isinstance(first, Success)
    assert isinstance(second, Success)
    assert first.value["pid"] == second.value["pid"]


def test_no_process_starts_before_it_is_needed(pool: WorkerPool) -> None:
    """One task needs one worker, not two."""
    assert worker_pids(pool) == ()

    outcome_of(pool, do="square", x=1)

    assert len(worker_pids(pool)) == 1


def test_next_result_without_tasks_returns_at_once(pool: WorkerPool) -> None:
    """Nothing submitted means nothing to wait for, even without a time limit."""
    assert pool.next_result() is None


def test_next_result_gives_up_after_its_time(pool: WorkerPool) -> None:
    """A running task outlasts the wait and is still there afterwards."""
    pool.submit("slow", {"do": "hang"})

    assert pool.next_result(0.1) is None
    assert pool.unfinished == 1


def test_prints_do_not_corrupt_the_protocol(pool: WorkerPool) -> None:
    """Output on both streams, forged answers, grandchildren's prints and reads of stdin are harmless."""
    result = outcome_of(pool, do="noise")

    assert isinstance(result, Success)
    assert result.value == ""  # stdin is empty


def test_workers_have_one_thread_their_own_group_and_ignore_ctrl_c(pool: WorkerPool) -> None:
    """The environment limits threads; the process leads a group and leaves Ctrl-C to the coordinator."""
    result = outcome_of(pool, do="environment", names=["OMP_NUM_THREADS", "MKL_NUM_THREADS"])

    assert isinstance(result, Success)
    assert result.value == {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "sigint": True, "group": True}


def test_values_that_are_not_numbers_arrive(pool: WorkerPool) -> None:
    """NaN travels as NaN; judging it is not the pool's business."""
    result = outcome_of(pool, do="nan")

    assert isinstance(result, Success)
    assert math.isnan(result.value)


@pytest.mark.parametrize(
    ("payload", "cause", "message"),
    [
        ({"do": "raise", "message": "wrong shape\nsecond line"}, "error", "ValueError: wrong shape"),
        ({"do": "raise", "message": ""}, "error", "ValueError"),
        ({"do": "memory error"}, "out of memory", "MemoryError"),
        ({"do": "torch memory"}, "out of memory", "RuntimeError: [enforce fail"),
        ({"do": "system exit"}, "error", "SystemExit: leaving"),
        ({"do": "not json"}, "error", "TypeError: Object of type object is not JSON serializable"),
        ({"do": "exit"}, "error", "the worker process exited with status 7"),
        ({"do": "segfault"}, "error", "the worker process crashed with SIGSEGV"),
        ({"do": "kill", "signal": int(signal.SIGKILL)}, "killed", "the worker process was killed by SIGKILL"),
        ({"do": "kill", "signal": int(signal.SIGTERM)}, "killed", "the worker process was killed by SIGTERM"),
    ],
    ids=lambda value: value.get("do") if isinstance(value, dict) else None,
)
def test_failures_are_classified_and_the_next_task_runs(
    pool: WorkerPool, payload: dict[str, Any], cause: str, message: str
) -> None:
    """Whatever ends a task costs that task alone and comes back with its cause and one line."""
    failure = outcome_of(pool, **payload)
    after = outcome_of(pool, do="square", x=3)

    assert isinstance(failure, Failure)
    assert failure.cause == cause
    assert failure.message.startswith(message)
    assert "\n" not in failure.message
    assert isinstance(after, Success)


def test_an_exception_keeps_its_traceback(pool: WorkerPool) -> None:
    """The details of an error hold the lines a developer needs."""
    failure = outcome_of(pool, do="raise", message="wrong")

    assert isinstance(failure, Failure)
    assert "tasks.py" in failure.details


def test_a_crash_shows_where(pool: WorkerPool) -> None:
    """A segmentation fault leaves the Python stack in the details."""
    failure = outcome_of(pool, do="segfault")

    assert isinstance(failure, Failure)
    assert "_segfault" in failure.details


def test_an_unknown_entry_is_an_error_of_the_task() -> None:
    """A module that cannot be imported is reported, not a hang."""
    with WorkerPool("tests.execution.nowhere:run", 1) as pool:
        failure = outcome_of(pool)

    assert isinstance(failure, Failure)
    assert failure.message == "ModuleNotFoundError: No module named 'tests.execution.nowhere'"


def test_a_worker_killed_while_idle_is_replaced(pool: WorkerPool) -> None:
    """Death between tasks costs nothing."""
    outcome_of(pool, do="square", x=1)
    os.kill(worker_pids(pool)[0], signal.SIGKILL)
    deadline = time.monotonic() + 10
    while worker_pids(pool) and time.monotonic() < deadline:  # a zombie whose threads still end is not reaped yet
        time.sleep(0.02)

    assert isinstance(outcome_of(pool, do="square", x=2), Success)


def test_a_task_over_its_time_is_killed_with_its_children(tmp_path: Path) -> None:
    """The time limit ends the whole process group and the next task runs."""
    with WorkerPool(ENTRY, 1, TaskLimits(seconds=1.0)) as pool:
        failure = outcome_of(pool, do="hang", tell=str(tmp_path / "pids"))
        after = outcome_of(pool, do="square", x=2)

    assert isinstance(failure, Failure)
    assert failure.cause == "timeout"
    assert isinstance(after, Success)
    wait_until_dead(*map(int, (tmp_path / "pids").read_text().split()))


def test_closing_leaves_no_process(tmp_path: Path) -> None:
    """Leaving the context kills busy workers and what they started."""
    with WorkerPool(ENTRY, 1) as pool:
        pool.submit("hang", {"do": "hang", "tell": str(tmp_path / "pids")})
        while pool.next_result(0.05) is None and not (tmp_path / "pids").exists():
            pass
        time.sleep(0.1)

    wait_until_dead(*map(int, (tmp_path / "pids").read_text().split()))


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere what left the group is not found")
def test_closing_ends_what_left_the_workers_group() -> None:
    """A child that called setsid, and an orphan that did; they live while the worker does."""
    with WorkerPool(ENTRY, 1) as pool:
        result = outcome_of(pool, do="stray")
        assert isinstance(result, Success)
        assert all(map(is_alive, result.value))

    wait_until_dead(*result.value)


@pytest.mark.parametrize("action", ["hang", "hang in C"])
def test_a_killed_coordinator_leaves_no_worker(tmp_path: Path, action: str) -> None:
    """SIGKILL of the coordinator ends its workers with all they started, even one that keeps the interpreter lock."""
    told = [tmp_path / "a", tmp_path / "b"]
    script = (
        "from hptransfer.execution.pool import WorkerPool\n"
        f"with WorkerPool({ENTRY!r}, 2) as pool:\n"
        f"    pool.submit('a', {{'do': {action!r}, 'tell': {str(told[0])!r}}})\n"
        f"    pool.submit('b', {{'do': 'hang', 'tell': {str(told[1])!r}}})\n"
        "    pool.next_result(2.0)\n"
        "    print(*(child.pid for child in pool._children), flush=True)\n"
        "    pool.next_result()\n"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as coordinator:
        assert coordinator.stdout is not None
        pids = [int(word) for word in coordinator.stdout.readline().split()]
        coordinator.kill()

    assert len(pids) == 2
    grandchildren = [int(path.read_text().split()[1]) for path in told]
    assert len({*pids, *grandchildren}) == 4
    wait_until_dead(*pids, *grandchildren)


def test_a_pool_without_workers_is_refused() -> None:
    """A pool needs at least one worker."""
    with pytest.raises(ValueError, match="workers >= 1"):
        WorkerPool(ENTRY, 0)


def test_a_kill_by_the_kernel_for_memory_is_out_of_memory() -> None:
    """SIGKILL counts as lack of memory exactly when the control group counted such a kill."""
    assert classify_death(-9, "", oom_kill=True)[0] == "out of memory"
    assert classify_death(-9, "", oom_kill=False)[0] == "killed"


def test_an_abort_after_bad_alloc_is_out_of_memory() -> None:
    """A C++ allocation failure aborts the process; its last words tell."""
    stderr = "terminate called after throwing an instance of 'std::bad_alloc'\n  what():  std::bad_alloc\n"

    assert classify_death(-6, stderr, oom_kill=False)[0] == "out of memory"
