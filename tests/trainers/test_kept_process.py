"""Programs in a worker's care: limits of a trial hold for them, and whoever dies takes them along."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from hptransfer.execution.limits import TaskLimits
from hptransfer.execution.outcome import Failure, Success
from hptransfer.execution.pool import WorkerPool
from hptransfer.trials.messages import ENTRY
from tests.support.commands import asked, command_recipe, processes_of, python, shell

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="processes are looked for in /proc")

#: a program with a child in a session of its own
HANGS = "setsid sleep 100 & echo step 1 loss 2; sleep 100"


def until(true: Callable[[], object], seconds: float = 20.0) -> bool:
    """Whether something becomes true in time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if true():
            return True
        time.sleep(0.05)
    return False


def outcome(tmp_path: Path, section: dict[str, object], limits: TaskLimits) -> Success | Failure | None:
    """What a pool makes of one run."""
    message = asked(command_recipe(section), tmp_path, folder=tmp_path / "runs")
    with WorkerPool(ENTRY, 1, limits) as pool:
        pool.submit("one", message.payload())
        return pool.next_result(60)


def test_the_time_limit_of_a_trial_ends_its_program(tmp_path: Path) -> None:
    """With the children that have left its session."""
    ended = outcome(tmp_path, shell(HANGS), TaskLimits(seconds=1.0))

    assert isinstance(ended, Failure)
    assert ended.cause == "timeout"
    assert until(lambda: not processes_of(tmp_path))


def test_the_memory_limit_of_a_trial_counts_its_program(tmp_path: Path) -> None:
    """It lives in another process group than the worker."""
    section = python("import time; kept = b'x' * 1_500_000_000; print('step 1 loss 2', flush=True); time.sleep(100)")
    ended = outcome(tmp_path, section, TaskLimits(memory=1_300_000_000))

    assert isinstance(ended, Failure)
    assert ended.cause == "out of memory"
    assert until(lambda: not processes_of(tmp_path))


def test_a_failure_has_the_programs_last_words(tmp_path: Path) -> None:
    """Not the traceback of the worker."""
    ended = outcome(tmp_path, python("import sys; print('hello'); {}['missing']"), TaskLimits())

    assert isinstance(ended, Failure)
    assert ended.message == "the command ended with status 1: KeyError: 'missing'"
    assert "hptransfer/trainers" not in ended.details
    assert ended.details.splitlines()[-1].startswith(f"logs: {tmp_path}/runs/logs/w16-d2-ab12cd34-1")


def test_losses_reach_the_coordinator_while_it_runs(tmp_path: Path) -> None:
    """Seldom: the first two seconds are one announcement."""
    message = asked(command_recipe(shell("for i in 1 2 3 4 5 6; do echo step $i loss $i; sleep 0.6; done")), tmp_path)
    with WorkerPool(ENTRY, 1) as pool:
        pool.submit("one", message.payload())
        heard = []
        ended = None
        while ended is None:
            ended = pool.next_result(0.2)
            heard += pool.said()

    assert isinstance(ended, Success)
    assert heard
    assert all(task == "one" for task, _ in heard)


WORKS = """
import sys
from pathlib import Path
from hptransfer.execution.pool import WorkerPool
from hptransfer.trials.messages import ENTRY
from tests.support.commands import asked, command_recipe, shell
root = Path(sys.argv[1])
with WorkerPool(ENTRY, 1) as pool:
    pool.submit("one", asked(command_recipe(shell(sys.argv[2])), root, folder=root / "runs").payload())
    pool.next_result(100)
"""


@pytest.mark.parametrize("who", ["coordinator", "worker", "keeper"])
def test_whoever_is_killed_takes_the_program_along(who: str, tmp_path: Path) -> None:
    """SIGKILL, which nobody can answer."""
    command = [sys.executable, "-c", WORKS, str(tmp_path), HANGS]
    with subprocess.Popen(command, env=os.environ | {"PYTHONPATH": str(Path.cwd())}) as coordinator:
        try:
            assert until(lambda: len(processes_of(tmp_path)) >= 3, 60)
            worker = child_of(coordinator.pid, "hptransfer.execution.worker")
            victims = {"coordinator": coordinator.pid, "worker": worker, "keeper": child_of(worker, "_keeper.py")}
            os.kill(victims[who], signal.SIGKILL)

            assert until(lambda: not processes_of(tmp_path))
        finally:
            coordinator.kill()


def child_of(parent: int, name: str) -> int:
    """The child whose command line has this in it."""
    for entry in Path("/proc").iterdir():
        try:
            if not entry.name.isdecimal() or name not in (entry / "cmdline").read_text():
                continue
            if int((entry / "stat").read_text().rpartition(")")[2].split()[1]) == parent:
                return int(entry.name)
        except OSError:
            continue
    raise AssertionError(f"no {name} below {parent}")
