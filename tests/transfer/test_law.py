"""The law of a ladder where no rule is claimed: exact on a line, and open to a path that bends."""

from __future__ import annotations

import math

import pytest

from hptransfer.sizes import Size
from hptransfer.statistics.interval import Interval
from hptransfer.transfer.axis_facts import AxisFacts, Rung
from hptransfer.transfer.law import law_values

PROXY, TARGET = Size(64, 2, 8, 100), Size(1024, 2, 8, 100)


def facts(optima: list[float], spread: float, axis: str = "width", first: int = 64) -> AxisFacts:
    """A ladder of doublings with these log2 optima, each known to `spread` octaves."""
    rungs = tuple(
        Rung(float(first * 2**k), optimum, spread, 2 + 2.0**-k, 2 + 2.0**-k, 0.05) for k, optimum in enumerate(optima)
    )
    slope = (optima[-1] - optima[0]) / (len(optima) - 1)
    return AxisFacts(axis, float(first), rungs, Interval(slope, slope - spread, slope + spread))


def test_a_line_is_followed() -> None:
    """-6 at width 64, half an octave per doubling: -8 at width 1024."""
    (law,) = law_values(
        {"learning_rate": [facts([-6, -6.5, -7, -7.5], 0.01)]},
        proxy=PROXY,
        target=TARGET,
        at={"learning_rate": 2.0**-6},
    )

    assert math.log2(law.estimate) == pytest.approx(-8, abs=0.05)
    assert law.low < 2.0**-8 < law.high


def test_a_path_that_bends_is_inside() -> None:
    """Measured on recipes/command-plain.yaml: 0.0037 at width 1024, beyond the interval of the line alone."""
    optima = [math.log2(value) for value in (0.0161, 0.0131, 0.00931, 0.00644)]
    (law,) = law_values(
        {"learning_rate": [facts(optima, 0.1)]}, proxy=PROXY, target=TARGET, at={"learning_rate": 0.0155}
    )

    assert law.low < 0.0037 < law.high
    assert law.bounded


def test_an_optimum_that_is_only_bounded_leaves_the_line_alone() -> None:
    """With fewer than two known optima there is no last slope."""
    one = facts([-6, -6.5, -7], 0.01)
    rungs = (one.rungs[0], *(Rung(r.size, r.optimum, math.inf, r.best, r.loss, r.curvature) for r in one.rungs[1:]))
    open_ended = AxisFacts("width", 64.0, rungs, Interval(-0.5, -math.inf, 0.0))
    (law,) = law_values({"learning_rate": [open_ended]}, proxy=PROXY, target=TARGET, at={"learning_rate": 2.0**-6})

    assert not law.bounded


def test_shifts_along_two_axes_add_up() -> None:
    """Two octaves down over width 1024, and half an octave up over twice the depth."""
    width, depth = facts([-6, -6.5, -7, -7.5], 0.01), facts([-6, -5.5], 0.01, "depth", 2)
    (law,) = law_values(
        {"learning_rate": [width, depth]}, proxy=PROXY, target=Size(1024, 4, 8, 100), at={"learning_rate": 2.0**-6}
    )

    assert math.log2(law.estimate) == pytest.approx(-7.5, abs=0.05)
