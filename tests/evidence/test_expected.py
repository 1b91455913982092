"""`expect` against committed evidence, at the level `evidence`: nothing is trained."""

from __future__ import annotations

from pathlib import Path

import pytest

from hptransfer.commands.validate import validate_command
from hptransfer.linting.levels.base import LEVELS, LevelOutcome, Subject, ValidationOptions
from hptransfer.recipe.load import load_recipe
from tests.support.kept_evidence import Kept


def kept(folder: Path, name: str, expect: str = "") -> Kept:
    """A recipe with its evidence, and what it expects."""
    found = Kept(folder, name)
    with found.recipe.open("a") as file:
        file.write(f"expect: {expect}\n" if expect else "")
    return found


def status(recipe: Kept) -> int:
    """What the command ends with."""
    return validate_command([str(recipe.recipe)], level=["evidence"], runs=recipe.root / "kept")


def at_evidence(recipe: Kept, *, trust: bool = False) -> LevelOutcome:
    """What the level says by itself."""
    options = ValidationOptions(("static", "evidence"), trust=trust, runs=recipe.root / "kept")
    return LEVELS.look_up("evidence").run(Subject(str(recipe.recipe), load_recipe(recipe.recipe), options))


def test_a_negative_control_that_drifts_is_green(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its evidence says DRIFTS and nothing else is wrong: exit 0, with a note that it is as expected."""
    assert status(kept(tmp_path, "standard-adamw", "{verdict: DRIFTS}")) == 0
    said = capsys.readouterr().out
    assert "committed evidence: expect.verdict: expected DRIFTS, found DRIFTS: met" in said
    assert "valid (static, evidence)" in said


def test_values_that_carry_over_where_drift_is_expected(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A negative control whose fault is no longer there has exit status 1, at the line of `expect`."""
    recipe = kept(tmp_path, "mup-adamw", "{verdict: DRIFTS}")

    assert status(recipe) == 1
    line = len(recipe.recipe.read_text().splitlines())
    said = capsys.readouterr().out
    assert f"error[HPT560]: {recipe.recipe}:{line}:" in said
    assert "expect.verdict: expected DRIFTS, found TRANSFERS: NOT met" in said


def test_nothing_is_expected(tmp_path: Path) -> None:
    """Then nothing is said: a verdict that is no good is `check`'s to refuse, and `scale`'s."""
    found = at_evidence(kept(tmp_path, "standard-adamw"))

    assert (found.errors, found.open, found.notes) == ((), (), ())


def test_what_the_evidence_leaves_open(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """INCONCLUSIVE where TRANSFERS is expected ends as in `check`: 3, and not called valid."""
    assert status(kept(tmp_path, "mup-sgd", "{verdict: TRANSFERS, coordinate: FAILS}")) == 3
    said = capsys.readouterr().out
    assert "found INCONCLUSIVE: undecided" in said
    assert ": valid" not in said
    assert "committed evidence: expect.coordinate: expected FAILS, found FAILS: met" in said


@pytest.mark.parametrize(
    ("expect", "errors"),
    [
        ("{optimum: {learning_rate: {low: 0.05, high: 0.07}}}", 0),  # tuned.yaml: 0.0612
        ("{optimum: {learning_rate: {low: 0.07, high: 0.09}}}", 1),
        ("{verdict: TRANSFERS, prediction: {low: 0, high: 100}}", 0),
        ("{verdict: TRANSFERS, prediction: {low: 90, high: 100}}", 1),
    ],
)
def test_values_and_losses(tmp_path: Path, expect: str, errors: int) -> None:
    """Tuned values are those of tuned.yaml; the loss is predicted from the evidence, and bytes have less than 90."""
    found = at_evidence(kept(tmp_path, "mup-adamw", expect))

    assert [each.code for each in found.errors] == ["expect/not-met"] * errors
    assert len(found.notes) >= 1 - errors
    assert found.undecided == ()


def test_edited_evidence_meets_no_expectation(tmp_path: Path) -> None:
    """A verdict that was written by hand is refused as such, and nothing is held against it."""
    recipe = kept(tmp_path, "mup-adamw", "{verdict: DRIFTS}")
    recipe.edit("transfer.json", lambda content: content.update(verdict="DRIFTS"))
    found = at_evidence(recipe)

    assert {each.code for each in found.errors} == {"evidence/edited-verdict"}
    assert found.notes == ()


def test_data_behind_a_link_are_not_read_for_a_stranger(tmp_path: Path) -> None:
    """Data that lie elsewhere are read with trust only; without, whether they are the evidence's stays open."""
    (tmp_path / "recipe").mkdir()
    recipe = kept(tmp_path / "recipe", "mup-adamw")
    first = min((recipe.root / "texts").glob("*.txt"))
    first.rename(tmp_path / "elsewhere.txt")
    first.symlink_to(tmp_path / "elsewhere.txt")

    untrusted, trusted = at_evidence(recipe), at_evidence(recipe, trust=True)

    assert "a link that leads out of it" in untrusted.undecided[0]
    assert (trusted.errors, trusted.undecided) == ((), ())
    (tmp_path / "elsewhere.txt").write_text("other text " * 100)
    assert "evidence/stale-data" in {each.code for each in at_evidence(recipe, trust=True).errors}
    assert "evidence/stale-data" not in {each.code for each in at_evidence(recipe).errors}
