"""From rows to seed means."""

from __future__ import annotations

import random

import numpy as np
import pytest

from hptransfer.errors import UsageError
from hptransfer.statistics.seed_means import Point, average_seeds
from tests.support.synthetic_ladders import GRID, parabola, sweep


def test_luck_that_a_seed_has_everywhere_is_no_noise() -> None:
    """With common random numbers a seed's offset cancels: noise-free rows leave no residual."""
    table = average_seeds([Point(x, seed, parabola(x) + 0.01 * seed) for x in GRID for seed in range(3)])
    assert table.residual_ss == pytest.approx(0, abs=1e-20)
    assert table.seed_effect_ss == pytest.approx(0.01**2 * 2)


def test_loud_flanks_do_not_count_as_noise() -> None:
    """Runs that are about to blow up scatter; the noise of the minimum is what judges the optimum."""
    points = sweep(parabola, seeds=4, noise=0.001)
    flank = [Point(p.x, p.seed, p.loss + (0.05 * p.seed if p.x > -7 else 0)) for p in points]
    loud, quiet = average_seeds(flank), average_seeds(points)
    assert loud.residual_ss / loud.residual_df < 4 * quiet.residual_ss / quiet.residual_df


def test_a_seed_that_ran_at_some_values_only_does_not_tilt_the_curve() -> None:
    """Values without the unlucky seed are compared as if it had run there."""
    points = [Point(x, 0, parabola(x)) for x in GRID]
    points += [Point(x, 1, parabola(x) + 0.5) for x in GRID[:4]]
    mean = average_seeds(points).mean
    assert mean - mean[4] == pytest.approx([parabola(x) - parabola(GRID[4]) for x in GRID])


def test_seeds_that_occur_once_count_as_noise() -> None:
    """Fresh seeds at every value share no luck, so their scatter is the noise of a run."""
    rng = np.random.default_rng(0)
    points = [Point(x, 10 * i + k, 3 + 0.1 * rng.standard_normal()) for i, x in enumerate(GRID) for k in range(6)]
    table = average_seeds(points)
    assert table.residual_df == len(GRID) * 5
    assert np.sqrt(table.residual_ss / table.residual_df) == pytest.approx(0.1, rel=0.2)


def test_the_order_of_rows_does_not_matter() -> None:
    """A shuffled table is the same table, bit for bit."""
    points = sweep(parabola, seeds=3, noise=0.002)
    shuffled = points.copy()
    random.Random(0).shuffle(shuffled)
    a, b = average_seeds(points), average_seeds(shuffled)
    assert (a.mean == b.mean).all()
    assert a.residual_ss == b.residual_ss


def test_a_row_that_occurs_twice_counts_once() -> None:
    """Duplicated rows neither add seeds nor shrink noise."""
    points = sweep(parabola, seeds=2, noise=0.002)
    once, twice = average_seeds(points), average_seeds(points + points)
    assert (once.mean == twice.mean).all()
    assert once.residual_df == twice.residual_df


def test_divergence_at_one_seed_is_a_wall() -> None:
    """A value at which any seed blew up does not belong to the curve, nor does anything beyond it."""
    points = [*sweep(parabola), Point(-6.5, 7, float("inf"), diverged=True)]
    table = average_seeds(points)
    assert table.wall == -6.5
    assert table.x.max() == -7.0


def test_a_dense_sweep_keeps_its_noise() -> None:
    """A thousand single runs are averaged in cells whose scatter shows the noise."""
    rng = np.random.default_rng(1)
    points = [Point(x, 0, parabola(x) + 0.01 * rng.standard_normal()) for x in rng.uniform(-10, -6, 1000)]
    table = average_seeds(points)
    assert len(table.x) <= 32
    assert np.sqrt(table.residual_ss / table.residual_df) == pytest.approx(0.01, rel=0.1)


def test_nothing_but_divergence_is_refused() -> None:
    """Without a single finite loss there is no curve; the message says what to do."""
    with pytest.raises(UsageError, match="without diverging") as caught:
        average_seeds([Point(-8.0, 0, float("inf"), diverged=True)])
    assert caught.value.findings[0].hint == "extend the grid to smaller values"


def test_no_rows_are_refused() -> None:
    """An empty table is the caller's mistake."""
    with pytest.raises(UsageError, match="at least one finished run"):
        average_seeds([])


def test_a_jump_bounds_the_optimum_like_a_divergence() -> None:
    """Three values are left below the jump, and no smooth curve leads from there to more than twice the loss."""
    losses = (3.05, 3.01, 3.0, 7.2, 7.5)
    assert average_seeds([Point(x, 0, loss) for x, loss in enumerate(losses)]).wall == 3


def test_a_jump_above_two_values_is_a_wall_too() -> None:
    """Three losses at one level, four nats above two that differ by 0.2, are what training that blew up leaves."""
    table = average_seeds([Point(x, 0, loss) for x, loss in enumerate((2.7, 2.9, 7.2, 7.5, 7.3))])
    assert table.blown == (2.0, 3.0, 4.0)
    assert table.wall == 2
    assert table.x.tolist() == [0, 1]
