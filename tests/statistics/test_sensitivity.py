"""What being an octave off costs, and whether larger sizes forgive it less."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

from hptransfer.statistics.sensitivity import growth_per_doubling
from hptransfer.transfer.judge import AxisReport, judge_axis
from tests.support.synthetic_ladders import BEND, GRID, ladder


def _judge(bends: tuple[float, ...], xs: tuple[float, ...] = GRID, end: float = math.inf) -> AxisReport:
    def curve(bend: float) -> Callable[[float], float]:
        return lambda x: 3 + bend * (x + 8) ** 2 if x < end else math.inf

    trials = ladder([curve(bend) for bend in bends], xs=xs, seeds=3, noise=0.0005)
    return judge_axis(trials, axis="width", hyperparameter="learning_rate", transferred=2**-8, reference=64)


def test_a_parabola_costs_its_bend_at_an_octave() -> None:
    """With a bend of b nats per squared octave half or twice the optimum costs b nats."""
    report = _judge((BEND,) * 4)
    assert report.sizes[0].octave_off.contains(BEND)
    assert report.sizes[0].octave_off.estimate == pytest.approx(BEND, rel=0.3)


def test_equal_bends_do_not_grow() -> None:
    """The same curve at every size costs the same, however far the loss falls."""
    report = _judge((BEND,) * 4)
    assert report.sensitivity_growth is not None
    assert report.sensitivity_growth.contains(0)
    assert not any("wrong learning_rate costs" in limit for limit in report.limits)


def test_a_bend_that_doubles_with_size_is_named() -> None:
    """Negative control: bends of 1, 2, 4, 8 times make a wrong value twice as dear per doubling."""
    report = _judge((BEND, 2 * BEND, 4 * BEND, 8 * BEND))
    assert report.sensitivity_growth is not None
    assert report.sensitivity_growth.contains(1)
    assert report.sensitivity_growth.low > 0.2
    assert any("The larger the width, the more a wrong learning_rate costs" in limit for limit in report.limits)


def test_a_divergence_within_an_octave_leaves_the_cost_open_above() -> None:
    """Where twice the optimum diverges no finite number says what it costs."""
    report = _judge((BEND,) * 4, end=-7.4)
    assert all(math.isinf(size.octave_off.high) for size in report.sizes)
    assert report.sensitivity_growth is None


def test_growth_is_the_slope_of_the_logarithm() -> None:
    """Costs of 1, 3 and 9 per mille at three doublings grow by 200% per doubling, exactly."""
    found = growth_per_doubling([6, 7, 8], [np.full(10, 0.001 * 3**k) for k in range(3)])
    assert found is not None
    assert found.estimate == pytest.approx(2.0)
