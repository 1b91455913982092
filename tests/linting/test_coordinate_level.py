"""`validate --level coordinate`: what it says of answers, whose code runs, and what `expect` changes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hptransfer.commands.validate import validate_command
from hptransfer.errors import Finding
from hptransfer.linting.levels import coordinate
from hptransfer.linting.levels.base import LevelOutcome, Subject, ValidationOptions
from tests.support.recipe_texts import MLP, edited, load_text

FAULT = {"sentence": "hidden weights: update grows as width^+0.50, should be width^+0", "repair": "divide the rate"}


def axis(verdict: str, **changes: Any) -> dict[str, Any]:
    """One axis of an answer."""
    said = {"axis": "width", "verdict": verdict, "sentence": f"{verdict}: so it is.", "sizes": [64, 512], "seeds": 6}
    return said | {"least": 0.2, "faults": [], "updates": {"of": 10, "off": 0}} | changes


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Runs the level on a recipe and an answer of its process."""

    def ask(answer: object, expect: str = "", text: str = MLP, *, trust: bool = False) -> LevelOutcome:
        loaded = load_text(tmp_path, text + (f"expect: {expect}\n" if expect else ""))
        monkeypatch.setattr(coordinate, "run_trusted", lambda function, payload, limits: answer)
        options = ValidationOptions(("static", "coordinate"), trust=trust)
        return coordinate.LEVEL.run(Subject("recipe.yaml", loaded, options))

    return ask


def test_it_holds(asked: Any) -> None:
    """A note with the power."""
    found = asked({"axes": [axis("HOLDS")], "open": []})

    assert (found.errors, found.undecided) == ((), ())
    assert found.notes == (
        "coordinate check: HOLDS along width 64 to 512, 6 seeds; a layer that changes as width^0.20 would be found "
        "four times of five",
    )


def test_it_fails(asked: Any) -> None:
    """An error for each fault, with its repair; unless the recipe expects that."""
    answer = {"axes": [axis("FAILS", faults=[FAULT])], "open": []}
    (error,) = asked(answer).errors

    assert (error.code, error.hint) == ("coordinate/fails", "divide the rate")
    assert "hidden weights: update grows" in error.received
    expected = asked(answer, "{coordinate: FAILS}")
    assert expected.errors == ()
    assert expected.notes[0] == "coordinate check: expect.coordinate: expected FAILS, found FAILS: met"
    assert len(asked(answer, "{verdict: DRIFTS}").errors) == 1
    assert len(asked({"axes": [axis("FAILS")], "open": []}).errors) == 1


def test_a_failure_that_is_expected_and_not_found(asked: Any) -> None:
    """A negative control that turns green by itself is an error; too little power is undecided."""
    (error,) = asked({"axes": [axis("HOLDS")], "open": []}, "{coordinate: FAILS}").errors
    assert (error.code, error.received) == ("expect/coordinate", "HOLDS, where FAILS is expected")

    found = asked({"axes": [axis("INCONCLUSIVE")], "open": []}, "{coordinate: FAILS}")
    assert found.errors == ()
    assert "expected FAILS, found INCONCLUSIVE: undecided" in found.undecided[1]


def test_too_little_power_is_undecided(asked: Any) -> None:
    """With what updates say all the same."""
    found = asked({"axes": [axis("INCONCLUSIVE")], "open": ["width 1024: too dear"]})

    assert (found.errors, found.notes, found.passed) == ((), (), None)
    assert asked({"axes": [axis("INCONCLUSIVE"), axis("HOLDS")], "open": []}).passed is True  # of one axis it is told
    assert found.undecided == (
        "whether layers change alike along width 64 to 512, 6 seeds: INCONCLUSIVE: so it is; none of 10 parameters' "
        "updates misses its rule",
        "width 1024: too dear",
    )


def test_own_code_waits_for_trust(asked: Any) -> None:
    """Whose code runs is said, and nothing runs without `--trust`."""
    own = edited(MLP, ("{kind: mlp}", "{kind: factory, factory: nowhere.to_be_found:make}"))
    (said,) = asked(None, text=own).undecided

    assert said == "whether layers change alike at every size: nowhere.to_be_found:make runs with `--trust` only"
    assert asked({"axes": [axis("HOLDS")], "open": []}, text=own, trust=True).undecided == ()


@pytest.mark.parametrize("answer", [None, {}, {"axes": [{}], "open": []}, {"axes": 3, "open": 4}, {"refused": "x"}])
def test_answers_of_another_form(asked: Any, answer: object) -> None:
    """The process may have run the recipe's code: what it answers is held to its form."""
    (error,) = asked(answer).errors
    assert (error.code, error.received) == ("trust/process", "an answer of another form")


def test_how_it_ended(asked: Any) -> None:
    """A process that ended is an error at the recipe's file; a machine's fault is none of the recipe's."""
    (error,) = asked(Finding("it must answer", "timeout", code="trust/process")).errors
    assert error.place is not None
    said = {"rule": "the disk must have room", "received": "none", "hint": None}
    assert asked({"refused": "machine"} | said).machine[0].received == "none"
    assert asked({"refused": "budget"} | said).open[0].received == "none"


def test_the_whole_way(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A real one through the process: too few widths to decide, exit 0, and the recipe is as it was."""
    file = tmp_path / "small.yaml"
    file.write_text(edited(MLP, ("[64, 128, 256, 512]", "[64, 128]")))

    assert validate_command([str(file)], level=["coordinate"]) == 0
    said = capsys.readouterr().out
    assert "coordinate did not decide whether changes depend on width: 6 seeds of widths 64, 128 are too little" in said
    assert [path.name for path in tmp_path.iterdir()] == ["small.yaml"]
