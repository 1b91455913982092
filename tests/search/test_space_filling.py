"""Sobol points and grids: known before the first result."""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hptransfer.search.space import Axis, Space
from hptransfer.search.space_filling import first_untaken, grid, grid_shape, sobol
from tests.support.searches import LINE, PLANE


def test_sobol_points_are_evenly_spread() -> None:
    """The first 16 scrambled Sobol points: one in each of 16 strips, and in each cell of a 4 x 4 grid."""
    points = sobol(PLANE, 16, seed=3)
    strips = {int((x + 10) / 8 * 15.999) for x, _ in points}
    cells = {(int((x + 10) / 8 * 3.999), int((y + 3) / 6 * 3.999)) for x, y in points}

    assert len(strips) >= 15  # the lattice moves a point by a sixteenth of an octave
    assert len(cells) >= 15


def test_more_sobol_points_begin_with_the_same() -> None:
    """A larger total continues the sequence."""
    assert sobol(PLANE, 40, seed=0)[:12] == sobol(PLANE, 12, seed=0)


def test_a_narrow_range_still_has_distinct_points() -> None:
    """Half an octave holds nine lattice points; thirty are asked."""
    narrow = Space((Axis("learning_rate", 0.01, 0.0141, True),))

    assert len(set(sobol(narrow, 30, seed=0))) == 30


@given(st.integers(1, 4), st.integers(1, 300))
def test_a_grid_uses_what_it_can_of_the_total(dimensions: int, total: int) -> None:
    """Never more points than trials; with one more value on the next axis there would be."""
    shape = grid_shape(dimensions, total)

    assert math.prod(shape) <= total
    assert max(shape) - min(shape) <= 1
    grown = list(shape)
    grown[shape.index(min(shape))] += 1
    assert math.prod(grown) > total


def test_a_grid_covers_both_bounds() -> None:
    """Twelve trials of two axes: four values times three, corners included, each point once."""
    points = grid(PLANE, 12, seed=0)

    assert grid_shape(2, 12) == (4, 3)
    assert set(points) == set(itertools.product([-10, -10 + 8 / 3, -10 + 16 / 3, -2], [-3, 0, 3]))
    assert points != sorted(points)


def test_a_single_value_is_the_middle() -> None:
    """One trial of a grid tries the middle of the range."""
    assert grid(LINE, 1, seed=0) == [(-6.0,)]


def test_taken_points_are_passed_over() -> None:
    """The first two that are neither taken nor repeated."""
    assert first_untaken([(1.0,), (2.0,), (1.0,), (3.0,)], [(2.0,)], 2) == [(1.0,), (3.0,)]


@pytest.mark.parametrize("seed", [0, 1])
def test_the_order_of_a_grid_is_the_seeds(seed: int) -> None:
    """Same seed, same order."""
    assert grid(PLANE, 12, seed) == grid(PLANE, 12, seed)
    assert grid(PLANE, 12, seed) != grid(PLANE, 12, seed + 5)
