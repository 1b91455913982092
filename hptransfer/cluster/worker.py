"""`hptransfer worker`: pulls trials of a study from a server and trains them, on any number of machines.

A result goes to the disk first, then to the server. The server takes it only from whoever holds the newest claim.
"""

from __future__ import annotations

import contextlib
import os
import random
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hptransfer.cluster.leader import Lead
from hptransfer.cluster.postgres import PATIENCE, ServerAwayError, retry_while_server_down
from hptransfer.cluster.queue import LEASE, Claim, TaskQueue
from hptransfer.cluster.queue_pool import COUNTS
from hptransfer.cluster.result_spool import Spool, SpooledResult
from hptransfer.cluster.study import SharedStudy, study_state
from hptransfer.errors import HptransferError, MachineError, UsageError
from hptransfer.execution.limits import UNLIMITED, TaskLimits
from hptransfer.execution.outcome import Failure, FailureStreak, Success
from hptransfer.execution.pool import WorkerPool
from hptransfer.execution.signals import FirstSignal, SignalledError, first_signal_noted
from hptransfer.recipe.load import LoadedRecipe

#: as many failures in a row and this host takes no more tasks: it may be what is broken
MOST_FAILURES = 3
_INTERVAL = 0.2  # seconds between two checks for signals and for the child's answer
_IDLE_INTERVAL = 1.0  # seconds between two queries of an empty queue, on average


@dataclass(frozen=True, slots=True)
class WorkerLimits:
    """When a worker stops, and how long it may be silent.

    Attributes:
        trials: the worker stops after as many trials; None for no limit.
        idle: seconds without work after which it stops; None to wait for ever.
        lease: seconds without a sign of life after which another worker may take its trial.
        patience: seconds that the server may be away before the worker gives up.
    """

    trials: int | None = None
    idle: float | None = None
    lease: float = LEASE
    patience: float = PATIENCE


#: the worker's name, for people
NAME = f"{socket.gethostname()}:{os.getpid()}"


def work(
    study: SharedStudy,
    loaded: LoadedRecipe,
    spool: Path,
    limits: WorkerLimits,
    *,
    entry: str,
    say: Callable[[str], object] = lambda text: None,
    leading: Lead | None = None,
) -> int:
    """Pulls trials and trains them until there is a reason to stop.

    Args:
        study: the study, which this process joined.
        loaded: the recipe; trials are trained as this copy says.
        spool: folder for results until they are delivered.
        limits: when the worker stops by itself.
        entry: "module:function" that trains a payload.
        say: called with a sentence for each thing that happens.
        leading: coordinates the study when nobody else does; None leaves that to others.

    Returns:
        0 where a limit or the study's end was reached; 128 and the signal's number after Ctrl-C or SIGTERM.

    Raises:
        UsageError: the study's terms changed since this process joined.
        MachineError: the server was away for too long, or trials keep failing here.
    """
    with contextlib.ExitStack() as stack:
        if leading is not None:
            stack.enter_context(leading)
        worker = stack.enter_context(_Worker(study, loaded, spool, limits, entry, say))
        worker.signals = stack.enter_context(first_signal_noted())
        try:
            return worker.run(leading)
        except SignalledError as stopped:
            return 128 + stopped.number


