"""Running trials: what is finished is reused, what is missing is trained, every result is recorded at once."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from hptransfer.commands.trial import TrialRequest
from hptransfer.commands.work import ENTRY
from hptransfer.corpus import read_text
from hptransfer.errors import HptransferError, MachineError, UsageError
from hptransfer.evidence.trial import Trial, trial_from_dict
from hptransfer.execution.outcome import Failure, Success
from hptransfer.execution.pool import WorkerPool
from hptransfer.recipe.load import LoadedRecipe, load_recipe
from hptransfer.recipe.schema import Range
from hptransfer.report.progress import EventKind, TrialEvent
from hptransfer.sizes import Size
from hptransfer.storage.run_folder import RunFolder
from hptransfer.storage.trials import OpenTrial, TrialStore

#: seconds that running trials are given after Ctrl-C
GRACE = 5.0
#: as many equal failures in a row stop the run: the next trial would fail alike
MOST_EQUAL_FAILURES = 3
#: a trial killed from outside runs once more; other failures would repeat themselves
_MOST_KILLS = 2
_HEARTBEAT = 0.2  # seconds between looks at Ctrl-C

OnEvent = Callable[[TrialEvent], None]


@dataclass(frozen=True, slots=True)
class Session:
    """Everything a command needs to train trials of one recipe.

    Attributes:
        loaded: the recipe.
        folder: its run folder, locked.
        fingerprint: of its data.
        store: finished trials.
        pool: workers; none is started before it is needed.
    """

    loaded: LoadedRecipe
    folder: RunFolder
    fingerprint: str
    store: TrialStore
    pool: WorkerPool

    @property
    def root(self) -> Path:
        """Where the recipe's data patterns start."""
        return self.loaded.path.parent.absolute()


@contextlib.contextmanager
def open_session(recipe: str, runs: Path, workers: int, *, entry: str = ENTRY) -> Iterator[Session]:
    """Locks the recipe's run folder, opens its trials and prepares workers.

    Args:
        recipe: path or name of a recipe.
        runs: the folder of run folders.
        workers: trials at a time, at least 1.
        entry: "module:function" that trains.

    Raises:
        RecipeError: the recipe has faults.
        UsageError: the run folder cannot be written, or the data cannot be read.
        MachineError: another process works in the folder, or its database is unusable.
    """
    loaded = load_recipe(recipe)
    root = loaded.path.parent.absolute()
    with RunFolder.open(runs, loaded.recipe.name) as folder:
        fingerprint = read_text(loaded.recipe.data, root).fingerprint
        proxy = loaded.recipe.proxy
        size = loaded.recipe.size(proxy.width, proxy.depth)
        experiment = TrialRequest(loaded.recipe, root, size, {}, 0).experiment(fingerprint)
        space: dict[str, Range] = dict(loaded.recipe.tune.space.items())
        with (
            TrialStore(folder.study, experiment, space) as store,
            WorkerPool(entry, workers) as pool,
        ):
            yield Session(loaded, folder, fingerprint, store, pool)


def relative_cost(size: Size) -> float:
    """What a trial of this size costs compared with others of the same recipe: width^2 * depth * tokens.

    The width's square stands for the matrices; 64 is added because embeddings and overhead do not shrink with width.
    """
    return float((size.width + 64) ** 2 * size.depth * size.tokens)


def run_requests(
    requests: Sequence[TrialRequest],
    store: TrialStore,
    pool: WorkerPool,
    *,
    fingerprint: str,
    phase: str,
    on_event: OnEvent = lambda event: None,
) -> list[Trial]:
    """Trains what is not finished yet, the most expensive first.

    The first Ctrl-C stops handing out trials and gives those that run a few seconds; the second stops at once. Either
    way every finished trial is kept, and the same call later trains the rest.

    Args:
        requests: wanted trials; two with one key are one trial.
        store: where results are looked up and recorded.
        pool: idle workers whose entry trains a payload.
        fingerprint: of the data, part of a trial's key.
        phase: recorded with new trials: "search", "confirm" or "check".
        on_event: told of every start, result and failure.

    Returns:
        Finished trials in the order of `requests`; those that failed are left out (`store.failures` has them).

    Raises:
        UsageError: `MOST_EQUAL_FAILURES` trials in a row failed with the same error.
        MachineError: they failed for lack of memory, were killed or timed out; or the database failed.
        KeyboardInterrupt: after Ctrl-C.
    """
    keys = [request.key(fingerprint) for request in requests]
    by_key = dict(zip(keys, requests, strict=True))
    for key, request in by_key.items():
        found = store.find(key)
        if found is not None:
            on_event(_event("reused", request, found))
    missing = [(key, request) for key, request in by_key.items() if store.find(key) is None]
    missing.sort(key=lambda pair: -relative_cost(pair[1].size))  # stable: equal sizes keep their order
    _Run(store, pool, phase, on_event, deque(missing)).train()
    return [trial for key in keys if (trial := store.find(key)) is not None]


