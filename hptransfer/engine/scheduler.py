"""Running trials: what is finished is reused, what is missing is trained, every result is recorded at once."""

from __future__ import annotations

import contextlib
import math
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

from hptransfer.engine.budget import Limits, Meter
from hptransfer.engine.failure_policy import FailurePolicy
from hptransfer.errors import BudgetError, HptransferError, MachineError, StoppedError, UsageError
from hptransfer.execution.outcome import Failure, Success
from hptransfer.execution.pool import TaskPool
from hptransfer.execution.signals import Interruption, signals_noted
from hptransfer.sizes import Size
from hptransfer.storage.base import OpenTrial, TrialStore
from hptransfer.storage.run_folder import RunFolder
from hptransfer.trials.identity import Identity
from hptransfer.trials.messages import TrialMessage, TrialResult
from hptransfer.trials.spec import TrialSpec
from hptransfer.trials.trial import Phase, Trial, TrialState

# What happens to trials while a session works, and who hears of it.

EventKind = Literal["started", "finished", "reused", "retried", "failed", "left out"]


@dataclass(frozen=True, slots=True)
class TrialEvent:
    """Something happened to a trial.

    Attributes:
        kind: "started", "finished" (trained just now), "reused" (trained before), "retried" (killed, runs again),
            "failed", or "left out" (failed in an earlier run, not tried again).
        size: width, depth, batch and tokens of the trial.
        hyperparameters: base-size values by name.
        seed: of initialisation and data order.
        cost: relative cost of the trial, in any unit that is common to all.
        trial: the result, when there is one.
        message: why it failed, one sentence; empty otherwise.
    """

    kind: EventKind
    size: Size
    hyperparameters: Mapping[str, float]
    seed: int
    cost: float
    trial: Trial | None = None
    message: str = ""


OnEvent = Callable[[TrialEvent], None]


class Listener(Protocol):
    """Hears of finished trials and of results, for example to log them elsewhere."""

    def trials(self, trials: Iterable[Trial]) -> None:
        """Trials that are finished; the same ones may come again."""

    def result(self, name: str, document: Mapping[str, Any]) -> None:
        """What a step found.

        Args:
            name: of the step: "tune" or "check".
            document: the result as JSON-able data.
        """


#: seconds that running trials are given when the wall time of the budget is over
GRACE = 5.0
#: a trial killed from outside runs once more; other failures would repeat themselves
_MOST_KILLS = 2
_HEARTBEAT = 0.2  # seconds between checks for Ctrl-C


def relative_cost(size: Size) -> float:
    """What a trial of this size costs compared with others of the same recipe: width^2 * depth * tokens.

    The matrices cost the width's square; 64 is added because embeddings and overhead do not shrink with width.
    """
    return float((size.width + 64) ** 2 * size.depth * size.tokens)


def run_requests(
    requests: Sequence[TrialSpec],
    store: TrialStore,
    pool: TaskPool,
    *,
    identity: Identity,
    phase: Phase,
    on_event: OnEvent = lambda event: None,
    meter: Meter | None = None,
    folder: RunFolder | None = None,
    scratch: Path | None = None,
) -> list[Trial]:
    """Trains what is not finished yet, the most expensive first.

    The first Ctrl-C, and `hptransfer stop`, stop handing out trials and wait for those that run; the second Ctrl-C and
    SIGTERM stop at once. Either way every finished trial is kept, and the same call later trains the rest. What failed
    in an earlier call for a cause that would repeat itself is left out until it is requeued.

    Args:
        requests: wanted trials; two with one key are one trial.
        store: where results are looked up and recorded.
        pool: idle workers whose entry trains a payload.
        identity: gives the trials' keys.
        phase: recorded with new trials.
        on_event: called with every start, result and failure.
        meter: of the budget; None is no limit.
        folder: where failures are written whole, and requests to stop are left; None for neither.
        scratch: folder on this machine where long trials keep their state; None where workers are elsewhere.

    Returns:
        Finished trials in the order of `requests`; those that failed are left out (`store.failures` has them).

    Raises:
        BudgetError: a limit of the budget was reached before the last trial started.
        UsageError: `MOST_EQUAL_FAILURES` trials in a row failed with the same error.
        MachineError: they failed for lack of memory, were killed or timed out; or the database failed.
        StoppedError: `hptransfer stop` asked for it.
        KeyboardInterrupt: Ctrl-C was pressed; finished trials are kept.
        Terminated: SIGTERM arrived; finished trials are kept.
    """
    keys = [identity.key(request) for request in requests]
    by_key = dict(zip(keys, requests, strict=True))
    missing = []
    for key, request in by_key.items():
        found, failed = store.find(key), store.blocking_failure(key)
        if found is not None:
            on_event(trial_event("reused", request, found))
        elif failed is not None:
            on_event(trial_event("left out", request, message=f"it failed before ({failed.cause}): {failed.message}"))
        else:
            missing.append((key, request))
    missing.sort(key=lambda pair: -relative_cost(pair[1].size))  # stable: equal sizes keep their order
    meter = meter or Meter(Limits())
    if missing:
        meter.prepare(request.size for _, request in missing)
        policy = FailurePolicy(None if folder is None else folder.failures, missing[0][1].recipe.name)
        _Run(store, pool, identity, phase, on_event, deque(missing), meter, policy, folder, scratch).train()
    return [trial for key in keys if (trial := store.find(key)) is not None]


@dataclass(slots=True)
class _Attempt:
    request: TrialSpec
    opened: OpenTrial


