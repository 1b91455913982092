"""What commands print beside tables: plans in narrow terminals, predictions, and what `scale` wrote."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from hptransfer.report.plan_table import print_plan
from hptransfer.report.prediction import describe_forecast
from hptransfer.report.scaled import describe_scaled
from hptransfer.transfer.axis_facts import axis_facts_from_report
from hptransfer.transfer.judge import judge_axis
from hptransfer.transfer.prediction import predict
from tests.support.synthetic_ladders import ladder, parabola
from tests.support.targets import GPT, planned, target_of


def _plan_at(width: int) -> str:
    stream = io.StringIO()
    print_plan(planned(GPT), Console(file=stream, width=width, color_system=None))
    return stream.getvalue()


@pytest.mark.parametrize("width", [60, 80, 100])
def test_a_plan_loses_no_number_and_no_rule_in_a_narrow_terminal(width: int) -> None:
    """Every value and every rule of the wide table is in the narrow form, and no line is wider than the terminal."""
    plan, narrow, wide = planned(GPT), _plan_at(width), _plan_at(240)

    assert max(map(len, narrow.splitlines())) <= width
    assert "\N{HORIZONTAL ELLIPSIS}" not in narrow
    for row in plan.rows:
        assert f"{row.learning_rate:.4g}" in narrow.split()
    words = set(narrow.split())
    headings = {"parameter", "n", "shape", "role", "rule", "[source]"}
    assert set(wide.split()) - words <= headings | {"1"}  # a group of one parameter is not counted


def test_a_prediction_says_its_target_with_all_digits() -> None:
    """Width 1048576 was printed as 1.04858e+06, behind "prediction:"."""
    report = judge_axis(
        ladder([parabola] * 4, noise=0.001),
        axis="width",
        hyperparameter="learning_rate",
        transferred=2**-8,
        reference=64,
    )
    facts = axis_facts_from_report(report)
    said = describe_forecast(predict([facts], {"width": 1048576.0}, hyperparameter="learning_rate", value=2**-8))

    assert said.startswith("at width 1,048,576: optimum ")
    assert "width 1,048,576 lies 2,048 times beyond the largest" in said
    assert "e+0" not in said


def test_what_a_check_has_just_said_is_not_said_again() -> None:
    """`run` prints the verdict and what was spent with the check; `scale` alone says both."""
    target = target_of(planned(GPT), ["the check came to no conclusion"])
    whole, after = (describe_scaled(Path("target.yaml"), target, checked=checked) for checked in (False, True))

    assert "TRANSFERS: It holds." in whole
    assert "TRANSFERS: It holds." not in after
    assert "spent" not in after
    assert after.splitlines()[0] == whole.splitlines()[0]
    assert "FORCED: the check came to no conclusion" in after
