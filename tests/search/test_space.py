"""Axes and lattices."""

from __future__ import annotations

import pytest

from hptransfer.errors import UsageError
from hptransfer.recipe.schema import Range
from hptransfer.search.space import Axis, Space

RATE = Axis("learning_rate", 2**-8, 2**-3, True)


def test_lattices_are_counted_from_one() -> None:
    """Half octaves in [0.01, 0.03]: 2^-6.5, 2^-6 and 2^-5.5, whatever the bounds."""
    axis = Axis("learning_rate", 0.01, 0.03, True)

    assert [axis.value(x) for x in axis.lattice(0.5)] == [2**-6.5, 0.015625, 2**-5.5]


def test_bounds_that_are_lattice_points_belong_to_it() -> None:
    """Both ends of [2^-8, 2^-3] are tried."""
    assert RATE.lattice(1.0) == [-8, -7, -6, -5, -4, -3]


@pytest.mark.parametrize("spacing", [1.0, 0.5, 0.3, 0.125])
def test_coordinates_survive_the_way_to_values_and_back(spacing: float) -> None:
    """A point is recognised after its value was stored."""
    for x in RATE.lattice(spacing):
        assert RATE.x(RATE.value(x)) == pytest.approx(x, abs=1e-12)


def test_a_linear_axis_covers_its_range() -> None:
    """Warmup from 0 to 0.4: eight steps of 0.05."""
    axis = Axis("warmup", 0.0, 0.4, False)

    assert [axis.value(x) for x in axis.lattice(1.0)] == pytest.approx([0, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4])


@pytest.mark.parametrize(("low", "high", "log"), [(0.1, 0.1, True), (0.2, 0.1, False), (0.0, 0.1, True)])
def test_empty_ranges_are_usage_errors(low: float, high: float, log: bool) -> None:
    """Equal or swapped bounds, and a log range from zero."""
    with pytest.raises(UsageError, match="low < high"):
        Axis("learning_rate", low, high, log)


def test_a_space_follows_the_recipe() -> None:
    """Order, scales and membership."""
    ranges = {
        "learning_rate": Range(low=0.001, high=0.1),
        "warmup": Range(low=0.0, high=0.5, scale="linear"),
    }
    space = Space.of(ranges)

    assert space.names == ("learning_rate", "warmup")
    assert space.contains({"learning_rate": 0.01, "warmup": 0.0, "seed": 3})
    assert not space.contains({"learning_rate": 0.2, "warmup": 0.0})
    assert not space.contains({"learning_rate": 0.01})


def test_values_stay_within_the_bounds() -> None:
    """Coordinates beyond an end give the end."""
    assert Space((RATE,)).values((-20.0,)) == {"learning_rate": 2**-8}


def test_wider_bounds_are_two_octaves_away() -> None:
    """2^-8 becomes 2^-10, 2^-3 becomes 2^-1; a linear range grows by half and stays above zero."""
    assert (RATE.wider("low"), RATE.wider("high")) == (2**-10, 2**-1)
    assert Axis("warmup", 0.1, 0.5, False).wider("low") == 0.0


def test_a_log_scale_of_a_beta_is_that_of_its_horizon() -> None:
    """1 / (1 - beta) doubles from 0.5 to 0.75 to 0.875; zero is a value, and one is not."""
    axis = Axis("beta2", 0.5, 0.875, True)

    assert axis.ends == (1.0, 3.0)
    assert [axis.value(x) for x in axis.lattice(1.0)] == [0.5, 0.75, 0.875]
    assert axis.wider("high") == 1 - 2.0**-5
    assert Axis("beta1", 0.0, 0.9, True).wider("low") == 0.0
    with pytest.raises(UsageError, match="low < high < 1"):
        Axis("beta1", 0.5, 1.0, True)
