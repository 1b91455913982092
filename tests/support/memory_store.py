"""A store of trials in memory, written against the Protocol alone: what somebody outside the package would write."""

# ruff: noqa: D102 (the Protocol says what each method does)
from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from hptransfer.sizes import Size
from hptransfer.storage.base import Experiment, FailedTrial, OpenTrial, PlannedTrial
from hptransfer.trials.trial import BLOCKING_CAUSES, Phase, Trial


@dataclass
class Memory:
    """What stores leave behind when they are closed.

    Attributes:
        finished: (digest, phase, trial) by key.
        running: (digest, size, attempt) by number.
        failed: (digest, size, failure), in order.
        requeued: numbers of failures that block no more.
        planned: by digest and size.
        adopted: pairs of digests, from one experiment to another.
    """

    finished: dict[str, tuple[str, Phase, Trial]] = field(default_factory=dict)
    running: dict[int, tuple[str, Size, OpenTrial]] = field(default_factory=dict)
    failed: list[tuple[str, Size, FailedTrial]] = field(default_factory=list)
    requeued: set[int] = field(default_factory=set)
    planned: dict[tuple[str, Size], tuple[PlannedTrial, ...]] = field(default_factory=dict)
    adopted: set[tuple[str, str]] = field(default_factory=set)
    attempts: int = 0


class MemoryStore:
    """A `TrialStore` over a `Memory`."""

    def __init__(self, memory: Memory, experiment: Experiment) -> None:
        self._memory, self._digest = memory, experiment.digest
        for _, _, opened in tuple(memory.running.values()):
            self.abandon(opened, "interrupted")

    def close(self) -> None:
        """Nothing is held."""

    def find(self, key: str) -> Trial | None:
        """See `TrialStore`, as for all that follow."""
        return self._memory.finished[key][2] if key in self._memory.finished else None

    def trials(self, size: Size | None = None, phase: Phase | None = None) -> list[Trial]:
        return [
            trial
            for digest, of_phase, trial in self._memory.finished.values()
            if digest == self._digest and size in (None, trial.size) and phase in (None, of_phase)
        ]

    def failures(self, size: Size | None = None, phase: Phase | None = None) -> list[FailedTrial]:
        return [
            failed
            for digest, of_size, failed in self._memory.failed
            if digest == self._digest and size in (None, of_size) and phase in (None, failed.phase)
        ]

    def blocking_failure(self, key: str) -> FailedTrial | None:
        found = [
            failed
            for _, _, failed in self._memory.failed
            if failed.key == key and failed.cause in BLOCKING_CAUSES and failed.number not in self._memory.requeued
        ]
        return found[-1] if found else None

    def requeue(self, causes: Collection[str]) -> list[FailedTrial]:
        blocking = [self.blocking_failure(key) for key in dict.fromkeys(failed.key for failed in self.failures())]
        chosen = [failed for failed in blocking if failed is not None and failed.cause in causes]
        keys = {failed.key for failed in chosen}
        self._memory.requeued |= {failed.number for failed in self.failures() if failed.key in keys}
        return chosen

    def start(self, key: str, size: Size, hyperparameters: Mapping[str, float], seed: int, phase: Phase) -> OpenTrial:
        if key in self._memory.finished:
            raise ValueError(f"a trial is trained once, but {key} is finished")
        opened = OpenTrial(self._memory.attempts, size.label, key, phase)
        self._memory.attempts += 1
        self._memory.running[opened.trial_id] = (self._digest, size, opened)
        return opened

    def report(self, opened: OpenTrial, points: Iterable[tuple[int, float]]) -> None:
        """Nobody looks at it with other tools."""

    def finish(self, opened: OpenTrial, trial: Trial) -> None:
        if trial.key != opened.key:
            raise ValueError(f"the trial {opened.key} cannot end with the result of {trial.key}")
        digest, _, _ = self._memory.running.pop(opened.trial_id)
        self._memory.finished[trial.key] = (digest, opened.phase, replace(trial))

    def abandon(self, opened: OpenTrial, cause: str, message: str = "", details: str = "") -> None:
        digest, size, _ = self._memory.running.pop(opened.trial_id)
        failed = FailedTrial(opened.key, opened.phase, opened.study, cause, message, opened.trial_id)
        self._memory.failed.append((digest, size, failed))

    def planned(self, size: Size) -> tuple[PlannedTrial, ...]:
        return self._memory.planned.get((self._digest, size), ())

    def add_planned(self, size: Size, points: Iterable[PlannedTrial]) -> None:
        self._memory.planned[self._digest, size] = (*self.planned(size), *points)

    def count_unadopted(self, experiment: str) -> int:
        if (experiment, self._digest) in self._memory.adopted:
            return 0
        return sum(digest == experiment for digest, _, _ in self._memory.finished.values())

    def adopt(self, experiment: str, new_key: Callable[[Trial], str | None]) -> tuple[int, int]:
        left = 0
        for digest, phase, trial in tuple(self._memory.finished.values()):
            key = new_key(trial) if digest == experiment else None
            if key is not None:
                self._memory.finished[key] = (self._digest, phase, replace(trial, key=key))
            left += digest == experiment and key is None
        self._memory.adopted.add((experiment, self._digest))
        return len(self.trials()), left

    def describe(self, size: Size, attributes: Mapping[str, Any]) -> None:
        """Nobody looks at it with other tools."""
