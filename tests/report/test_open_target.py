"""The last line of a run that ends with 3 though its values carry over: what the status means and what to do."""

from __future__ import annotations

import pytest

from hptransfer.report.scaled import describe_open
from hptransfer.statistics.interval import Interval
from hptransfer.transfer.coverage import AxisCoverage, Standing, TargetReport
from hptransfer.transfer.scope import Outlook

UNKNOWN = Interval(0.01, 0.0, float("inf"))


def outlook(**axes: Standing) -> Outlook:
    """A target whose axes stand so."""
    parts = tuple(AxisCoverage(name, 4096.0, 512.0, standing, None, "is far") for name, standing in axes.items())
    return Outlook(scope=TargetReport(parts, None, "doublings", UNKNOWN, None, "", "learning_rate", 0.01))


def test_what_is_not_covered_can_be_accepted() -> None:
    """Those axes alone are named, in the form of the key."""
    said = describe_open(outlook(width="not covered", depth="covered", tokens="not covered"))

    assert said is not None
    assert said.startswith("exit status 3: ")
    assert "`accept: [width, tokens]` in `sizes.target`" in said


@pytest.mark.parametrize("found", [Outlook(), outlook(width="covered"), outlook(width="accepted", depth="unchanged")])
def test_a_settled_target_needs_nothing(found: Outlook) -> None:
    """The negative control: nothing is not covered, or nothing is judged."""
    assert describe_open(found) is None
