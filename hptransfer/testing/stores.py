"""What every store of trials must do, as tests: subclass `TrialStoreConformance` and say how a store is opened.

class TestMyStore(TrialStoreConformance):
    def open_store(self, place, experiment):
        return MyStore(place, experiment)
"""

from __future__ import annotations

import contextlib
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hptransfer.hyperparameters import with_default_multipliers
from hptransfer.recipe.schema import Range
from hptransfer.sizes import Size
from hptransfer.storage.base import Experiment, FailedTrial, PlannedTrial, TrialStore
from hptransfer.trials.trial import Phase, Trial, TrialState

SIZE = Size(64, 2, 32, 1000)
WIDE = Size(128, 2, 32, 1000)
EXPERIMENT = Experiment("conformance", "0123456789abcdef" * 4, {"learning_rate": Range(low=0.001, high=0.1)}, SIZE)


def make_trial(key: str = "k1", loss: float = 2.5, learning_rate: float = 0.01, size: Size = SIZE) -> Trial:
    """A finished trial.

    Args:
        key: text that identifies the trial.
        loss: nats; one that is not finite makes the trial diverged.
        learning_rate: base-size value of the learning rate.
        size: width, depth, batch and tokens of the run.
    """
    return Trial(
        key=key,
        size=size,
        hyperparameters=with_default_multipliers({"learning_rate": learning_rate, "weight_decay": 0.0}),
        seed=3,
        state=TrialState.COMPLETE if math.isfinite(loss) else TrialState.DIVERGED,
        loss=loss,
        curve=((1, 5.5), (2, 4.0)),
        flops=1e9,
        seconds=1.5,
        provenance={"torch": "2.13.0"},
    )


def record(store: TrialStore, trial: Trial, phase: Phase = Phase.SEARCH) -> None:
    """Starts and finishes a trial in a store."""
    store.finish(store.start(trial.key, trial.size, trial.hyperparameters, trial.seed, phase), trial)


def fail(store: TrialStore, key: str, cause: str) -> None:
    """Starts a trial in a store and abandons it with a cause."""
    store.abandon(store.start(key, SIZE, {"learning_rate": 0.01}, 0, Phase.CHECK), cause, f"{cause} of {key}")


