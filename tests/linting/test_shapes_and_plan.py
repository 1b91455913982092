"""`validate --level shapes` and `hptransfer plan` refuse the same recipes, and static what the tables decide."""

from __future__ import annotations

from pathlib import Path

import pytest

from hptransfer.commands.plan import plan_command
from hptransfer.errors import HptransferError
from hptransfer.linting.levels.base import ValidationOptions
from hptransfer.linting.levels.shapes import confined
from hptransfer.linting.validate import validate
from tests.support.combinations import MODELS, Combination, combinations
from tests.support.recipe_texts import edited

ALL = tuple(combinations())
#: of each model the same places, which meet every parameterization, optimizer and option
SAMPLE = tuple(each for number, each in enumerate(ALL) if number % 60 in (1, 19, 37, 43, 56))
#: of the 360: valid for `static`; followed by a plan. Counted by `plan` before `validate` had levels
VALID, PLANNED = 229, 173


def test_there_are_360() -> None:
    """Of six models, nine parameterizations and two optimizers, no two alike."""
    assert len(ALL) == 360
    assert len({each.text for each in ALL}) == 360
    assert len(MODELS) == 6
    assert len({each.parameterization for each in ALL}) == 9


def planned(file: Path, **size: int) -> bool:
    """Whether the command makes a plan."""
    try:
        return plan_command(str(file), size.get("width"), size.get("depth"), as_json=True, runs=file.parent) == 0
    except HptransferError:
        return False


def judged(each: Combination, file: Path) -> tuple[bool, bool]:
    """Whether the levels `static` and `shapes` find no error; own code runs here, where it is this package's."""
    file.write_text(each.text)
    if validate(str(file)).errors:
        return False, False
    if each.model == "own":
        return True, not confined({"path": str(file), "rules": [], "max_flops": None})["errors"]
    return True, not validate(str(file), ValidationOptions(("static", "shapes"))).errors


@pytest.mark.parametrize("each", SAMPLE, ids=lambda each: each.name)
def test_shapes_agree_with_plan(each: Combination, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """On a sample of the 360; what the tables refuse, `static` refuses."""
    static, shapes = judged(each, tmp_path / "recipe.yaml")

    assert shapes == planned(tmp_path / "recipe.yaml")
    if each.model in ("mlp", "gpt"):
        assert static == shapes
    capsys.readouterr()


@pytest.mark.slow
def test_shapes_agree_with_plan_on_all(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """All 360: no disagreement, and as many as were counted once; of built-in models `static` decides everything."""
    file = tmp_path / "recipe.yaml"
    found = {}
    for each in ALL:
        found[each.name] = (*judged(each, file), planned(file))
        capsys.readouterr()

    disagree = [name for name, (_, shapes, plan) in found.items() if shapes != plan]
    undecided = [
        each.name for each in ALL if each.model in ("mlp", "gpt") and found[each.name][0] != found[each.name][2]
    ]
    assert (disagree, undecided) == ([], [])
    assert sum(static for static, _, _ in found.values()) == VALID
    assert sum(plan for _, _, plan in found.values()) == PLANNED


def test_a_size_of_the_ladder_is_asked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A width that heads do not divide lies in the ladder alone: the target's plan is made, the ladder's is not."""
    llama = next(each for each in ALL if each.name == "llama-27")
    file = tmp_path / "recipe.yaml"
    file.write_text(edited(llama.text, ("[64, 128, 256, 512]", "[64, 72, 256, 512]")))

    result = validate(str(file), ValidationOptions(("static", "shapes")))

    assert planned(file)
    assert not planned(file, width=72)
    (found,) = {(error.code, error.place.line) for error in result.errors if error.place}
    assert found == ("recipe/model", llama.text.splitlines().index("  widths: [64, 128, 256, 512]") + 1)
    assert validate(str(file)).errors == ()
    file.write_text(llama.text)
    assert validate(str(file), ValidationOptions(("static", "shapes"))).errors == ()
    capsys.readouterr()
