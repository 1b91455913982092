"""What every trainer must do; subclass `TrainerConformance`, name it and give a message of a short run.

class TestMyTrainer(TrainerConformance):
    def trainer(self):
        return my_package.TRAINER

    def message(self, folder):
        return TrialMessage.of(a_short_trial(folder), "its key")
"""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from hptransfer.trainers.base import Trainer
from hptransfer.trials.messages import TrialMessage, TrialResult
from hptransfer.trials.trial import Trial, TrialState


class TrainerConformance:
    """Behaviour that keys of trials, resumed runs and verdicts count on."""

    def trainer(self) -> Trainer:
        """The trainer under test."""
        raise NotImplementedError

    def message(self, folder: Path) -> TrialMessage:
        """A run of a few seconds that ends with a finite loss.

        Args:
            folder: an empty one, for the recipe's data.
        """
        raise NotImplementedError

    @pytest.fixture
    def asked(self, tmp_path: Path) -> TrialMessage:
        """The message as a worker gets it, through JSON."""
        return TrialMessage.parse(json.loads(json.dumps(self.message(tmp_path).payload())))

    @pytest.fixture
    def answer(self, asked: TrialMessage) -> TrialResult:
        """What the coordinator gets, through JSON."""
        return TrialResult.parse(json.loads(json.dumps(self.trainer().run(asked).payload())))

    @pytest.fixture
    def trial(self, answer: TrialResult) -> Trial:
        """The record of the run."""
        return answer.finished()

    def test_it_has_a_name_and_a_version(self) -> None:
        """Both are in every key, so they must be the same whenever they are asked for."""
        trainer = self.trainer()

        assert (trainer.name, trainer.version) == (self.trainer().name, self.trainer().version)
        assert trainer.name
        assert isinstance(trainer.version, int)
        assert trainer.version >= 1

    def test_its_identity_is_plain_data_without_chance(self, asked: TrialMessage) -> None:
        """It becomes part of a hash: JSON, the same at every call."""
        first = json.dumps(dict(self.trainer().identity(asked.recipe)), sort_keys=True, allow_nan=False)

        assert json.dumps(dict(self.trainer().identity(asked.recipe)), sort_keys=True, allow_nan=False) == first

    def test_it_answers_with_the_key_it_was_given(self, asked: TrialMessage, answer: TrialResult) -> None:
        """Coordinators compute keys; whoever trains echoes them."""
        assert answer.key == asked.key
        assert answer.refused is None

    def test_the_record_is_of_the_run_that_was_asked_for(self, asked: TrialMessage, trial: Trial) -> None:
        """Size, hyperparameters and seed are the message's; the loss is a finite number."""
        assert trial.key == asked.key
        assert trial.size == asked.size
        assert dict(trial.hyperparameters) == asked.hyperparameters
        assert trial.seed == asked.seed
        assert trial.state is TrialState.COMPLETE
        assert math.isfinite(trial.loss)
        assert trial.seconds >= 0
        assert trial.flops >= 0

    def test_the_same_run_gives_the_same_loss(self, asked: TrialMessage, trial: Trial) -> None:
        """What determines a run is in its key; a loss may differ by rounding at most."""
        again = self.trainer().run(asked).finished()

        assert again.loss == pytest.approx(trial.loss, rel=1e-5)

    def test_it_records_a_curve_where_it_says_so(self, trial: Trial) -> None:
        """Steps increase from 1 on, losses are numbers."""
        if not self.trainer().capabilities.streams_losses:
            return
        steps = [step for step, _ in trial.curve]

        assert steps
        assert steps == sorted(set(steps))
        assert steps[0] >= 1
