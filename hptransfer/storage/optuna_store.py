"""Trials in Optuna's storage: one study per size, readable by every Optuna tool, owned by one coordinator.

A study is named `w128-d2-<8 hex of the experiment>`. Searched hyperparameters are Optuna parameters; the whole record
is the user attribute "trial". A diverged trial has a value slightly worse than the worst finite loss of its study and
a flag: as a failed one, samplers would forget it and go there again (Optuna, threads #566, #3434, #6654).
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import replace
from types import TracebackType
from typing import Any, Self

from optuna.distributions import BaseDistribution, FloatDistribution
from optuna.storages._rdb.models import TrialIntermediateValueModel
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, create_trial
from optuna.trial import TrialState as OptunaState
from sqlalchemy import insert

from hptransfer.errors import UsageError
from hptransfer.hyperparameters import AVERAGES, with_default_multipliers
from hptransfer.recipe.schema import Range
from hptransfer.sizes import Size
from hptransfer.storage.base import FailedTrial, OpenTrial, PlannedTrial
from hptransfer.storage.damage import require_record, sound_records
from hptransfer.storage.database import Database, close_database
from hptransfer.trials.trial import BLOCKING_CAUSES, Phase, Trial, TrialState, recorded_trial, trial_to_dict

#: nats; the value of a diverged trial when nothing finite is known: worse than guessing among 20,000 symbols
_HOPELESS = 10.0
#: largest step of an intermediate value: Optuna's column has 32 bits on PostgreSQL and MySQL
_LAST_STEP = 2**31 - 1


class OptunaStore:
    """All trials of a database. A trial is in the database before anything else is done with it.

    Args:
        database: where Optuna's tables lie, and how they are opened.
        experiment: sha256 (hex) of what the trials of one study share.
        space: ranges of the searched hyperparameters by name, which become Optuna parameters; others are in the
            record alone.
        usual: studies are named by width and depth, and by batch and tokens where they differ from this size's; None
            names them by width and depth alone.

    Raises:
        MachineError: here and in every method, when the database cannot be read or written.
    """

    def __init__(
        self, database: Database, experiment: str, space: Mapping[str, Range], usual: Size | None = None
    ) -> None:
        self._database, self._experiment, self._space, self._usual = database, experiment, space, usual
        self._storage = database.open()
        self._studies: dict[str, int] = {}
        self._finished: dict[str, tuple[str, Phase, Trial]] = {}  # key -> (study, phase, trial)
        self._failed: list[FailedTrial] = []
        self._reported: dict[int, int] = {}  # trial -> last step whose loss Optuna has
        self._requeued: set[tuple[str, int]] = set()  # (study, number) of failures that no longer block
        with sound_records(database), database.faults():
            self._read()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Closes the database."""
        close_database(self._storage)

    def study_name(self, size: Size) -> str:
        """The name under which Optuna knows the study of a size."""
        return f"{self._database.prefix}{size.label_relative_to(self._usual or size)}-{self._experiment[:8]}"

    def find(self, key: str) -> Trial | None:
        """The finished trial with this key."""
        found = self._finished.get(key)
        return None if found is None else found[2]

    def trials(self, size: Size | None = None, phase: Phase | None = None) -> list[Trial]:
        """Finished trials of this experiment in the order they were started.

        Args:
            size: only trials of this size; None for all sizes.
            phase: only trials first run in this phase; None for all phases.
        """
        return [
            trial
            for study, of_phase, trial in self._finished.values()
            if study.endswith(f"-{self._experiment[:8]}")
            and (size is None or trial.size == size)
            and (phase is None or of_phase == phase)
        ]

    def failures(self, size: Size | None = None, phase: Phase | None = None) -> list[FailedTrial]:
        """Attempts of this experiment that gave no result, in order; arguments as in `trials`."""
        return [
            failed
            for failed in self._failed
            if failed.study.endswith(f"-{self._experiment[:8]}")
            and (size is None or failed.study == self.study_name(size))
            and (phase is None or failed.phase == phase)
        ]

    def blocking_failure(self, key: str) -> FailedTrial | None:
        """The failure for which this trial is not run again; None where there is none, or it was requeued."""
        for failed in reversed(self._failed):
            if (
                failed.key == key
                and failed.cause in BLOCKING_CAUSES
                and (failed.study, failed.number) not in self._requeued
            ):
                return failed
        return None

    def requeue(self, causes: Collection[str]) -> list[FailedTrial]:
        """Lets trials of this experiment that failed for one of these causes run again.

        Returns:
            The failures that blocked a trial until now, one per trial.
        """
        candidates = [self.blocking_failure(key) for key in dict.fromkeys(failed.key for failed in self.failures())]
        chosen = [failed for failed in candidates if failed is not None and failed.cause in causes]
        keys = {failed.key for failed in chosen}
        self._requeued |= {(failed.study, failed.number) for failed in self.failures() if failed.key in keys}
        with self._database.faults():
            for study in {failed.study for failed in chosen}:
                numbers = sorted(number for name, number in self._requeued if name == study)
                self._storage.set_study_user_attr(self._studies[study], "requeued", numbers)
        return chosen

    def start(self, key: str, size: Size, hyperparameters: Mapping[str, float], seed: int, phase: Phase) -> OpenTrial:
        """Records that a trial runs.

        Args:
            key: the trial's key, sha256 (hex).
            size: width, depth, batch and tokens of the run.
            hyperparameters: base-size values by name.
            seed: of initialisation and data order, at least 0.
            phase: what the trial is run for.

        Raises:
            ValueError: a trial with this key is finished already.
            UsageError: the study holds the hyperparameter on another scale.
        """
        if key in self._finished:
            raise ValueError(f"a trial is trained once, but {key} is finished")
        study = self.study_name(size)
        distributions = self._distributions(hyperparameters)
        running = create_trial(
            state=OptunaState.RUNNING,
            params={name: hyperparameters[name] for name in distributions},
            distributions=distributions,
            user_attrs={
                "key": key,
                "phase": phase,
                "seed": seed,
                "hyperparameters": dict(hyperparameters),
                "started": time.time(),  # own clock: Optuna 4 and 5 read each other's times shifted by the time zone
            },
        )
        with self._database.faults():
            try:
                trial_id = self._storage.create_new_trial(self._study_id(study, size), template_trial=running)
            except ValueError as error:
                raise UsageError(
                    "a hyperparameter's `scale` must stay the same within a run folder",
                    received=str(error),
                    hint="give the recipe another name",
                ) from error
        return OpenTrial(trial_id, study, key, phase)

    def report(self, opened: OpenTrial, points: Iterable[tuple[int, float]]) -> None:
        """See `TrialStore.report`; they are Optuna's intermediate values, up to the step that it can hold."""
        reached = self._reported.get(opened.trial_id, 0)
        new = {step: loss for step, loss in points if reached < step <= _LAST_STEP and math.isfinite(loss)}
        if not new:
            return
        rows = [
            {
                "trial_id": opened.trial_id,
                "step": step,
                "intermediate_value": loss,
                "intermediate_value_type": TrialIntermediateValueModel.TrialIntermediateValueType.FINITE,
            }
            for step, loss in new.items()
        ]
        # one transaction: one value at a time takes over a millisecond each, and a curve has a hundred
        with self._database.faults(), self._storage.engine.begin() as connection:
            connection.execute(insert(TrialIntermediateValueModel), rows)
        self._reported[opened.trial_id] = max(new)

    def finish(self, opened: OpenTrial, trial: Trial) -> None:
        """Records the result of a running trial.

        Raises:
            ValueError: the result belongs to another trial.
        """
        if trial.key != opened.key:
            raise ValueError(f"the trial {opened.key} cannot end with the result of {trial.key}")
        self.report(opened, trial.curve)
        with self._database.faults():
            # the record first: a process that dies between the two lines leaves all that `_reap` needs to finish them
            self._storage.set_trial_user_attr(opened.trial_id, "trial", trial_to_dict(trial))
            self._complete(opened.trial_id, opened.study, opened.phase, trial)

    def abandon(self, opened: OpenTrial, cause: str, message: str = "", details: str = "") -> None:
        """Records that a running trial gave no result.

        Args:
            opened: what `start` returned for it.
            cause: "interrupted", "killed", "out of memory", "error" or "timeout".
            message: one line for a person.
            details: a traceback or the last output of the process, kept for developers.
        """
        with self._database.faults():
            if details:
                self._storage.set_trial_user_attr(opened.trial_id, "details", details)
            number = self._storage.get_trial_number_from_id(opened.trial_id)
            failed = FailedTrial(opened.key, opened.phase, opened.study, cause, message, number)
            self._fail(opened.trial_id, failed)

    def planned(self, size: Size) -> tuple[PlannedTrial, ...]:
        """Every point the search of this size decided to try, in order, whether or not it was finished."""
        study = self._studies.get(self.study_name(size))
        if study is None:
            return ()
        with self._database.faults():
            entries = self._storage.get_study_user_attrs(study).get("asked", [])
        return tuple(
            PlannedTrial(with_default_multipliers(entry["hyperparameters"]), entry["seed"])
            for entry in entries
            if "spared" not in entry  # decided by 0.1 and never trained
        )

    def add_planned(self, size: Size, points: Iterable[PlannedTrial]) -> None:
        """Appends to what `planned` gives, so that an interrupted search goes on with the same points."""
        entries = [
            {"hyperparameters": dict(point.hyperparameters), "seed": point.seed}
            for point in (*self.planned(size), *points)
        ]
        with self._database.faults():
            self._storage.set_study_user_attr(self._study_id(self.study_name(size), size), "asked", entries)

    def describe(self, size: Size, attributes: Mapping[str, Any]) -> None:
        """Sets user attributes of a size's study, JSON-able, where they differ from what it has."""
        name = self.study_name(size)
        with self._database.faults():
            study = self._study_id(name, size)
            present = self._storage.get_study_user_attrs(study)
            for key, value in attributes.items():
                if present.get(key) != value:
                    self._storage.set_study_user_attr(study, key, value)

    def count_unadopted(self, experiment: str) -> int:
        """See `TrialStore.count_unadopted`."""
        with self._database.faults():
            studies = set(self._unadopted(experiment))
        return sum(study in studies for study, _, _ in self._finished.values())

    def adopt(self, experiment: str, new_key: Callable[[Trial], str | None]) -> tuple[int, int]:
        """See `TrialStore.adopt`; the copies of a study are complete when they say which one they were made from."""
        adopted = left = 0
        with self._database.faults():
            for study in self._unadopted(experiment):
                here, there = self._adopt_study(study, new_key)
                adopted, left = adopted + here, left + there
        return adopted, left

    def _unadopted(self, experiment: str) -> list[str]:
        found = []
        for name, study in self._studies.items():
            if self._storage.get_study_user_attrs(study).get("experiment") != experiment:
                continue
            here = self._studies.get(self._here(name))
            if here is None or self._storage.get_study_user_attrs(here).get("adopted") != name:
                found.append(name)
        return found if experiment != self._experiment else []

    def _here(self, study: str) -> str:
        """The name of this experiment's study of the same size."""
        return f"{study.rpartition('-')[0]}-{self._experiment[:8]}"

    def _adopt_study(self, study: str, new_key: Callable[[Trial], str | None]) -> tuple[int, int]:
        trials = self._storage.get_all_trials(self._studies[study], deepcopy=True)
        first = next(filter(None, (recorded_trial(each.user_attrs) for each in trials)), None)
        if first is None:
            return 0, 0
        name, size, left = self._here(study), first.size, 0
        attributes = self._storage.get_study_user_attrs(self._studies[study])
        requeued = attributes.get("requeued", [])
        here = self._study_id(name, size)
        present = {each.user_attrs.get("key") for each in self._storage.get_all_trials(here, deepcopy=False)}
        for frozen in trials:
            if "key" not in frozen.user_attrs or frozen.state == OptunaState.RUNNING or frozen.number in requeued:
                continue
            record = _record_of(frozen, size)
            key = None if record is None else new_key(record)
            if key is None:
                left += frozen.state == OptunaState.COMPLETE
            elif key not in present:
                self._copy(here, name, frozen, key)
        for attribute, value in attributes.items():
            if attribute not in ("experiment", "requeued"):
                self._storage.set_study_user_attr(here, attribute, value)
        self._storage.set_study_user_attr(here, "adopted", study)
        return sum(of == name for of, _, _ in self._finished.values()), left

    def _copy(self, study_id: int, name: str, frozen: FrozenTrial, key: str) -> None:
        old = frozen.user_attrs
        changed = {"key": key, "adopted_from": old["key"]}
        if "trial" in old:
            changed["trial"] = {**old["trial"], "key": key}
        frozen.user_attrs = {**old, **changed}
        trial_id = self._storage.create_new_trial(study_id, template_trial=frozen)
        frozen.number = self._storage.get_trial_number_from_id(trial_id)
        self._read_trial(name, frozen)

    def _read(self) -> None:
        for name in (study.study_name for study in self._storage.get_all_studies()):
            if not name.startswith(self._database.prefix):
                continue
            self._studies[name] = self._storage.get_study_id_from_name(name)
            requeued = self._storage.get_study_user_attrs(self._studies[name]).get("requeued", ())
            self._requeued |= {(name, number) for number in requeued}
            for frozen in self._storage.get_all_trials(self._studies[name], deepcopy=False):
                self._read_trial(name, frozen)

    def _read_trial(self, study: str, frozen: FrozenTrial) -> None:
        attributes = frozen.user_attrs
        if "key" not in attributes:  # somebody else's, for example added from a dashboard
            return
        if frozen.state == OptunaState.PRUNED:  # 0.1 stopped it before its last step: no result
            return
        require_record(attributes)
        phase = Phase(attributes["phase"])
        if frozen.state == OptunaState.COMPLETE:
            trial = _recorded(attributes)
            if trial is not None:  # else it is damaged: no result, and free to be run again
                self._finished[trial.key] = (study, phase, trial)
        elif frozen.state == OptunaState.FAIL:
            cause, message = attributes.get("cause", "interrupted"), attributes.get("message", "")
            self._failed.append(FailedTrial(attributes["key"], phase, study, cause, message, frozen.number))
        else:
            self._reap(study, frozen)

    def _reap(self, study: str, frozen: FrozenTrial) -> None:
        """Ends a trial whose coordinator died: finished if its record was written, else free to be run again."""
        attributes, phase = frozen.user_attrs, Phase(frozen.user_attrs["phase"])
        trial_id = self._storage.get_trial_id_from_study_id_trial_number(self._studies[study], frozen.number)
        recorded = _recorded(attributes)
        if recorded is not None and recorded.state is not TrialState.STOPPED:  # 0.1 could stop a trial before its end
            self._complete(trial_id, study, phase, recorded)
            return
        failed = FailedTrial(attributes["key"], phase, study, "interrupted", "", frozen.number)
        self._fail(trial_id, failed)

    def _complete(self, trial_id: int, study: str, phase: Phase, trial: Trial) -> None:
        value = trial.loss
        if trial.state is TrialState.DIVERGED:
            self._storage.set_trial_user_attr(trial_id, "diverged", True)
            value = self._worse_than_all(study, trial)
        self._storage.set_trial_state_values(trial_id, OptunaState.COMPLETE, [value])
        self._finished[trial.key] = (study, phase, trial)

    def _fail(self, trial_id: int, failed: FailedTrial) -> None:
        self._storage.set_trial_user_attr(trial_id, "cause", failed.cause)
        self._storage.set_trial_user_attr(trial_id, "message", failed.message)
        self._storage.set_trial_state_values(trial_id, OptunaState.FAIL)
        self._failed.append(failed)

    def _worse_than_all(self, study: str, diverged: Trial) -> float:
        """A finite value beyond every loss of the study (nats)."""
        losses = [trial.loss for name, _, trial in self._finished.values() if name == study]
        finite = [loss for loss in losses if math.isfinite(loss)]
        if not finite:
            finite = [loss for _, loss in diverged.curve if math.isfinite(loss)] or [_HOPELESS]
        return max(finite) + max(0.05 * (max(finite) - min(finite)), 1e-3)

    def _study_id(self, name: str, size: Size) -> int:
        if name not in self._studies:
            study_id = self._storage.create_new_study([StudyDirection.MINIMIZE], name)
            self._storage.set_study_user_attr(study_id, "experiment", self._experiment)
            self._studies[name] = study_id
        return self._studies[name]

    def _distributions(self, hyperparameters: Mapping[str, float]) -> dict[str, BaseDistribution]:
        """Bounds of the search, stretched where a check goes beyond them; 0 has no place on a log scale."""
        return {
            name: FloatDistribution(
                min(axis.low, hyperparameters[name]),
                max(axis.high, hyperparameters[name]),
                log=axis.scale == "log" and name not in AVERAGES,  # Optuna has no scale of 1 / (1 - value)
            )
            for name, axis in self._space.items()
            if name in hyperparameters and (axis.scale == "linear" or name in AVERAGES or hyperparameters[name] > 0)
        }


def _record_of(frozen: FrozenTrial, size: Size) -> Trial | None:
    """What identifies an attempt, a failed one too, whose size is that of its study; None where it is not recorded."""
    attributes = frozen.user_attrs
    if "trial" in attributes:
        return _recorded(attributes)
    if "hyperparameters" not in attributes or "seed" not in attributes:
        return None
    values = with_default_multipliers(attributes["hyperparameters"])
    return Trial(attributes["key"], size, values, attributes["seed"], TrialState.DIVERGED, math.inf)


def _recorded(attributes: Mapping[str, Any]) -> Trial | None:
    """An attempt's record as it would be written now, for it may be older than some multipliers; None without one."""
    trial = recorded_trial(attributes)
    return None if trial is None else replace(trial, hyperparameters=with_default_multipliers(trial.hyperparameters))
