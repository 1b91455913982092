"""check over several hyperparameters: a slice and a verdict each, and what slices cannot see."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from hptransfer.checking.result import CheckResult
from hptransfer.verdict import Verdict
from tests.support.ladder import recipe_text
from tests.support.sessions import check_and_save, recipe_session, tune_and_write

READOUT = ", readout_learning_rate: {low: 0.0625, high: 16}"
BOTH = ", hyperparameters: [learning_rate, readout_learning_rate]"


def checked(tmp_path: Path, landscape: Mapping[str, Any], check_: str = "", space: str = READOUT) -> CheckResult:
    """Tunes two hyperparameters and checks on a ladder."""
    text = recipe_text(landscape, space=space, trials=16, check=check_)
    with recipe_session(tmp_path / "runs", text) as session:
        tune_and_write(session)
        return check_and_save(session)


def test_each_hyperparameter_has_its_verdict(tmp_path: Path) -> None:
    """The learning rate stays, the readout's multiplier moves by half an octave per doubling: the worse one decides.

    With the multiplier held where it no longer belongs, a wider network is no better along the rate's slice, so what
    its value costs has no unit of compute there; it is a hundredth of a deviation between seeds.
    """
    result = checked(tmp_path, {"readout_drift": 0.5}, BOTH)

    rate, readout = result.report.axes
    assert (rate.hyperparameter, rate.verdict) == ("learning_rate", Verdict.INCONCLUSIVE)
    assert rate.unit.name == "deviations between seeds"
    assert rate.cost.high < 0.02
    assert (readout.hyperparameter, readout.verdict) == ("readout_learning_rate", Verdict.DRIFTS)
    assert readout.drift.contains(0.5)
    assert result.report.verdict is Verdict.DRIFTS
    assert [each["verdict"] for each in result.document["hyperparameters"]] == ["INCONCLUSIVE", "DRIFTS"]
    drawn = {path.name for path in (tmp_path / "runs" / "ladder" / "figures").iterdir()}
    assert drawn >= {"transfer-width.svg", "transfer-width-readout_learning_rate.svg"}


def test_an_interaction_with_what_is_not_checked_is_a_limit(tmp_path: Path) -> None:
    """With cross-curvature 0.8 of the curvatures the slice says so, with the number of octaves it moves by."""
    result = checked(tmp_path, {"cross": 0.08})  # curvatures are 0.1

    (pair,) = result.document["diagnostics"]["interactions"]
    assert pair["strength"] == "strong"
    assert pair["correlation"]["low"] < 0.8 < pair["correlation"]["high"]
    assert pair["first_per_second"]["low"] < -0.8 < pair["first_per_second"]["high"]
    (axis,) = result.report.axes
    assert any(limit.startswith("readout_learning_rate was tuned too but not checked") for limit in axis.limits)


def test_no_interaction_is_no_limit(tmp_path: Path) -> None:
    """Negative control: independent hyperparameters give a weak interaction, and no limit."""
    result = checked(tmp_path, {})

    (pair,) = result.document["diagnostics"]["interactions"]
    assert pair["strength"] == "weak"
    assert not any("tuned too" in limit for limit in result.report.axes[0].limits)


def test_an_average_is_checked_by_its_horizon(tmp_path: Path) -> None:
    """beta2 of 0.95 is a horizon of 20 steps, whose octaves are counted."""
    result = checked(tmp_path, {}, ", hyperparameters: [beta2]", ", beta2: {low: 0.75, high: 0.995}")

    (axis,) = result.report.axes
    assert axis.hyperparameter == "1/(1 - beta2)"
    assert axis.transferred == pytest.approx(20, rel=0.1)
    assert axis.verdict is Verdict.TRANSFERS
