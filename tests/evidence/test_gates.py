"""Evidence is what is committed beside a recipe: nothing behind a link that nobody named."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from hptransfer.linting.levels.base import ValidationOptions
from hptransfer.linting.validate import validate
from tests.support.kept_evidence import Kept

LEVELS = ("static", "evidence")


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a recipe in `recipes`; its evidence lies outside of it."""
    kept = Kept(tmp_path / "out")
    shutil.move(kept.root / "kept", tmp_path / "elsewhere")
    (tmp_path / "checkout").mkdir()
    shutil.move(kept.root, tmp_path / "checkout" / "recipes")
    monkeypatch.chdir(tmp_path / "checkout")
    return tmp_path / "checkout"


@pytest.mark.parametrize("place", ["runs", "recipes/runs"])
def test_a_linked_folder_of_run_folders_is_refused(checkout: Path, place: str) -> None:
    """What it leads to is not committed, and whether anything is there is not said."""
    (checkout / place).symlink_to("../elsewhere" if place == "runs" else "../../elsewhere")
    result = validate("recipes/mup-adamw.yaml", ValidationOptions(LEVELS))

    assert {each.code for each in result.errors} == {"evidence/unreadable"}
    assert f"{place} is a link, or no folder" in str(result.errors[0].received)
    (checkout / place).unlink()
    (checkout / place).symlink_to("/nowhere")
    nowhere = validate("recipes/mup-adamw.yaml", ValidationOptions(LEVELS))
    assert nowhere.errors == result.errors


def test_a_link_of_ones_own_is_named(checkout: Path) -> None:
    """The hint of the refusal: `--runs` follows it, and a plain folder needs nothing."""
    (checkout / "runs").symlink_to("../elsewhere")
    assert validate("recipes/mup-adamw.yaml", ValidationOptions(LEVELS, runs=Path("runs"))).errors == ()

    (checkout / "runs").unlink()
    shutil.copytree("../elsewhere", "recipes/runs")
    assert validate("recipes/mup-adamw.yaml", ValidationOptions(LEVELS)).errors == ()
