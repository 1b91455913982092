"""Intervals and what is asked of them."""

from __future__ import annotations

import math

import pytest

from hptransfer.statistics.interval import Interval


def test_an_interval_lies_inside_a_band_only_as_a_whole() -> None:
    """One end beyond the band is enough not to hold."""
    assert Interval(0.0, -0.15, 0.15).inside(0.15)
    assert not Interval(0.0, -0.1, 0.16).inside(0.15)


def test_an_interval_lies_outside_a_band_only_on_one_side() -> None:
    """An interval around the whole band is neither inside nor outside."""
    assert Interval(-0.5, -math.inf, -0.2).outside(0.15)
    assert Interval(0.5, 0.2, 0.8).outside(0.15)
    assert not Interval(0.0, -1.0, 1.0).outside(0.15)


def test_an_open_interval_is_never_inside() -> None:
    """What is not known cannot be called small."""
    assert not Interval(0.0, -math.inf, 0.1).inside(0.15)
    assert not Interval(0.0, -math.inf, 0.1).bounded


def test_ends_in_the_wrong_order_are_refused() -> None:
    """An interval cannot exist further in with its estimate outside."""
    with pytest.raises(ValueError, match="low <= estimate <= high"):
        Interval(0.0, 0.1, 0.2)