class TrialStoreConformance:
    """Behaviour that `run_requests`, `tune` and `check` rely on. Each test gets an empty place of storage."""

    def open_store(self, place: Any, experiment: Experiment) -> TrialStore:
        """Opens a store as its one owner; to be defined by the subclass.

        Args:
            place: what the fixture `place` gave; opened again, it holds what was stored there before.
            experiment: which trials it holds, and how studies are named.
        """
        raise NotImplementedError

    @pytest.fixture
    def place(self, tmp_path: Path) -> Any:
        """Where a store lies that nobody opened yet; by default a path that does not exist."""
        return tmp_path / "store"

    def opened(self, place: Any, experiment: Experiment = EXPERIMENT) -> contextlib.AbstractContextManager[TrialStore]:
        """An open store that is closed at the end of the block."""
        return contextlib.closing(self.open_store(place, experiment))

    def test_a_finished_trial_is_found_by_its_key_after_reopening(self, place: Any) -> None:
        """The whole record survives, number for number."""
        with self.opened(place) as store:
            record(store, make_trial())
            assert store.find("k1") == make_trial()

        with self.opened(place) as store:
            assert store.find("k1") == make_trial()
            assert store.find("k2") is None

    def test_a_diverged_trial_survives_as_diverged(self, place: Any) -> None:
        """Divergence is not a failure: the trial is found, with an infinite loss."""
        with self.opened(place) as store:
            record(store, make_trial(loss=math.inf))

        with self.opened(place) as store:
            assert store.failures() == []
            assert store.find("k1") == make_trial(loss=math.inf)

    def test_trials_are_filtered_by_size_and_phase(self, place: Any) -> None:
        """Order of start is kept within a size."""
        with self.opened(place) as store:
            record(store, make_trial("a"))
            record(store, make_trial("b"), Phase.CONFIRM)
            record(store, make_trial("c", size=WIDE), Phase.CHECK)

            assert [trial.key for trial in store.trials()] == ["a", "b", "c"]
            assert [trial.key for trial in store.trials(SIZE)] == ["a", "b"]
            assert [trial.key for trial in store.trials(phase=Phase.CONFIRM)] == ["b"]
            assert store.trials(WIDE, Phase.SEARCH) == []

    def test_other_experiments_are_found_by_key_but_not_listed(self, place: Any) -> None:
        """An edited recipe starts new studies and leaves the old ones as they are."""
        with self.opened(place) as store:
            record(store, make_trial())

        with self.opened(place, replace(EXPERIMENT, digest="f" * 64)) as other:
            assert other.trials() == []
            assert other.find("k1") is not None

    def test_trials_of_another_experiment_are_adopted_under_new_keys(self, place: Any) -> None:
        """Once, where they have one; the other experiment keeps its own."""
        with self.opened(place) as store:
            for key in ("k1", "k2", "k3"):
                record(store, make_trial(key), Phase.CHECK)
        other = replace(EXPERIMENT, digest="f" * 64)
        with self.opened(place, other) as store:
            assert store.count_unadopted(EXPERIMENT.digest) == 3
            assert store.adopt(EXPERIMENT.digest, lambda trial: {"k1": "n1", "k2": "n2"}.get(trial.key)) == (2, 1)

        with self.opened(place, other) as store:
            assert store.count_unadopted(EXPERIMENT.digest) == 0
            assert [trial.key for trial in store.trials(phase=Phase.CHECK)] == ["n1", "n2"]
            assert store.find("k1") == make_trial("k1")
            assert store.find("n1") == make_trial("n1")

    def test_what_ran_when_the_owner_ended_is_interrupted(self, place: Any) -> None:
        """The attempt is a failure that blocks nothing, and its key is free."""
        with self.opened(place) as store:
            store.start("k1", SIZE, {"learning_rate": 0.01}, 0, Phase.SEARCH)

        with self.opened(place) as store:
            assert store.find("k1") is None
            (failed,) = store.failures(SIZE, Phase.SEARCH)
            assert (failed.key, failed.cause) == ("k1", "interrupted")
            assert store.blocking_failure("k1") is None
            record(store, make_trial())

    def test_failures_keep_phase_cause_and_message(self, place: Any) -> None:
        """A failed attempt is remembered, and listed where it was made."""
        with self.opened(place) as store:
            fail(store, "k1", "out of memory")

        with self.opened(place) as store:
            (failed,) = store.failures()
            assert (failed.phase, failed.cause, failed.message) == (Phase.CHECK, "out of memory", "out of memory of k1")
            assert store.failures(WIDE) == store.failures(phase=Phase.SEARCH) == []

    def test_only_causes_that_would_repeat_themselves_block(self, place: Any) -> None:
        """A killed trial may run again; an error, a lack of memory and a timeout would come again."""
        causes = {"a": "error", "b": "out of memory", "c": "timeout", "d": "killed", "e": "interrupted"}
        with self.opened(place) as store:
            for key, cause in causes.items():
                fail(store, key, cause)

            assert [key for key in causes if store.blocking_failure(key) is not None] == ["a", "b", "c"]

    def test_a_requeued_trial_is_free_until_it_fails_again(self, place: Any) -> None:
        """By cause, each trial once, and the decision survives; a failure after it blocks anew."""
        with self.opened(place) as store:
            fail(store, "a", "error")
            fail(store, "b", "timeout")
            requeued: list[FailedTrial] = store.requeue(["error"])
            assert [failed.key for failed in requeued] == ["a"]
            assert store.requeue(["error"]) == []

        with self.opened(place) as store:
            assert store.blocking_failure("a") is None
            assert store.blocking_failure("b") is not None
            fail(store, "a", "error")
            assert store.blocking_failure("a") is not None

    def test_a_finished_trial_is_not_started_again(self, place: Any) -> None:
        """Nothing is trained twice."""
        with self.opened(place) as store:
            record(store, make_trial())

            with pytest.raises(ValueError, match="trained once"):
                store.start("k1", SIZE, {"learning_rate": 0.01}, 0, Phase.SEARCH)

    def test_a_result_of_another_trial_is_refused(self, place: Any) -> None:
        """Key and result belong together."""
        with self.opened(place) as store:
            opened = store.start("k1", SIZE, {"learning_rate": 0.01}, 0, Phase.SEARCH)

            with pytest.raises(ValueError, match="cannot end"):
                store.finish(opened, make_trial("k2"))

    def test_what_a_search_planned_survives_in_order(self, place: Any) -> None:
        """Points that a search decided on are remembered before they are trained."""
        first, second = (PlannedTrial(with_default_multipliers({"learning_rate": value}), 0) for value in (0.01, 0.02))
        with self.opened(place) as store:
            store.add_planned(SIZE, [first])
            store.add_planned(SIZE, [second])

        with self.opened(place) as store:
            assert store.planned(SIZE) == (first, second)
            assert store.planned(WIDE) == ()

    def test_a_study_can_be_described_any_number_of_times(self, place: Any) -> None:
        """Descriptions are for people; they change nothing that is read back here."""
        with self.opened(place) as store:
            record(store, make_trial())
            for text in ("first", "first", "second"):
                store.describe(SIZE, {"recipe": text})

            assert [trial.key for trial in store.trials()] == ["k1"]
