"""What a budget can tell, against simulated fits and the plain cases."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest

from hptransfer.search.rounds import EFFICIENCY, MISFIT, TYPICAL_CURVATURE, advice, expected_power, found_power
from hptransfer.search.space import Axis, Space
from tests.support.searches import recommended, trial

#: the recipe's default criterion of regret
GOAL = 0.0025
RATE = Axis("learning_rate", 2**-10, 2**-2, True)
SPACE = Space((RATE, Axis("weight_decay", 2**-10, 2**-2, True), Axis("init_scale", 2**-3, 2**3, True)))


def test_the_spread_is_that_of_a_parabola_fit() -> None:
    """Even runs over +-2 octaves, noise 0.2% and misfit: within 10% of the spread of simulated vertices."""
    rng = np.random.default_rng(0)
    x, scatter = np.linspace(-2, 2, 41), math.hypot(0.002, MISFIT)
    fits = np.polyfit(x, TYPICAL_CURVATURE * x[:, None] ** 2 + scatter * rng.standard_normal((41, 4000)), 2)
    simulated = float(np.std(-fits[1] / (2 * fits[0])))
    narrow = Space((Axis("learning_rate", 2**-8, 2**-4, True),))  # every run is within two octaves

    assert (expected_power(narrow, 41, GOAL, 0.002).octaves or 0) * EFFICIENCY**0.5 == pytest.approx(simulated, rel=0.1)


def test_more_trials_less_noise_and_fewer_dimensions_help() -> None:
    """The chance grows with each."""
    base = expected_power(SPACE, 24, GOAL, 0.005)

    assert expected_power(SPACE, 48, GOAL, 0.005).chance > base.chance
    assert expected_power(SPACE, 24, GOAL, 0.003).chance > base.chance
    assert expected_power(Space((RATE,)), 24, GOAL, 0.005).chance > base.chance


def test_fewer_trials_than_coefficients_miss_the_goal() -> None:
    """Three hyperparameters need ten numbers; eight trials cannot give them."""
    power = expected_power(SPACE, 8, GOAL)

    assert power.misses_goal
    assert "cannot fix a bowl: 10 numbers" in power.sentence


def test_the_advice_is_enough() -> None:
    """Following it makes the budget hopeful."""
    power = expected_power(SPACE, 12, GOAL, 0.005)

    advised = re.search(r"`tune\.trials: (\d+)` would do", advice(SPACE, power))

    assert power.misses_goal
    assert advised is not None
    assert not expected_power(SPACE, int(advised[1]), GOAL, 0.005).misses_goal


def test_a_default_search_is_expected_to_reach_the_goal() -> None:
    """Sixteen trials of one learning rate over ten octaves, noise 0.3%."""
    assert not expected_power(Space((Axis("learning_rate", 2**-12, 2**-2, True),)), 16, GOAL).misses_goal


@pytest.mark.parametrize(
    ("dimensions", "noise", "measured"),
    [(1, 0.001, 1.00), (1, 0.005, 0.94), (1, 0.01, 0.67), (2, 0.001, 0.98), (2, 0.005, 0.68), (2, 0.01, 0.43),
     (3, 0.001, 0.80), (3, 0.005, 0.38), (3, 0.01, 0.15), (4, 0.001, 0.43), (4, 0.005, 0.22), (4, 0.01, 0.06)],
)  # fmt: skip
def test_the_chance_is_what_searches_reached(dimensions: int, noise: float, measured: float) -> None:
    """Shares of the 100 searches of 16 trials on the published seeds (docs/benchmarks.md): within 15 points."""
    ranges = [(2**-12, 2**-2), (2**-10, 2**-2), (2**-3, 2**3), (2**-3, 2**3)]
    names = ("learning_rate", "weight_decay", "init_scale", "multiplier")
    axes = tuple(Axis(name, *ends, True) for name, ends in zip(names, ranges, strict=True))

    assert expected_power(Space(axes[:dimensions]), 16, GOAL, noise).chance == pytest.approx(measured, abs=0.15)


def test_without_measured_noise_spread_and_chance_are_those_of_the_interval() -> None:
    """A normal vertex is within a plateau of half-width w with probability erf(w / (s sqrt(2)))."""
    space = Space((Axis("learning_rate", 2**-12, 2**-4, True),))
    runs = [trial(space, (x,), loss) for x, loss in ((-12.0, 4.2325), (-10.0, 2.9599), (-8.0, 2.6597), (-4.0, 2.9202))]
    found = recommended(space, runs)
    power = found_power(space, 4, GOAL, found)
    (low, high), (first, last) = found.intervals["learning_rate"], found.plateaus["learning_rate"]
    assert low is not None
    assert high is not None
    spread = math.log2(high / low) / 3.92

    assert power.noise_from == "assumed"
    assert power.noise == 0.003
    assert power.octaves == pytest.approx(spread, rel=1e-6)
    assert power.chance == pytest.approx(math.erf(math.log2(last / first) / 2 / spread / math.sqrt(2)), rel=1e-6)


def test_an_open_interval_has_no_spread() -> None:
    """The lowest run lies at the end of the range: how far off the optimum is nobody knows."""
    space = Space((Axis("learning_rate", 2**-12, 2**-4, True),))
    runs = [trial(space, (x,), 2 - 0.1 * x) for x in (-12.0, -10.0, -8.0, -4.0)]
    power = found_power(space, 4, GOAL, recommended(space, runs))

    assert power.octaves is None
    assert power.misses_goal
    assert power.sentence.endswith("leave open where the bottom of the bowl is: too few lie near it")