class _Worker:
    def __init__(
        self,
        study: SharedStudy,
        loaded: LoadedRecipe,
        spool: Path,
        limits: WorkerLimits,
        entry: str,
        say: Callable[[str], object],
    ) -> None:
        self._study, self._limits, self._entry, self._say = study, limits, entry, say
        self._local: dict[str, Any] = {
            "recipe": loaded.recipe.model_dump(mode="json"),
            "root": str(loaded.root),
        }
        self._queue = TaskQueue(study.address, study.study_id)
        self._folder = str(spool.parent.absolute())
        self._spool = Spool(spool, str(study.address), study.study_id)
        self._task_limits = UNLIMITED
        self._pool = WorkerPool(entry, 1, self._task_limits)
        self._trained = 0
        self._streak = FailureStreak(MOST_FAILURES, alike=False)
        self.signals = FirstSignal()

    def _recipe(self, counts: Mapping[str, int]) -> dict[str, Any]:
        """This machine's recipe, with the counts of parameters that the coordinator read."""
        own: dict[str, Any] = self._local["recipe"]
        return own | {"sizes": own["sizes"] | {"parameters": dict(counts)}} if counts else own

    def __enter__(self) -> _Worker:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.close()
        self._queue.close()

    def run(self, leading: Lead | None) -> int:
        self._deliver()
        idle_since = time.monotonic()
        while self._limits.trials is None or self._trained < self._limits.trials:
            self.signals.raise_if_signalled()
            claim = self._patiently(self._claim)
            if claim is not None:
                self._train(claim)
                self._trained += 1
                idle_since = time.monotonic()
                continue
            state = self._patiently(lambda: study_state(self._study))
            if state.terms != self._study.terms:
                raise UsageError(
                    "everybody who works on a study must share its terms",
                    received=f"the terms of {self._study.name} changed since this worker joined",
                    hint="copy the new recipe here and start the worker again",
                )
            ended = None if leading is None else leading.step(state)
            if ended is not None:
                self._say(f"{ended} ended")
                return 0
            if self._limits.idle is not None and time.monotonic() - idle_since > self._limits.idle:
                self._say(f"no work for {self._limits.idle:g} s")
                return 0
            self._pause(_IDLE_INTERVAL * random.uniform(0.5, 1.5))
        self._say(f"{self._trained} trials")
        return 0

    def _claim(self) -> Claim | None:
        self._queue.reap()
        return self._queue.claim(NAME, self._limits.lease, self._study.terms)

    def _train(self, claim: Claim) -> None:
        """Train a task, keep its lease alive, and deliver what comes of it."""
        try:
            result = self._result(claim)
        except BaseException:  # a signal: somebody else may begin at once instead of waiting for the lease's end
            with contextlib.suppress(HptransferError):
                self._queue.release(claim)
            raise
        if result is None:
            self._lost(claim.task_id)
            self._renew_pool(self._task_limits)
            return
        self._spool.add(SpooledResult(self._study.study_id, claim.task_id, claim.token, result))
        self._deliver()
        if isinstance(result, Success):
            self._streak.reset()
            self._say(f"task {claim.task_id}: done")
            return
        self._say(f"task {claim.task_id}: failed: {result.message}")
        if self._streak.add(result):
            raise MachineError(
                f"trials must be able to run here, but {MOST_FAILURES} in a row failed",
                received=result.message,
                hint="correct the cause and start the worker again; other workers go on",
            )

    def _result(self, claim: Claim) -> Success | Failure | None:
        """What came of the task; None when the lease was lost meanwhile."""
        if claim.limits != self._task_limits:
            self._renew_pool(claim.limits)
        # a coordinator's run folder is on its own machine
        asked = dict(claim.payload)
        here: dict[str, Any] = {"recipe": self._recipe(asked.pop(COUNTS, {}))}
        if claim.payload.get("folder") is not None:
            here["folder"] = self._folder
        self._pool.submit(claim.key, asked | self._local | here)
        renewed = time.monotonic()
        while True:
            result = self._pool.next_result(_INTERVAL)
            if result is not None:
                return result
            self.signals.raise_if_signalled()
            if time.monotonic() - renewed > self._limits.lease / 3:
                with contextlib.suppress(ServerAwayError):  # train on: the lease is asked for when delivering
                    if not self._queue.renew(claim, self._limits.lease):
                        return None
                renewed = time.monotonic()

    def _renew_pool(self, limits: TaskLimits) -> None:
        """Kills what runs; the next task gets a fresh process."""
        self._pool.close()
        self._task_limits = limits
        self._pool = WorkerPool(self._entry, 1, limits)

    def _deliver(self) -> None:
        self._patiently(lambda: self._spool.deliver(self._record))

    def _record(self, spooled: SpooledResult) -> None:
        if not self._queue.record(spooled.task_id, spooled.token, spooled.outcome):
            self._lost(spooled.task_id)

    def _lost(self, task_id: int) -> None:
        self._say(f"task {task_id}: lease lost: another worker has it, this result does not count")

    def _patiently(self, action: Callable[[], Any]) -> Any:
        return retry_while_server_down(action, patience=self._limits.patience, pause=self._pause, say=self._say)

    def _pause(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self.signals.raise_if_signalled()
            time.sleep(min(_INTERVAL, left))
