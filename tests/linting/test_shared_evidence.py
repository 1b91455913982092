"""Two recipes with one name in one invocation: the evidence of one is not taken for that of the other."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from hptransfer.commands.validate import validate_command
from tests.support.kept_evidence import Kept


def errors(capsys: pytest.CaptureFixture[str], recipes: list[Path], runs: Path | None) -> list[dict[str, Any]]:
    """Errors of all recipes at the level `evidence`."""
    validate_command([str(each) for each in recipes], "json", ["evidence"], runs=runs)
    found = json.loads(capsys.readouterr().out)["recipes"]
    return [each for recipe in found for each in recipe["findings"] if each["level"] == "error"]


@pytest.mark.parametrize("ignored", [False, True])
def test_a_copy_has_no_evidence_of_its_own(tmp_path: Path, capsys: pytest.CaptureFixture[str], ignored: bool) -> None:
    """The error is on the second and names both; a comment that would excuse it is an error itself."""
    kept = Kept(tmp_path)
    copy = tmp_path / "zcopy.yaml"
    comment = "# hptransfer: ignore-file[HPT419] known\n" if ignored else ""
    copy.write_text(comment + kept.recipe.read_text())
    found = errors(capsys, [kept.recipe, copy], tmp_path / "kept")

    assert [(each["id"], each["file"]) for each in found] == [("HPT953" if ignored else "HPT419", str(copy))]
    if ignored:
        return
    assert str(kept.recipe) in found[0]["received"]
    assert str(tmp_path / "kept" / kept.name) in found[0]["received"]


def test_other_names_and_other_folders_are_told_apart(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The negative controls: a recipe alone, one named twice, and two of one name with a run folder beside each."""
    folders = [tmp_path / "a", tmp_path / "b"]
    for folder in folders:
        folder.mkdir()
    recipes = [Kept(folder).recipe for folder in folders]
    for folder in folders:
        shutil.move(folder / "kept", folder / "runs")

    assert errors(capsys, recipes[:1] * 2, folders[0] / "runs") == []
    assert errors(capsys, recipes, None) == []
    assert [each["id"] for each in errors(capsys, recipes, folders[0] / "runs")] == ["HPT419"]
