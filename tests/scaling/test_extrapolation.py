"""How far a target lies beyond what was trained."""

from __future__ import annotations

from hptransfer.scaling.target import extrapolation
from hptransfer.sizes import Size
from tests.support.targets import GPT, MLP, planned


def test_extrapolation_says_what_is_theory() -> None:
    """Each axis has its distance from what was trained, and says when nothing but theory covers it."""
    made = planned(GPT, size=Size(256, 4, 16, 1600))
    axes = {
        entry.axis: entry
        for entry in extrapolation(made.base, made.size, made.covers, {"widths": [16, 32, 64], "depths": [2, 4]})
    }

    assert (axes["width"].checked_up_to, axes["width"].factor) == (64, 4.0)
    assert axes["width"].sentence == "width 256 lies 4 times beyond the largest trained (64): by theory alone"
    assert axes["depth"].sentence == "depth 4 lies within what was trained (up to 4)"
    assert axes["batch_size"].sentence.endswith("2 times that of the checked runs: no rule and no check cover it")
    assert axes["tokens"].factor == 2.0


def test_an_axis_without_rule_is_not_called_theory() -> None:
    """Under mup a deeper target is covered by nothing."""
    made = planned(MLP)
    axes = {
        entry.axis: entry for entry in extrapolation(made.base, made.size, made.covers, {"widths": [16], "depths": [2]})
    }

    assert axes["depth"].sentence.endswith("no rule and no check cover it")


def test_an_axis_that_the_check_reaches_is_not_said_to_be_uncovered() -> None:
    """Of a program that applies rules itself no rule is known, and the check's own extrapolation is what covers it."""
    made = planned(MLP, size=Size(64, 2, 8, 800))
    checked = {"widths": [16, 32]}
    (width, *_) = extrapolation(made.base, made.size, frozenset(), checked, covered=["width"])

    assert width.sentence == (
        "width 64 lies 2 times beyond the largest trained (32): the check's extrapolation covers it"
    )
