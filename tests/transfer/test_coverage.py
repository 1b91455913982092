"""How a target stands: what is accepted, what follows the size, and the sentences about it."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from hptransfer.statistics.interval import Interval
from hptransfer.transfer.coverage import HORIZON, AxisCoverage, Ray, TargetReport, accepting

OPEN = Interval(0.01, 0.0, math.inf)
WIDTH = AxisCoverage("width", 4096.0, 1024.0, "not covered", None, "is 4 times the largest checked (1024)")
TOKENS = AxisCoverage("tokens", 2e6, None, "not covered", None, "was never varied in a check")
PER = AxisCoverage(HORIZON, 40.0, 20.0, "not covered", None, "is 2 times that of the proxy")


def report(*axes: AxisCoverage) -> TargetReport:
    """The judgement of a target with these axes, without a best value."""
    return TargetReport(axes, None, "doublings of compute", OPEN, None, "", "learning_rate", 0.01).worded()


@pytest.mark.parametrize(("width", "standing"), [(2048.0, "accepted"), (4096.0, "accepted"), (8192.0, "not covered")])
def test_what_is_accepted_ends_where_the_recipes_own_target_lies(width: float, standing: str) -> None:
    """An acceptance was given with a target in view: a larger one was not, and the sentence says what to change."""
    found = accepting(report(replace(WIDTH, value=width)), {"width": (64, 4096)})

    assert found.axes[0].standing == standing
    assert found.settled is (standing == "accepted")
    beyond = (
        "the recipe accepts width up to 4096 only, its own target's: to accept this, raise its `sizes.target.width`"
    )
    assert (beyond in found.sentence) is (standing == "not covered")


def test_smaller_than_what_is_accepted_is_not_accepted_either() -> None:
    """A batch of 16 below a proxy's 64, where 64 to 256 are accepted, lies on the other side of what was checked."""
    batch = AxisCoverage("batch_size", 16.0, None, "not covered", None, "was never varied in a check")
    found = accepting(report(batch), {"batch_size": (64, 256)})

    assert not found.settled
    assert "batch size down to 64 only" in found.sentence


def test_tokens_per_parameter_are_accepted_as_a_ratio() -> None:
    """Their value is known up to a factor alone: 2 times the proxy's is accepted up to 2, not up to 1.5."""
    wide, narrow = (accepting(report(PER), {HORIZON: (1.0, most)}) for most in (2.0, 1.5))

    assert wide.settled
    assert not narrow.settled
    assert "up to 1.5 times that of the proxy only" in narrow.sentence


def test_tokens_per_parameter_that_alone_are_missing_are_named() -> None:
    """Who accepts width and tokens is told the third name that their ratio needs; where more is missing, not."""
    ranges = {"width": (64.0, 4096.0), "tokens": (1e6, 2e6)}
    alone = accepting(report(WIDTH, TOKENS, PER), ranges)
    more = accepting(report(WIDTH, TOKENS, PER), {"tokens": (1e6, 2e6)})

    assert [axis.standing for axis in alone.axes] == ["accepted", "accepted", "not covered"]
    assert "add `tokens_per_parameter` to the recipe's `sizes.target.accept`" in alone.sentence
    assert "add `tokens_per_parameter`" not in more.sentence


def test_every_part_of_the_headline_is_a_sentence() -> None:
    """What weighs most comes first, subjects and verbs agree, and each sentence begins with a capital."""
    covered = replace(WIDTH, standing="covered")
    assert report(covered).sentence == "The target is covered: width 4096 is 4 times the largest checked (1024)."
    assert report(TOKENS, covered).sentence == (
        "The target is NOT COVERED: tokens 2000000 were never varied in a check. What else differs from the proxy is "
        "covered: width 4096 is 4 times the largest checked (1024)."
    )
    assert accepting(report(WIDTH), {"width": (64, 4096)}).sentence == (
        "The target is not covered, and the recipe accepts that: width 4096 is 4 times the largest checked (1024)."
    )
    assert "Not covered either, but accepted by the recipe: width" in (
        accepting(report(TOKENS, WIDTH), {"width": (64, 4096)}).sentence
    )
    assert report().sentence == "The target has the proxy's size: nothing is carried."


@pytest.mark.parametrize(("there", "standing"), [(20.9, "unchanged"), (21.5, "not covered"), (18.0, "not covered")])
def test_a_ray_is_as_wide_as_five_percent(there: float, standing: str) -> None:
    """Tokens in whole steps are not exactly 20 per parameter."""
    assert Ray("tokens", HORIZON, 20.0, there, "20 tokens per parameter").coverage.standing == standing
