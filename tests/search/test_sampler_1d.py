"""The one-dimensional search: coarse over the range, fine around the minimum, nothing where nothing can be."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hptransfer.search.sampler_1d import coarse_step, is_excluded, propose, van_der_corput_order
from hptransfer.search.space import Axis
from hptransfer.statistics.seed_means import Point

RATE = Axis("learning_rate", 2**-10, 2**-2, True)


def points(losses: dict[float, float]) -> list[Point]:
    """Results at coordinates; an infinite loss diverged."""
    return [Point(x, 0, loss, not math.isfinite(loss)) for x, loss in losses.items()]


def searched(loss: Callable[[float], float], total: int, *, rounds: int = 4, axis: Axis = RATE) -> list[Point]:
    """A whole search on a noiseless curve."""
    finished: list[Point] = []
    while len(finished) < total:
        count = min(rounds, total - len(finished))
        new = propose(axis, finished, [], spacing=0.5, count=count, total=total)
        if not new:
            break
        finished += points({x: loss(x) for x in new})
    return finished


def test_the_spread_order_is_van_der_corputs() -> None:
    """Eight points: 0, 4, 2, 6, 1, 5, 3, 7 (the indices with their three bits reversed)."""
    assert van_der_corput_order([float(x) for x in range(8)]) == [0, 4, 2, 6, 1, 5, 3, 7]


@pytest.mark.parametrize("count", [0, 1, 2, 3, 5, 9, 16])
def test_the_spread_order_keeps_every_point(count: int) -> None:
    """Whatever the number, each point comes once."""
    assert sorted(van_der_corput_order([float(x) for x in range(count)])) == list(range(count))


def test_octaves_come_first() -> None:
    """Eight octaves and 16 trials: the first nine points are the integers."""
    first = searched(lambda x: 2 + 0.1 * (x + 6.3) ** 2, 9)

    assert sorted(point.x for point in first) == [-10, -9, -8, -7, -6, -5, -4, -3, -2]


def test_refinement_fills_half_octaves_around_the_minimum() -> None:
    """After the octaves, the points nearest to -6.3 on the next lattices."""
    later = [point.x for point in searched(lambda x: 2 + 0.1 * (x + 6.3) ** 2, 16)[9:]]

    assert set(later[:4]) == {-6.5, -5.5, -7.5, -4.5}
    assert all(abs(x + 6.3) <= 2 for x in later)


def test_a_narrow_range_starts_with_finer_steps() -> None:
    """Two octaves hold five half-octave points."""
    assert coarse_step(Axis("learning_rate", 2**-7, 2**-5, True), 0.5, 16) == 0.5


def test_a_small_budget_starts_with_coarser_steps() -> None:
    """Twenty octaves and eight trials: steps of four octaves leave three trials for refinement."""
    assert coarse_step(Axis("learning_rate", 2**-20, 1.0, True), 0.5, 8) == 4


def test_points_of_checks_grid_are_met() -> None:
    """Every coarse point and the first refinements are multiples of check's spacing."""
    assert all((2 * point.x).is_integer() for point in searched(lambda x: 2 + 0.1 * (x + 6.3) ** 2, 12))


def test_two_divergences_end_the_search_upwards() -> None:
    """Nothing is tried beyond the smaller of two divergences above every finite loss."""
    results = points({-8: 3.0, -6: 2.0, -4: math.inf, -3: math.inf})

    assert is_excluded(-2, results)
    assert not is_excluded(-5, results)


def test_one_divergence_does_not() -> None:
    """One blow-up may be bad luck."""
    assert not is_excluded(-2, points({-8: 3.0, -6: 2.0, -4: math.inf}))


def test_trials_saved_above_the_wall_are_spent_on_refinement() -> None:
    """With a wall at -6, at most three of 16 trials diverge."""
    finished = searched(lambda x: 2 + 0.1 * (x + 7) ** 2 if x <= -6 else math.inf, 16)

    assert len(finished) == 16
    assert sum(point.diverged for point in finished) <= 4


def test_a_rising_flank_is_left_alone() -> None:
    """Losses fall 4, 3.5, 3, 2 towards -4: a point at -11 is no use, one at -6.5 is."""
    results = points({-10: 4.0, -8: 3.5, -6: 3.0, -4: 2.0})

    assert is_excluded(-9, results)
    assert not is_excluded(-5, results)


def test_a_flank_that_is_not_monotone_is_explored() -> None:
    """A second valley may hide there."""
    assert not is_excluded(-9, points({-10: 3.1, -8: 3.5, -6: 3.0, -4: 2.0}))


def test_divergence_everywhere_ends_the_search() -> None:
    """When all coarse points diverged there is nothing to refine."""
    assert len(searched(lambda x: math.inf, 16)) == 9


def test_points_decided_before_are_not_proposed_again() -> None:
    """A failed point stays out."""
    first = propose(RATE, [], [], spacing=0.5, count=4, total=16)
    second = propose(RATE, [], first, spacing=0.5, count=4, total=16)

    assert set(first).isdisjoint(second)


@settings(max_examples=25, deadline=None)
@given(st.floats(-9.5, -2.5), st.integers(6, 24), st.integers(1, 6))
def test_a_search_never_repeats_or_leaves_the_range(optimum: float, total: int, rounds: int) -> None:
    """Whatever the optimum, budget and round size: distinct points within the bounds, as many as asked."""
    xs = [point.x for point in searched(lambda x: 2 + 0.1 * (x - optimum) ** 2, total, rounds=rounds)]

    assert len(xs) == len({round(x, 6) for x in xs}) == total
    assert all(-10 <= x <= -2 for x in xs)
