"""A pool of persistent one-thread worker processes that survives whatever its tasks do.

Processes are kept between tasks because importing torch costs two seconds and more; a process that dies costs the
task it was running and is replaced when the next task needs it.
"""

from __future__ import annotations

import os
import selectors
import time
from collections import deque
from types import TracebackType
from typing import Any, Protocol, Self

from hptransfer.execution.child import Child
from hptransfer.execution.limits import UNLIMITED, TaskLimits, gpu_of, visible_gpus
from hptransfer.execution.outcome import Failure, Success

# Workers that start while their command still loads its modules: importing torch takes longer than all the rest.
#
# The pool of the same entry takes them over. A command that ends without one leaves nothing behind: a worker whose
# coordinator is gone ends by itself.

_started: dict[str, list[Child]] = {}


def start_early(entry: str, workers: int, gpus_each: int = 1) -> None:
    """Start the workers of the pool to come; see `WorkerPool` for the arguments."""
    gpus = visible_gpus(os.environ)
    _started[entry] = [Child(entry, slot, gpu_of(slot, gpus, gpus_each)) for slot in range(workers)]


def take_early(entry: str, workers: int) -> list[Child]:
    """Those that were started for this entry, at most `workers` of them; each is given once."""
    children = _started.pop(entry, [])
    for child in children[workers:]:
        child.close()
    return children[:workers]


_HEARTBEAT = 0.2  # seconds between two checks of deaths and time limits, which no pipe announces reliably


class TaskPool(Protocol):
    """What hands tasks to workers, here or elsewhere; `WorkerPool` says what its members mean."""

    workers: int

    def submit(self, task_id: str, payload: dict[str, Any], *, limited: bool = True) -> None:
        """Queues a task."""

    def next_result(self, timeout: float | None = None) -> Success | Failure | None:
        """Waits for the next task to end."""

    def said(self) -> list[tuple[str, Any]]:
        """What running tasks have announced since the last call, with their ids; some pools cannot hear it."""

    def withdraw(self) -> tuple[str, ...]:
        """Takes back tasks that nobody has begun."""


class WorkerPool:
    """Runs `entry` on JSON payloads in child processes; use it as a context manager.

    Create and use it in the main thread: on Linux a worker dies with the thread that started it.

    Args:
        entry: "module:function" that takes a payload and returns what JSON can carry.
        workers: number of processes, at least 1; each starts when a task first needs it.
        limits: of each task; beyond, it is killed with its process group, and fails.
        gpus_each: GPUs that one task needs, where there are any.

    Raises:
        ValueError: `workers` is below 1.
    """

    def __init__(self, entry: str, workers: int, limits: TaskLimits = UNLIMITED, gpus_each: int = 1) -> None:
        if workers < 1:
            raise ValueError(f"`workers >= 1` must hold for a pool; received: {workers}")
        self.workers = workers
        self._entry, self._limits = entry, limits
        self._unlimited: set[str] = set()
        self._gpus, self._gpus_each = visible_gpus(os.environ), gpus_each
        self._waiting: deque[tuple[str, dict[str, Any]]] = deque()
        self._children: list[Child] = []
        self._results: deque[Success | Failure] = deque()
        self._said: list[tuple[str, Any]] = []
        self._selector = selectors.DefaultSelector()
        for child in take_early(entry, workers):
            self._adopt(child)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def unfinished(self) -> int:
        """Tasks submitted whose result was not yet taken."""
        return len(self._waiting) + sum(child.busy for child in self._children) + len(self._results)

    def submit(self, task_id: str, payload: dict[str, Any], *, limited: bool = True) -> None:
        """Queues a task; it starts at once where a worker is free.

        Args:
            task_id: returned with the result.
            payload: what JSON can carry.
            limited: whether the pool's limits hold for it, which are those of a trial.
        """
        if not limited:
            self._unlimited.add(task_id)
        self._waiting.append((task_id, payload))
        self._hand_out()

    def next_result(self, timeout: float | None = None) -> Success | Failure | None:
        """Waits for the next task to end.

        Args:
            timeout: seconds to wait at most, None for as long as it takes.

        Returns:
            The result; None when the time is over or nothing is submitted.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            self._collect()
            self._hand_out()
            if self._results:
                return self._results.popleft()
            remaining = None if deadline is None else deadline - time.monotonic()
            if not self.unfinished or (remaining is not None and remaining <= 0):
                return None
            self._selector.select(_HEARTBEAT if remaining is None else min(_HEARTBEAT, remaining))

    def said(self) -> list[tuple[str, Any]]:
        """What tasks have announced since the last call, in order, with their ids; see `execution.progress`."""
        taken, self._said = self._said, []
        return taken

    def withdraw(self) -> tuple[str, ...]:
        """Takes back tasks that no worker has begun; their ids."""
        taken = tuple(task_id for task_id, _ in self._waiting)
        self._waiting.clear()
        return taken

    def close(self) -> None:
        """Kills every worker and whatever it started; tasks without a result are forgotten."""
        for child in tuple(self._children):
            self._drop(child)
        self._waiting.clear()
        self._selector.close()

    def _collect(self) -> None:
        for child in tuple(self._children):
            task_id = child.task_id
            result = child.outcome(UNLIMITED if task_id in self._unlimited else self._limits)
            if task_id is not None:
                self._said += [(task_id, value) for value in child.said]
                child.said = []
            if result is not None:
                self._unlimited.discard(result.task_id)
                self._results.append(result)
            # what a failed task leaves behind (leaks, a GPU's state after an error) must not meet the next one
            if isinstance(result, Failure) or (not child.busy and not child.alive):
                self._drop(child)

    def _hand_out(self) -> None:
        while self._waiting:
            child = self._idle_child()
            if child is None:
                return
            child.send(*self._waiting.popleft())

    def _idle_child(self) -> Child | None:
        for child in tuple(self._children):
            if child.alive and not child.busy and not self._bloated(child):
                return child
        slots = set(range(self.workers)) - {child.slot for child in self._children}
        if not slots:
            return None
        slot = min(slots)
        child = Child(self._entry, slot, gpu_of(slot, self._gpus, self._gpus_each))
        self._adopt(child)
        return child

    def _adopt(self, child: Child) -> None:
        self._children.append(child)
        for stream in child.streams:
            self._selector.register(stream, selectors.EVENT_READ)

    def _bloated(self, child: Child) -> bool:
        """Whether what earlier tasks left in the process would count against the next one's memory."""
        limit = self._limits.memory
        if limit is None or child.memory() <= limit / 2:
            return False
        self._drop(child)
        return True

    def _drop(self, child: Child) -> None:
        self._children.remove(child)
        for stream in child.streams:
            self._selector.unregister(stream)
        child.close()
