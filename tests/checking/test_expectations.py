"""What a recipe expects decides the exit status, and a coordinate check that FAILS is part of the verdict."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import yaml

from hptransfer.artifacts.transfer import TransferFile
from hptransfer.checking.expectations import Expectation, Found, exit_status, judge_coordinate, judge_expectations
from hptransfer.checking.expected import Expected
from hptransfer.checking.result import CheckResult
from hptransfer.errors import RefusedError
from hptransfer.recipe.expect_section import Expect
from hptransfer.scaling.scale import scale
from hptransfer.statistics.interval import Interval
from hptransfer.statistics.slope import RowVerdict
from hptransfer.verdict import Verdict
from tests.support.ladder import recipe_text
from tests.support.sessions import check_and_save, recipe_session, tune_and_write
from tests.support.transfer_files import transfer_text

#: of the sections below, for tests without a ladder
CHECKED = TransferFile.parse(transfer_text(), Path("transfer.json"))


@cache
def checked(drift: float, slope: float) -> CheckResult:
    """What a check of a ladder finds, once per process."""
    with (
        TemporaryDirectory() as folder,
        recipe_session(Path(folder, "runs"), recipe_text({"drift": drift, "slope": slope})) as session,
    ):
        tune_and_write(session)
        return check_and_save(session)


def expecting(result: CheckResult, expect: str) -> CheckResult:
    """The same check of a recipe that expects something."""
    asked = Expect.model_validate(yaml.safe_load(expect))
    found = Found({"learning_rate": 2.0**-6}, result.evidence)
    expected = Expected(judge_expectations(asked, found), asked.verdict is not None)
    return replace(result, parts=(*result.parts, expected))


def judged(expect: Mapping[str, Any], **found: Any) -> dict[str, bool | None]:
    """Key -> whether it is met."""
    seen = Found(found.get("tuned", {}), found.get("checked", CHECKED), found.get("prediction"))
    return {each.key: each.met for each in judge_expectations(Expect.model_validate(expect), seen)}


def test_a_ladder_that_drifts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A negative control is green, and the page says what was expected, found and met."""
    with recipe_session(tmp_path / "runs", recipe_text({"drift": -0.9}) + "expect: {verdict: DRIFTS}\n") as session:
        tune_and_write(session)
        result = check_and_save(session, show=True)

    assert result.exit_status == 0
    assert "expect.verdict: expected DRIFTS, found DRIFTS: met\n" in capsys.readouterr().out


def test_a_failing_coordinate_check_is_part_of_the_verdict(tmp_path: Path) -> None:
    """Losses transfer, changes grow with the width: the measurement stays, and the headline and status do not hold."""
    with recipe_session(tmp_path / "runs", recipe_text({"slope": 0.5})) as session:
        tune_and_write(session)
        result = check_and_save(session)
        loaded, folder = session.loaded, session.folder

    document = json.loads(folder.transfer.read_text())
    assert (document["verdict"], document["coordinate"]["verdict"]) == ("TRANSFERS", "FAILS")
    assert "the parameterization is broken, so nothing is claimed beyond the checked sizes" in document["sentence"]
    assert "along width" in document["coordinate"]["sentence"]
    assert (result.supports_target, result.exit_status) == (False, 1)
    with pytest.raises(RefusedError, match="the coordinate check FAILS along width") as refused:
        scale(loaded, folder, "ladder.yaml", force=False)
    assert "mend what the coordinate check names" in str(refused.value)
    forced = scale(loaded, folder, "ladder.yaml", force=True)
    assert forced.target.verdict.forced
    assert forced.target.verdict.coordinate is not None
    assert forced.target.verdict.coordinate.fails
    assert "#   the coordinate check FAILS along width" in forced.text


def test_the_same_ladder_whose_check_holds() -> None:
    """Negative control: with changes that leave the width alone nothing objects."""
    result = checked(0.0, 0.0)

    assert result.evidence.coordinate is not None
    assert result.evidence.coordinate.verdict == "HOLDS"
    assert result.report.verdict is Verdict.TRANSFERS
    assert "coordinate check" not in result.evidence.sentence
    assert result.supports_target
    assert result.exit_status == (0 if result.outlook.settled else 3)


