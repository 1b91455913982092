"""What a store of trials offers, whatever keeps them; `optuna_store` is the built-in one."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from hptransfer.recipe.schema import Range
from hptransfer.sizes import Size
from hptransfer.trials.trial import Phase, Trial


@dataclass(frozen=True, slots=True)
class Experiment:
    """What a store is opened for.

    Attributes:
        recipe: the recipe's name, which tells studies on a shared server apart.
        digest: sha256 (hex) of what the trials of one study share.
        space: ranges of the searched hyperparameters by name.
        usual: studies are named by width and depth, and by batch and tokens where they differ from this size's.
    """

    recipe: str
    digest: str
    space: Mapping[str, Range]
    usual: Size


@dataclass(frozen=True, slots=True)
class OpenTrial:
    """A trial that the store knows as running.

    Attributes:
        trial_id: the store's number of this attempt.
        study: name of its study.
        key: sha256 (hex), as `Trial.key`.
        phase: as given to `start`.
    """

    trial_id: int
    study: str
    key: str
    phase: Phase


@dataclass(frozen=True, slots=True)
class FailedTrial:
    """An attempt without a result.

    Attributes:
        key: sha256 (hex), as `Trial.key`.
        phase: as given to `start`.
        study: name of its study.
        cause: "interrupted", "killed", "out of memory", "error" or "timeout".
        message: one line for a person.
        number: of the attempt within its study, from 0; -1 where it is not known.
    """

    key: str
    phase: Phase
    study: str
    cause: str
    message: str
    number: int = -1


@dataclass(frozen=True, slots=True)
class PlannedTrial:
    """A point that a search decided to try.

    Attributes:
        hyperparameters: base-size values of every hyperparameter.
        seed: of initialisation and data order.
    """

    hyperparameters: Mapping[str, float]
    seed: int


class TrialStore(Protocol):
    """The trials of one recipe: what was finished, what failed, what a search has planned.

    A store has one owner at a time and belongs to one experiment: what its trials share but size, hyperparameters and
    seed. What `finish` was given survives the death of the process at any moment; what was running at that moment is a
    failure with the cause "interrupted" for whoever opens the store next. Every method raises a `MachineError` where
    the place of storage cannot be read or written. `hptransfer.testing.stores` checks all of this.
    """

    def close(self) -> None:
        """Releases the place of storage."""

    def find(self, key: str) -> Trial | None:
        """The finished trial with this key, whatever its experiment; None where there is none."""

    def trials(self, size: Size | None = None, phase: Phase | None = None) -> list[Trial]:
        """Finished trials of this experiment; those of one size in the order they were started.

        Args:
            size: only trials of this size; None for all sizes.
            phase: only trials first run in this phase; None for all phases.
        """

    def failures(self, size: Size | None = None, phase: Phase | None = None) -> list[FailedTrial]:
        """Attempts of this experiment that gave no result, in order; arguments as in `trials`."""

    def blocking_failure(self, key: str) -> FailedTrial | None:
        """The latest failure for which this trial is not run again.

        Returns:
            None where the trial did not fail for one of `BLOCKING_CAUSES`, or was requeued since.
        """

    def requeue(self, causes: Collection[str]) -> list[FailedTrial]:
        """Lets trials of this experiment that failed for one of these causes run again.

        Returns:
            The failures that blocked a trial until now, one per trial.
        """

    def start(self, key: str, size: Size, hyperparameters: Mapping[str, float], seed: int, phase: Phase) -> OpenTrial:
        """Records that a trial runs.

        Args:
            key: sha256 (hex), as `Trial.key`.
            size: width, depth, batch and tokens of the run.
            hyperparameters: base-size values by name.
            seed: of initialisation and data order, at least 0.
            phase: what the trial is run for.

        Raises:
            ValueError: a trial with this key is finished already.
        """

    def report(self, opened: OpenTrial, points: Iterable[tuple[int, float]]) -> None:
        """Records losses of a running trial on the way, for people who look at it with other tools.

        Args:
            opened: what `start` returned for it.
            points: (step, loss), steps increasing from call to call; losses finite.
        """

    def finish(self, opened: OpenTrial, trial: Trial) -> None:
        """Records the result of a running trial, and its curve as far as `report` has not.

        Args:
            opened: what `start` returned for it.
            trial: the record, with the same key.

        Raises:
            ValueError: the result belongs to another trial.
        """

    def abandon(self, opened: OpenTrial, cause: str, message: str = "", details: str = "") -> None:
        """Records that a running trial gave no result.

        Args:
            opened: what `start` returned for it.
            cause: "interrupted", "killed", "out of memory", "error" or "timeout".
            message: one line for a person.
            details: a traceback or the last output of the process, kept for developers.
        """

    def planned(self, size: Size) -> tuple[PlannedTrial, ...]:
        """Every point that the search of this size decided to try, in order, whether or not it was finished."""

    def add_planned(self, size: Size, points: Iterable[PlannedTrial]) -> None:
        """Appends points to what `planned` gives, so that an interrupted search goes on with the same ones."""

    def count_unadopted(self, experiment: str) -> int:
        """Finished trials of another experiment that `adopt` has not copied to this one yet.

        Args:
            experiment: sha256 (hex) of the other experiment.
        """

    def adopt(self, experiment: str, new_key: Callable[[Trial], str | None]) -> tuple[int, int]:
        """Copies the trials of another experiment to this one, where they are the same under other keys.

        An interrupted copy goes on with the next call; the other experiment's trials stay as they are.

        Args:
            experiment: sha256 (hex) of the other experiment.
            new_key: the key of a trial's record in this experiment; None leaves the trial out.

        Returns:
            How many finished trials are here now, and how many were left out.
        """

    def describe(self, size: Size, attributes: Mapping[str, Any]) -> None:
        """Attaches JSON-able attributes to a size's study, for people who look at it with other tools."""
