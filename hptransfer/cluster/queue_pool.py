"""A session whose trials are trained by workers on any number of machines, which meet in a PostgreSQL database."""

from __future__ import annotations

import contextlib
import sys
import time
from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

from hptransfer.cluster.postgres import retry_while_server_down
from hptransfer.cluster.queue import TaskQueue
from hptransfer.cluster.study import SharedStudy
from hptransfer.errors import HptransferError
from hptransfer.execution.limits import UNLIMITED, TaskLimits
from hptransfer.execution.outcome import Failure, Success

#: what a worker adds from its own copy of the recipe: a task can only ask for what that allows
LOCAL = ("recipe", "root")
#: counts of parameters that the coordinator read of the model, by shape: they say how long a trial trains
COUNTS = "parameters"
_INTERVAL = 0.2  # seconds between two queries of the queue


def run_through_restarts(action: Callable[[], int]) -> int:
    """Runs a coordinating command, again whenever the server was away: what is finished is found and reused."""
    return retry_while_server_down(action, say=lambda message: print(message, file=sys.stderr, flush=True))


class QueuePool:
    """Workers elsewhere, used as a `WorkerPool` is: tasks go into the queue, results come out of it.

    Args:
        study: the study, which this process coordinates.
        workers: tasks in the queue at a time, at least 1.
        limits: of each task, enforced by the worker that takes it.

    Raises:
        ServerAwayError: the server cannot be reached; any method may raise it.
    """

    def __init__(self, study: SharedStudy, workers: int, limits: TaskLimits = UNLIMITED) -> None:
        if workers < 1:
            raise ValueError(f"`workers >= 1` must hold for a pool; received: {workers}")
        self.workers = workers
        self._queue = TaskQueue(study.address, study.study_id)
        self._waiting: deque[tuple[str, dict[str, Any]]] = deque()
        self._queued: set[str] = set()
        self._unlimited: set[str] = set()
        self._limits = limits

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def submit(self, task_id: str, payload: dict[str, Any], *, limited: bool = True) -> None:
        """Queues a task; one that was done before is answered at once, whoever asked for it then.

        Args:
            task_id: returned with the result.
            payload: what JSON can carry.
            limited: whether the pool's limits hold for it.
        """
        if not limited:
            self._unlimited.add(task_id)
        content = {name: value for name, value in payload.items() if name not in LOCAL}
        counts = payload.get("recipe", {}).get("sizes", {}).get("parameters")
        if counts:
            content[COUNTS] = counts
        self._waiting.append((task_id, content))
        self._hand_out()

    def next_result(self, timeout: float | None = None) -> Success | Failure | None:
        """As `WorkerPool.next_result`."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            self._hand_out()
            if not self._queued:
                return None
            self._queue.reap()
            outcome = self._queue.take_finished(sorted(self._queued))
            if outcome is not None:
                self._queued.discard(outcome.task_id)
                return outcome
            remaining = _INTERVAL if deadline is None else deadline - time.monotonic()
            if remaining <= 0:
                return None
            time.sleep(min(_INTERVAL, remaining))

    def said(self) -> list[tuple[str, Any]]:
        """Nothing: what a task says while it runs does not travel through the queue; its answer has the curve."""
        return []

    def withdraw(self) -> tuple[str, ...]:
        """Takes back what no worker has begun."""
        taken = (*(task_id for task_id, _ in self._waiting), *self._queue.withdraw(sorted(self._queued)))
        self._waiting.clear()
        self._queued -= set(taken)
        return taken

    def close(self) -> None:
        """Withdraws what no worker has begun; what runs goes on, and the next coordinator finds its result."""
        with contextlib.suppress(HptransferError):
            self.withdraw()
        self._queue.close()

    def _hand_out(self) -> None:
        while self._waiting and len(self._queued) < self.workers:
            task_id, payload = self._waiting[0]
            self._queue.submit(task_id, payload, UNLIMITED if task_id in self._unlimited else self._limits)
            self._queued.add(task_id)
            self._waiting.popleft()