@dataclass(slots=True)
class _Attempt:
    request: TrialRequest
    opened: OpenTrial


@dataclass(slots=True)
class _Run:
    """The state of one call of `run_requests`."""

    store: TrialStore
    pool: WorkerPool
    phase: str
    on_event: OnEvent
    waiting: deque[tuple[str, TrialRequest]]
    running: dict[str, _Attempt] = field(default_factory=dict)
    kills: dict[str, int] = field(default_factory=dict)
    streak: list[Failure] = field(default_factory=list)

    def train(self) -> None:
        if not self.waiting:
            return
        with _first_interrupt_noted() as interrupted:
            try:
                while (self.waiting or self.running) and not interrupted.is_set():
                    self._hand_out()
                    self._take(_HEARTBEAT)
                if interrupted.is_set():
                    self._wind_down()
            finally:
                for attempt in self.running.values():
                    with contextlib.suppress(HptransferError):  # the database may be what failed
                        self.store.abandon(attempt.opened, "interrupted")
        if interrupted.is_set():
            raise KeyboardInterrupt

    def _hand_out(self) -> None:
        while self.waiting and len(self.running) < self.pool.workers:
            key, request = self.waiting.popleft()
            opened = self.store.start(key, request.size, request.hyperparameters, request.seed, self.phase)
            self.running[key] = _Attempt(request, opened)
            self.pool.submit(key, request.payload())
            self.on_event(_event("started", request))

    def _take(self, timeout: float) -> None:
        result = self.pool.next_result(timeout)
        if isinstance(result, Success):
            self._record(result)
        elif isinstance(result, Failure):
            self._fail(result)

    def _record(self, result: Success) -> None:
        attempt = self.running[result.task_id]
        trial = trial_from_dict(result.value)
        if trial.key != result.task_id:
            raise MachineError(
                "data and recipe must stay the same while trials run",
                received=f"the trial at {attempt.request.size.label} was trained on something else",
                hint="run the same command again",
            )
        self.store.finish(attempt.opened, trial)
        del self.running[result.task_id]
        self.streak.clear()
        self.on_event(_event("finished", attempt.request, trial))

    def _fail(self, failure: Failure) -> None:
        attempt = self.running.pop(failure.task_id)
        self.store.abandon(attempt.opened, failure.cause, failure.message, failure.details)
        if failure.cause == "killed":
            self.kills[failure.task_id] = self.kills.get(failure.task_id, 0) + 1
            if self.kills[failure.task_id] < _MOST_KILLS:
                self.waiting.appendleft((failure.task_id, attempt.request))
                self.on_event(_event("retried", attempt.request, message=failure.message))
                return
        self.on_event(_event("failed", attempt.request, message=failure.message))
        if self.streak and _essence(self.streak[-1]) != _essence(failure):
            self.streak.clear()
        self.streak.append(failure)
        if len(self.streak) >= MOST_EQUAL_FAILURES:
            raise _hopeless(failure)

    def _wind_down(self) -> None:
        """Gives running trials a few seconds to end; what does not is interrupted, and trained by the next run."""
        for _ in range(round(GRACE / _HEARTBEAT)):
            if not self.running:
                return
            self._take(_HEARTBEAT)


@contextlib.contextmanager
def _first_interrupt_noted() -> Iterator[threading.Event]:
    """The first Ctrl-C sets the event, the next one interrupts as usual."""
    interrupted = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield interrupted
        return
    before = signal.getsignal(signal.SIGINT)

    def note(number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGINT, before)
        interrupted.set()
        with contextlib.suppress(OSError):  # not print: a signal may arrive in the middle of one
            os.write(2, b"\nstopping: running trials have a few seconds; Ctrl-C again stops at once\n")

    signal.signal(signal.SIGINT, note)
    try:
        yield interrupted
    finally:
        signal.signal(signal.SIGINT, before)


def _event(kind: EventKind, request: TrialRequest, trial: Trial | None = None, message: str = "") -> TrialEvent:
    cost = relative_cost(request.size)
    return TrialEvent(kind, request.size, request.hyperparameters, request.seed, cost, trial, message)


def _essence(failure: Failure) -> tuple[str, str]:
    """What makes two failures equal: the message without addresses and counts."""
    return failure.cause, re.sub(r"0x[0-9a-fA-F]+|\d+", "#", failure.message)


def _hopeless(failure: Failure) -> HptransferError:
    rule = f"trials must be able to run, but {MOST_EQUAL_FAILURES} in a row failed alike ({failure.cause})"
    kept = "finished trials are kept"
    if failure.cause == "error":
        return UsageError(rule, received=failure.message, hint=f"correct the cause and run again; {kept}")
    if failure.cause == "out of memory":
        return MachineError(rule, received=failure.message, hint=f"use fewer workers or smaller sizes; {kept}")
    return MachineError(rule, received=failure.message, hint=f"see what ends processes on this machine; {kept}")
