"""Trainers against their contract, and one from outside the package through `tune` and `check`."""

from __future__ import annotations

from pathlib import Path

import pytest

from hptransfer.engine.open_session import open_session
from hptransfer.errors import RecipeError, UsageError
from hptransfer.recipe.load import load_recipe
from hptransfer.testing.trainers import TrainerConformance
from hptransfer.trainers.base import TRAINERS, Trainer
from hptransfer.trials.messages import TrialMessage
from hptransfer.trials.spec import TrialSpec
from tests.support.sessions import check_and_save, tune_and_write
from tests.support.tiny import recipe

OWN = "tests.plugin.hptransfer_lab.trainer:TRAINER"
RECIPE = f"""\
name: valley
model: {{kind: mlp}}
data: {{kind: text, files: ["*.txt"]}}
trainer: "{OWN}"
training: {{steps: 10, learning_rate: 0.015625}}
parameterization: {{name: mup}}
sizes:
  base: {{width: 64, depth: 2}}
  widths: [64, 128, 256, 512]
  target: {{width: 1024, depth: 2}}
tune:
  space: {{learning_rate: {{low: 0.0009765625, high: 0.25}}}}
  trials: 8
  confirm_seeds: 1
"""


def a_message(folder: Path, trainer: str) -> TrialMessage:
    """Five steps of the tiny MLP."""
    (folder / "a.txt").write_text("some text\n" * 300)
    wanted = recipe(data={"kind": "text", "files": ["*.txt"]}, trainer=trainer)
    return TrialMessage.of(TrialSpec(wanted, folder, wanted.size(16, 2), {"learning_rate": 2.0**-7}, 1), "k")


class TestTorch(TrainerConformance):
    """The built-in trainer."""

    def trainer(self) -> Trainer:
        """By its name."""
        return TRAINERS.look_up("torch")

    def message(self, folder: Path) -> TrialMessage:
        """Over text in the folder."""
        return a_message(folder, "torch")


class TestValley(TrainerConformance):
    """A trainer without torch."""

    def trainer(self) -> Trainer:
        """By where it is defined."""
        return TRAINERS.look_up(OWN)

    def message(self, folder: Path) -> TrialMessage:
        """Over anything."""
        return a_message(folder, OWN)


def test_the_folder_is_the_list() -> None:
    """Three trainers are built in; what they are made of is none."""
    assert TRAINERS.built_in == ("command", "function", "torch")


def test_an_unknown_trainer_is_a_fault_of_the_recipe(tmp_path: Path) -> None:
    """With those that are known."""
    (tmp_path / "recipe.yaml").write_text(RECIPE.replace(f'"{OWN}"', "torhc"))
    with pytest.raises(RecipeError, match="torch"):
        load_recipe(tmp_path / "recipe.yaml")


def test_a_trainer_of_ones_own_tunes_and_checks(tmp_path: Path) -> None:
    """From a recipe to a verdict; the optimum is where its function has it, and nothing is trained twice."""
    (tmp_path / "a.txt").write_text("some text\n" * 300)
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    with open_session(tmp_path / "recipe.yaml", tmp_path / "runs", 1) as session:
        tuned = tune_and_write(session)
        checked = check_and_save(session)
        trained = len(session.store.trials())
        again = check_and_save(session)
        with pytest.raises(UsageError, match="measure the model"):
            check_and_save(session, diagnostics=["sharpness"])

        assert tuned.recommended["learning_rate"] == pytest.approx(2.0**-6, rel=0.1)
        assert again.report.verdict is checked.report.verdict
        assert len(session.store.trials()) == trained
        assert {trial.provenance.get("torch") for trial in session.store.trials()} == {None}
