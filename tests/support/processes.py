"""Worker pools and processes that tests wait for."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hptransfer.execution.outcome import Failure, Success
from hptransfer.execution.pool import WorkerPool

ENTRY = "tests.support.pool_tasks:run"


def outcome_of(pool: WorkerPool, **payload: Any) -> Success | Failure:
    """Runs one task to its end."""
    pool.submit("task", payload)
    result = pool.next_result(60)
    assert result is not None
    assert result.task_id == "task"
    return result


def is_alive(pid: int) -> bool:
    """Whether a process runs (a zombie does not)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait_until_dead(*pids: int) -> None:
    """Waits until none of the processes is alive, 10 s at most."""
    deadline = time.monotonic() + 10
    while any(map(is_alive, pids)) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert [pid for pid in pids if is_alive(pid)] == []


def rank_pids(count: int) -> list[int]:
    """Processes that train a share; waits until there are so many and they had time to begin."""
    deadline = time.monotonic() + 60
    while True:
        listed = subprocess.run(["ps", "-eo", "pid,args"], check=True, capture_output=True, text=True).stdout
        lines = [line.split(maxsplit=1) for line in listed.splitlines()[1:]]
        found = [
            int(pid)
            for pid, args in lines
            if "-m hptransfer.trainers._torchrun" in args and "torch.distributed" not in args
        ]
        if len(found) >= count or time.monotonic() > deadline:
            if count:
                time.sleep(5)
            return found
        time.sleep(0.2)


def until(condition: Callable[[], object], process: subprocess.Popen[str]) -> None:
    """Waits for a condition while the process lives."""
    while not condition():
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)
