"""plan: whose values it shows, where others were tuned."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from hptransfer.commands.plan import plan_command
from tests.support.checked_folder import Folder

if TYPE_CHECKING:
    import pytest


def test_a_plan_says_that_other_values_were_tuned(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The recipe's 0.01 is planned and 0.03125 was tuned: stderr names the command that plans with that."""
    folder = Folder(tmp_path)
    plan_command(str(folder.recipe), width=64, depth=2, as_json=True, runs=folder.runs)
    printed = capsys.readouterr()

    assert json.loads(printed.out)["hyperparameters"]["learning_rate"] == 0.01
    assert str(folder.runs / "tiny" / "tuned.yaml") in printed.err
    assert f"`hptransfer scale {folder.recipe} --runs {folder.runs} --width 64 --depth 2`" in printed.err


def test_a_plan_of_what_was_never_tuned_says_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """There are no other values."""
    folder = Folder(tmp_path)
    plan_command(str(folder.recipe), width=64, depth=2, as_json=True, runs=tmp_path / "elsewhere")

    assert capsys.readouterr().err == ""
