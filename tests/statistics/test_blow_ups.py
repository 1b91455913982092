"""Finite blow-ups are told from steep flanks."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

from hptransfer.statistics.blow_ups import first_blow_ups
from hptransfer.statistics.optimum import estimate_optima
from hptransfer.statistics.seed_means import Point, average_seeds, average_sizes
from tests.support.synthetic_ladders import BEND, GRID, parabola, sweep

Curve = Callable[[float], float]

#: (name, curve of the octaves above the optimum): steep, and trained all the same
FLANKS: dict[str, Curve] = {
    "parabola": lambda u: 3 + BEND * u * u,
    "steep parabola": lambda u: 3 + 5 * u * u,
    "exponential valley": lambda u: math.exp(0.35 * u * u),
    "valley near zero": lambda u: 0.001 * math.exp(0.35 * u * u),
    "four times the bend on the right": lambda u: 3 + BEND * u * u * (1 if u < 0 else 4),
    "steeper on the right": lambda u: 3 + BEND * (math.exp(0.6 * u) - 1 - 0.6 * u) * 2 / 0.36,
    "deep valley": lambda u: 3 + 5 * BEND * (math.cosh(u) - 1),
}


@pytest.mark.parametrize("name", FLANKS)
@pytest.mark.parametrize("spacing", [0.5, 1.0])
@pytest.mark.parametrize("below", [2, 4])
def test_a_steep_flank_is_no_blow_up(name: str, spacing: float, below: int) -> None:
    """Whatever the grid's offset, and however far it reaches: four sizes, noise-free and with 0.1% of the loss."""
    for offset in np.linspace(-0.5, 0.5, 11):
        xs = spacing * (np.arange(-below / spacing, 4 / spacing + 1) + offset)
        for noise in (0.0, 0.001):
            rng = np.random.default_rng(0)
            losses = [[FLANKS[name](u) * (1 + noise * rng.standard_normal()) for u in xs] for _ in range(4)]
            assert first_blow_ups([(xs, np.array(means)) for means in losses]) == (None,) * 4


@pytest.mark.parametrize("level", [7.8, 4.4, 3.7])
@pytest.mark.parametrize("last", [True, False])
@pytest.mark.parametrize("spacing", [0.5, 1.0])
def test_a_jump_is_a_blow_up_whatever_it_reaches(level: float, last: bool, spacing: float) -> None:
    """Also below 1.5 times the best loss, on the last value of the grid or on several."""
    xs = spacing * np.arange(-3.3, 3)
    end = float(xs[-1] if last else xs[-3])
    means = np.array([parabola(x - 8) if x < end - 1e-9 else level for x in xs])
    found = first_blow_ups([(xs, means)] * 3)
    assert found == (int(np.searchsorted(xs, end)),) * 3


@pytest.mark.parametrize("good", [1, 2])
def test_one_or_two_good_values_below_are_enough(good: int) -> None:
    """Other sizes show how much curves bend; this one blows up right above its first values."""
    short = [Point(x, 0, parabola(x) if n < good else 7.8) for n, x in enumerate(GRID[4 - good // 2 :])]
    tables = average_sizes([*(sweep(parabola, seeds=1, noise=0.0005, rng=k) for k in range(3)), short])
    assert [len(table.blown) for table in tables] == [0, 0, 0, len(short) - good]
    assert tables[-1].wall == GRID[4 - good // 2 + good]
    found = estimate_optima([*(sweep(parabola, seeds=1, noise=0.0005, rng=k) for k in range(3)), short])[-1]
    assert found.high <= GRID[4 - good // 2 + good]
    assert found.low <= -8 <= found.high


def test_two_values_below_a_wall_have_the_bend_of_the_others() -> None:
    """Losses at -8.5 and -7.5 are equal and a wall stands at -7: with a common bend the optimum lies between."""
    pair = sweep(parabola, (-8.5, -7.5), seeds=4, noise=0.0003)
    wall = [Point(-7.0, seed, math.inf, diverged=True) for seed in range(4)]
    found = estimate_optima([*(sweep(parabola, seeds=4, noise=0.0003, rng=k) for k in range(3)), pair + wall])[-1]
    assert found.interval.contains(-8)
    assert math.isfinite(found.curvature)


def test_one_run_that_blew_up_among_good_ones_is_an_accident() -> None:
    """Losses that come back are no flank of blow-ups: one value out of line bounds nothing."""
    table = average_seeds([Point(x, 0, 7.8 if x == -7 else parabola(x)) for x in GRID])
    assert table.blown == ()


def test_losses_that_explode_are_blow_ups() -> None:
    """Gradient descent beyond its stability limit: 384, then 1789, then infinity; no curve leads there."""
    losses = (0.757, 0.434, 0.204, 0.071, 0.025, 384.0, 1789.0)
    assert average_seeds([Point(n / 2, 0, loss) for n, loss in enumerate(losses)]).blown == (2.5, 3.0)


def test_a_dense_sweep_ends_where_it_blows_up() -> None:
    """A thousand values: the first that lies on the other level is found to within one of them."""
    rng = np.random.default_rng(0)
    xs = np.sort(rng.uniform(-10, -6, 1000))
    table = average_seeds([Point(x, 0, (parabola(x) if x < -7 else 7.8) + 0.005 * rng.standard_normal()) for x in xs])
    assert table.wall == pytest.approx(float(xs[xs >= -7][0]), abs=1e-6)
