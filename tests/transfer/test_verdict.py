"""The three outcomes."""

from __future__ import annotations

import itertools
from typing import get_args

import pytest

from hptransfer.recipe.expect_section import Expect
from hptransfer.statistics.interval import Interval
from hptransfer.transfer.speed import Speed, speed_of
from hptransfer.verdict import Verdict


@pytest.mark.parametrize(
    ("verdict", "status"),
    # the exit statuses promised in docs/exit-status.md
    [(Verdict.TRANSFERS, 0), (Verdict.DRIFTS, 1), (Verdict.INCONCLUSIVE, 3)],
)
def test_each_verdict_owns_its_exit_status(verdict: Verdict, status: int) -> None:
    """0 it holds, 1 it does not hold, 3 inconclusive."""
    assert verdict.exit_status == status


def test_a_recipe_can_expect_each_verdict() -> None:
    """The recipe's room lies below this one, so its key has the names once more: they are these."""
    assert get_args(get_args(Expect.model_fields["verdict"].annotation)[0]) == tuple(
        verdict.value for verdict in Verdict
    )


@pytest.mark.parametrize(
    ("parts", "whole"),
    [
        (["TRANSFERS"], "TRANSFERS"),
        (["TRANSFERS", "TRANSFERS"], "TRANSFERS"),
        (["TRANSFERS", "INCONCLUSIVE"], "INCONCLUSIVE"),
        (["INCONCLUSIVE", "DRIFTS"], "DRIFTS"),
        (["TRANSFERS", "DRIFTS"], "DRIFTS"),
        ([], "INCONCLUSIVE"),
    ],
)
def test_axes_combine_to_the_worst(parts: list[str], whole: str) -> None:
    """Any DRIFTS decides, then any INCONCLUSIVE, whatever the order."""
    for order in itertools.permutations(parts):
        assert Verdict.combine(Verdict[part] for part in order) is Verdict[whole]


def test_a_verdict_is_its_word() -> None:
    """In JSON and in text a verdict is the plain word."""
    assert f"{Verdict.DRIFTS}" == "DRIFTS"


def test_a_sentence_needs_all_its_facts() -> None:
    """A missing number is an error of the caller, not a hole in the sentence."""
    with pytest.raises(KeyError):
        Verdict.TRANSFERS.sentence(subject="learning_rate", axis="width")


@pytest.mark.parametrize(
    ("estimate", "low", "high", "speed"),
    [
        # docs/verdicts.md: at most 0.05, with an interval up to 0.1, is fast; above 0.25 is weak
        (0.05, 0.0, 0.1, Speed.FAST),
        (0.051, 0.0, 0.1, Speed.OPEN),
        (0.05, 0.0, 0.11, Speed.OPEN),
        (0.3, 0.25, 0.4, Speed.WEAK),
        (0.3, 0.24, 0.4, Speed.OPEN),
    ],
)
def test_the_ratio_has_a_name(estimate: float, low: float, high: float, speed: Speed) -> None:
    """Both the estimate and the interval decide."""
    assert speed_of(Interval(estimate, low, high), affordable=speed is not Speed.WEAK) is speed


def test_a_ratio_that_is_not_known_has_none() -> None:
    """Where nothing was gained there is no ratio."""
    assert speed_of(None, affordable=True) is None