@dataclass(slots=True)
class _Run:
    """The state of one call of `run_requests`."""

    store: TrialStore
    pool: TaskPool
    identity: Identity
    phase: Phase
    on_event: OnEvent
    waiting: deque[tuple[str, TrialSpec]]
    meter: Meter
    policy: FailurePolicy
    folder: RunFolder | None
    scratch: Path | None = None
    running: dict[str, _Attempt] = field(default_factory=dict)
    kills: dict[str, int] = field(default_factory=dict)
    objection: str | None = None

    def train(self) -> None:
        asked_to_stop = False
        with signals_noted() as signals:
            try:
                while True:
                    signals.raise_if_signalled()
                    asked_to_stop = asked_to_stop or self._stop_requested()
                    if signals.asked or asked_to_stop:
                        self._wind_down(signals)
                        break
                    if self.meter.out_of_time:
                        self._wind_down(signals, GRACE)
                        break
                    self._hand_out()
                    if not self.running:
                        break
                    self._take(_HEARTBEAT)
            finally:
                for attempt in self.running.values():
                    with contextlib.suppress(HptransferError):  # the database may be what failed
                        self.store.abandon(attempt.opened, "interrupted")
        signals.raise_if_signalled()  # it may have arrived after the last check
        if signals.asked:
            raise KeyboardInterrupt
        if asked_to_stop:
            hint = "run the same command again: it continues, finished trials are kept"
            raise StoppedError("stopped by `hptransfer stop`", hint=hint)
        self._require_budget()

    def _require_budget(self) -> None:
        """Raises a BudgetError where a trial is left that the budget does not allow."""
        left = len(self.waiting) + len(self.running)
        if not left:
            return
        finished = self.store.trials()
        _, wanted = self.waiting[0] if self.waiting else (None, next(iter(self.running.values())).request)
        spent = self.objection or self.meter.blocking_limit(finished, (), wanted.size)
        raise BudgetError(
            "the budget must last until there is an answer",
            received=f"{spent}; {left} more trials are wanted now, {len(finished)} are finished",
            hint="raise the limit (`budget` in the recipe, or --max-trials, --max-flops, --max-time) and run the same "
            "command again: it continues",
        )

    def _hand_out(self) -> None:
        self.objection = None
        while self.waiting and len(self.running) < self.pool.workers:
            key, request = self.waiting[0]
            sizes = [attempt.request.size for attempt in self.running.values()]
            self.objection = self.meter.blocking_limit(self.store.trials(), sizes, request.size)
            if self.objection:
                return
            self.waiting.popleft()
            opened = self.store.start(key, request.size, request.hyperparameters, request.seed, self.phase)
            self.running[key] = _Attempt(request, opened)
            folder = None if self.folder is None else self.folder.path
            message = TrialMessage.of(request, key, self.identity.fingerprint, self.scratch, folder)
            self.pool.submit(key, message.payload())
            self.on_event(trial_event("started", request))

    def _take(self, timeout: float) -> None:
        result = self.pool.next_result(timeout)
        for key, points in self.pool.said():
            if key in self.running:
                self.store.report(self.running[key].opened, [(int(step), float(loss)) for step, loss in points])
        if isinstance(result, Success):
            self._record(result)
        elif isinstance(result, Failure):
            self._fail(result)

    def _record(self, result: Success) -> None:
        attempt = self.running[result.task_id]
        try:
            answer = TrialResult.parse(result.value)
            self._require_same(answer, result.task_id, attempt.request)
            trial = answer.finished()
            if trial.state is TrialState.STOPPED:
                raise ValueError("it was stopped before its last step")
        except (UsageError, ValueError, KeyError, TypeError, AttributeError) as error:
            message = f"what the trial returned is no finished trial: {error}"
            self._fail(Failure(result.task_id, "error", message, seconds=result.seconds))
            return
        self.store.finish(attempt.opened, trial)
        del self.running[result.task_id]
        self.policy.reset()
        self.on_event(trial_event("finished", attempt.request, trial))

    def _require_same(self, answer: TrialResult, key: str, request: TrialSpec) -> None:
        """Refuses what was trained, or would have been trained, on something else."""
        if answer.refused is None and answer.key == key:
            return
        raise MachineError(
            "data and recipe must stay the same while trials run",
            received=f"the trial at {request.size.label}: {answer.refused or 'it was trained on something else'}",
            hint="run the same command again",
        )

    def _fail(self, failure: Failure) -> None:
        attempt = self.running.pop(failure.task_id)
        self.store.abandon(attempt.opened, failure.cause, failure.message, failure.details)
        if failure.cause == "killed":
            self.kills[failure.task_id] = self.kills.get(failure.task_id, 0) + 1
            if self.kills[failure.task_id] < _MOST_KILLS:
                self.waiting.appendleft((failure.task_id, attempt.request))
                self.on_event(trial_event("retried", attempt.request, message=failure.message))
                return
        self.on_event(trial_event("failed", attempt.request, message=f"{failure.cause}: {failure.message}"))
        self.policy.record(failure, attempt.request)

    def _stop_requested(self) -> bool:
        return self.folder is not None and self.folder.stop_requested()

    def _wind_down(self, signals: Interruption, seconds: float = math.inf) -> None:
        """Waits for running trials; what does not end in time is interrupted, and trained by the next run."""
        end = time.monotonic() + seconds
        for key in self.pool.withdraw():
            self.store.abandon(self.running.pop(key).opened, "interrupted")
        while self.running and time.monotonic() < end:
            signals.raise_if_signalled()
            self._take(_HEARTBEAT)


def trial_event(kind: EventKind, request: TrialSpec, trial: Trial | None = None, message: str = "") -> TrialEvent:
    """Something that happened to a trial.

    Args:
        kind: the word for what happened.
        request: the trial that was wanted.
        trial: its result, when there is one.
        message: why it failed, one sentence.
    """
    cost = relative_cost(request.size)
    return TrialEvent(kind, request.size, request.hyperparameters, request.seed, cost, trial, message)
