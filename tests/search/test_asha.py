"""Rungs: what is stopped, and what never is."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from hptransfer.search.asha import loss_at, rungs
from hptransfer.search.recommendation import recommend
from hptransfer.trials.trial import Trial, TrialState
from tests.support.searches import LINE, trial

STEPS = 100


def with_curve(x: float, final: float, early: float) -> Trial:
    """A trial whose training loss is `early` for the first half and falls to `final` in a line."""
    curve = [(step, early if step <= 50 else early + (final - early) * (step - 50) / 50) for step in range(1, 101)]
    return replace(trial(LINE, (x,), final), curve=tuple(curve))


TRIALS = [
    with_curve(-9.0, 3.0, 3.5),
    with_curve(-8.0, 2.5, 3.0),
    with_curve(-7.0, 2.0, 2.2),
    with_curve(-6.0, 2.3, 2.4),
]


def test_the_limit_is_the_median_at_the_rung() -> None:
    """Losses 3.5, 3.0, 2.2, 2.4 at a quarter and at half of the run: the limit is 2.7 at both."""
    found = rungs(TRIALS, STEPS)

    assert [rung.step for rung in found] == [25, 50]
    assert [rung.limit for rung in found] == pytest.approx([2.7, 2.7])


def test_a_good_trial_that_was_slow_raises_the_limit() -> None:
    """A trial that ends within 2% of the best but was at 3.2 halfway: nothing below 3.2 is stopped any more."""
    slow = with_curve(-6.5, 2.02, 3.2)

    assert [rung.limit for rung in rungs([*TRIALS, slow], STEPS)] == pytest.approx([3.2, 3.2])


def test_three_trials_compare_nothing() -> None:
    """No rung without four trials, none without a complete one, and divergences do not count."""
    blown = replace(trial(LINE, (-2.0,), math.inf), curve=((30, 9.0), (60, 9.0)))

    assert rungs(TRIALS[:3], STEPS) == ()
    assert rungs([*TRIALS[:3], blown], STEPS) == ()
    assert rungs([], STEPS) == ()


def test_the_loss_at_a_rung_is_the_mean_of_the_last_tenth() -> None:
    """Steps 61 to 70 of a line from 3.0 at 50 to 2.5 at 100; a shorter run has none."""
    assert loss_at(TRIALS[1], 70, STEPS) == pytest.approx(3.0 - 0.5 * 15.5 / 50)
    assert loss_at(replace(TRIALS[1], curve=TRIALS[1].curve[:60]), 70, STEPS) is None


def test_a_stopped_trial_is_neither_fitted_nor_a_bound() -> None:
    """Losses fall to the last value that ran whole; one beyond was stopped, so the optimum is not called an edge."""
    trials = [trial(LINE, (float(x),), 2 - 0.1 * x) for x in range(-10, -4)]
    beyond = replace(trial(LINE, (-4.0,), math.inf), state=TrialState.STOPPED)
    alone, found = recommend(LINE, trials), recommend(LINE, trials, [beyond])

    assert alone is not None
    assert found is not None
    assert alone.edges == {"learning_rate": "high"}
    assert found.edges == {}
    assert found.values == alone.values
