"""Which levels run, what each decides, and what a recipe is called valid for."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hptransfer.commands.validate import validate_command
from hptransfer.errors import UsageError
from hptransfer.linting.levels.base import LEVELS, ORDER, ValidationOptions, in_order
from hptransfer.linting.validate import validate
from tests.support.recipe_texts import MLP, edited

OWN = edited(MLP, ("{kind: mlp}", "{kind: factory, factory: nowhere.to_be_found:make}"))


def test_every_level_has_its_place() -> None:
    """A file in the folder that no order names would never run."""
    assert set(LEVELS.built_in) <= set(ORDER)


def test_levels_run_in_order() -> None:
    """Whatever the order in which they are named, `static` first."""
    assert in_order(["shapes"]) == ("static", "shapes")
    assert in_order(["shapes,static"]) == ("static", "shapes")
    assert in_order([]) == ("static",)


def test_an_unknown_level_is_refused() -> None:
    """With the names that there are."""
    with pytest.raises(UsageError, match="level must be one of"):
        in_order(["everything"])


@pytest.mark.parametrize("names", [[""], [" "], [","], ["static", ""]])
def test_an_empty_level_is_refused(names: list[str], tmp_path: Path) -> None:
    """A variable that is not set asks for nothing, and would pass with `static` alone."""
    file = tmp_path / "good.yaml"
    file.write_text(MLP)

    with pytest.raises(UsageError, match="a level must have a name"):
        validate_command([str(file)], level=names)


def test_help_says_which_levels_run() -> None:
    """`--level evidence` runs `static` too."""
    assert in_order(["evidence"]) == ("static", "evidence")
    assert "`static` always" in (validate_command.__doc__ or "").splitlines()[0]


def test_valid_for_what_ran(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The line that calls a recipe valid names the levels, and claims no other."""
    file = tmp_path / "good.yaml"
    file.write_text(MLP)

    assert validate_command([str(file)]) == 0
    assert f"{file}: valid (static)\n" in capsys.readouterr().out
    assert validate_command([str(file)], level=["shapes"]) == 0
    assert f"{file}: valid (static, shapes)\n" in capsys.readouterr().out


def test_errors_end_the_levels(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What was asked and did not run is said."""
    file = tmp_path / "bad.yaml"
    file.write_text(edited(MLP, ("steps: 100", "steps: -1")))

    assert validate_command([str(file)], "json", level=["shapes"]) == 1
    (found,) = json.loads(capsys.readouterr().out)["recipes"]
    assert found["levels"] == {"static": {"passed": False, "undecided": []}}
    assert found["skipped"] == ["shapes"]


def test_own_code_is_undecided(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without `--trust` a model of the recipe's own is not built, and the level says that it did not decide."""
    file = tmp_path / "own.yaml"
    file.write_text(OWN)

    assert validate_command([str(file)], "json", level=["shapes"]) == 0
    (found,) = json.loads(capsys.readouterr().out)["recipes"]
    (said,) = found["levels"]["shapes"]["undecided"]
    assert "nowhere.to_be_found:make" in said
    assert "--trust" in said


def test_a_level_that_decided_nothing_is_not_called_passed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its name stands behind "not decided" and nowhere else; the exit status is that of a recipe without errors."""
    file = tmp_path / "own.yaml"
    file.write_text(OWN)
    asked = ["shapes,coordinate,full"]

    assert validate_command([str(file)], level=asked) == 0
    assert f"{file}: valid (static); shapes, coordinate, full not decided\n" in capsys.readouterr().out
    assert validate_command([str(file)], "json", level=asked) == 0
    (found,) = json.loads(capsys.readouterr().out)["recipes"]
    passed = {level: each["passed"] for level, each in found["levels"].items()}
    assert passed == {"static": True, "shapes": None, "coordinate": None, "full": None}
    assert found["valid"] is True


def test_a_comment_waits_for_a_level_that_decides(tmp_path: Path) -> None:
    """What it excuses cannot be told from a level that decided nothing; where it decides, the comment is idle."""
    file = tmp_path / "recipe.yaml"
    comment = "# hptransfer: ignore-file[HPT300] the model is another team's\n"
    options = ValidationOptions(("static", "shapes"))

    file.write_text(comment + OWN)
    assert validate(str(file), options).unused == ()
    file.write_text(comment + MLP)
    assert [each.code for each in validate(str(file), options).unused] == ["ignore/unused"]