@pytest.mark.parametrize(
    ("drift", "slope", "expect", "status"),
    [
        (-0.9, 0.0, "{verdict: TRANSFERS}", 1),
        (-0.9, 0.0, "{verdict: DRIFTS}", 0),
        (-0.9, 0.5, "{verdict: DRIFTS, coordinate: FAILS}", 0),
        (-0.9, 0.5, "{verdict: DRIFTS}", 0),
        (-0.9, 0.0, "{verdict: DRIFTS, coordinate: FAILS}", 1),
        (0.0, 0.5, "{verdict: TRANSFERS}", 1),
        (0.0, 0.5, "{drift: 0.3}", 1),
        (-0.9, 0.5, "{coordinate: FAILS}", 1),
        (-0.9, 0.5, "{drift: 0.3}", 1),
        (0.0, 0.5, "{verdict: TRANSFERS, coordinate: FAILS}", 0),
        (-0.9, 0.0, "{optimum: {learning_rate: {low: 0.01, high: 0.025}}}", 1),
        (-0.9, 0.0, "{verdict: DRIFTS, optimum: {learning_rate: {low: 0.05, high: 0.1}}}", 1),
        (-0.9, 0.0, "{verdict: DRIFTS, optimum: {learning_rate: {low: 0.01, high: 0.025}}}", 0),
    ],
)
def test_statuses(drift: float, slope: float, expect: str, status: int) -> None:
    """What is expected is held against what is found; a verdict that is not named keeps its own status."""
    assert expecting(checked(drift, slope), expect).exit_status == status


def test_statuses_without_expectations() -> None:
    """The verdict's own, and 1 where the coordinate check FAILS."""
    assert [checked(drift, slope).exit_status for drift, slope in ((-0.9, 0.0), (-0.9, 0.5))] == [1, 1]


def test_files_of_before() -> None:
    """A transfer.json without the field says what its diagnostic found."""
    document = checked(-0.9, 0.5).document
    del document["coordinate"]
    found = TransferFile.parse(json.dumps(document), Path("transfer.json"))

    assert found.coordinate is not None
    assert found.coordinate.verdict == "FAILS"


@pytest.mark.parametrize(
    ("expected", "found", "met"),
    [
        (None, "HOLDS", "nothing"),
        (None, "INCONCLUSIVE", "nothing"),
        (None, "FAILS", False),
        ("FAILS", "FAILS", True),
        ("FAILS", "HOLDS", False),
        ("FAILS", "INCONCLUSIVE", None),
        ("HOLDS", "FAILS", False),
        ("INCONCLUSIVE", "INCONCLUSIVE", True),
        ("HOLDS", None, None),
    ],
)
def test_coordinates(expected: str | None, found: str | None, met: bool | str | None) -> None:
    """Too little power is no contradiction; a failure is one unless it is expected."""
    expect = None if expected is None else Expect.model_validate({"coordinate": expected})
    judged = judge_coordinate(expect, None if found is None else RowVerdict(found))
    assert ("nothing" if judged is None else judged.met) == met


@pytest.mark.parametrize(
    ("asked", "loss", "met"),
    [
        ({"contains": 2.4}, (2.3, 2.5), True),
        ({"contains": 2.6}, (2.3, 2.5), False),
        ({"low": 2.2, "high": 2.6}, (2.3, 2.5), True),
        ({"low": 2.4, "high": 2.6}, (2.3, 2.5), None),
        ({"low": 2.6, "high": 2.7}, (2.3, 2.5), False),
        ({"contains": 2.4}, None, None),
    ],
)
def test_predictions(asked: dict[str, float], loss: tuple[float, float] | None, met: bool | None) -> None:
    """Inside is met, outside is not, and an interval that crosses a bound decides nothing."""
    interval = None if loss is None else Interval(sum(loss) / 2, *loss)
    assert judged({"prediction": asked}, prediction=interval) == {"expect.prediction": met}


def test_bounds_on_drift_and_cost() -> None:
    """The whole interval counts: of an axis whose ends are changed, met, open and not met."""
    (axis, *_) = CHECKED.axes

    def with_ends(low: float, high: float) -> TransferFile:
        record = axis.drift.model_copy(update={"low": low, "high": high})
        cost = axis.cost.model_copy(update={"low": abs(low), "high": abs(high)})
        return CHECKED.model_copy(update={"axes": (axis.model_copy(update={"drift": record, "cost": cost}),)})

    asked = {"drift": 0.1, "cost": 0.2}
    found = [judged(asked, checked=with_ends(*ends)) for ends in ((-0.05, 0.05), (-0.05, 0.3), (0.25, 0.3))]
    assert [each["expect.drift"] for each in found] == [True, None, False]
    assert [each["expect.cost"] for each in found] == [True, None, False]


def test_statuses_without_a_ladder() -> None:
    """What is not met comes before what is open; nothing expected leaves the command's own status."""
    met, open_, missed = (Expectation("k", "a", "b", state) for state in (True, None, False))

    assert exit_status((), 3, names_verdict=False) == 3
    assert exit_status((met,), 1, names_verdict=True) == 0
    assert exit_status((met,), 1, names_verdict=False) == 1
    assert exit_status((met, open_), 0, names_verdict=True) == 3
    assert exit_status((met, open_, missed), 0, names_verdict=True) == 1
