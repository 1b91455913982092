"""The scale on which sizes are alike."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

from hptransfer.statistics.curve import sample_curves
from hptransfer.statistics.drift import KnownOptimum, drift_per_doubling
from hptransfer.statistics.optimum import summarise
from hptransfer.statistics.seed_means import Point, SeedMeans, average_sizes
from hptransfer.statistics.units import LossScale
from tests.support.synthetic_ladders import GRID, moved, parabola, raised, sweep


def _valleys(
    bases: tuple[float, ...], c: float, *, noise: float, rng: int = 0, drift: float = 0.0
) -> list[list[Point]]:
    """Losses c + base x exp(0.35 (x + 8 - drift k)^2), noise a share of the height above c; two seeds."""
    generator = np.random.default_rng(rng)
    return [
        [
            Point(
                x, s, c + base * math.exp(0.35 * (x + 8 - drift * k) ** 2) * (1 + noise * generator.standard_normal())
            )
            for x in GRID
            for s in range(2)
        ]
        for k, base in enumerate(bases)
    ]


def _c(tables: tuple[SeedMeans, ...]) -> list[float]:
    return [table.scale.floor - table.scale.unit for table in tables]


@pytest.mark.parametrize("bases", [(1.0, 0.3, 0.05, 0.006, 0.0012), (1e-4, 1e-2, 1.0), (8.0, 4.0, 2.0, 1.0)])
@pytest.mark.parametrize("c", [0.0, 1.0, -30.0])
@pytest.mark.parametrize("rng", [0, 1])
def test_losses_alike_above_some_c_are_fitted_in_units_of_it(bases: tuple[float, ...], c: float, rng: int) -> None:
    """Near zero, as a perplexity near 1, or anywhere: minima within 3% of the lowest mean, and no drift."""
    tables = average_sizes(_valleys(bases, c, noise=0.01, rng=rng))
    drawn = [d for d in sample_curves(tables, doublings=list(range(len(bases)))) if d is not None]
    # candidates for c lie a factor of 2 apart
    assert _c(tables) == pytest.approx([c] * len(bases), abs=min(bases))
    drift = drift_per_doubling([KnownOptimum.of(2**k, draws) for k, draws in enumerate(drawn)])
    assert drift.contains(0)
    assert drift.inside(0.15)
    for table, draws in zip(tables, drawn, strict=True):
        lowest = float(table.mean.min()) - c
        assert summarise(table, draws).loss.estimate - c == pytest.approx(lowest, rel=0.03)
        assert summarise(table, draws).interval.contains(-8)


def test_a_drift_is_seen_there_too() -> None:
    """The control: 0.3 octaves per doubling on losses that fall by 800 times."""
    tables = average_sizes(_valleys((1.0, 0.3, 0.05, 0.006, 0.0012), 0.0, noise=0.01, drift=0.3))
    drawn = [d for d in sample_curves(tables, doublings=[0, 1, 2, 3, 4]) if d is not None]
    drift = drift_per_doubling([KnownOptimum.of(2**k, draws) for k, draws in enumerate(drawn)])
    assert drift.contains(0.3)
    assert drift.low > 0.15


def test_a_mean_without_its_seed_offset_may_lie_below_all_runs() -> None:
    """A value that only unlucky seeds ran at: c lies below what its mean becomes, and nothing is undefined."""
    sizes = _valleys((1.0, 0.05, 0.002), 0.0, noise=0.01)
    unlucky = [[*points, *(Point(-8.0, 7, p.loss + 0.5) for p in points[8:9])] for points in sizes]
    more = [
        [*points, Point(-8.25, 7, points[8].loss * 1.01), Point(-7.5, 7, points[10].loss + 0.5)] for points in unlucky
    ]
    for table in average_sizes(more):
        assert np.isfinite(table.mean).all()
        assert (table.mean > table.scale.floor - table.scale.unit).all()


def test_losses_far_above_any_c_stay_as_they_are() -> None:
    """Equal bends and noise at levels 3 to 2.7: nothing says that a logarithm were better."""
    tables = average_sizes([sweep(raised(-0.1 * k), noise=0.001, rng=k) for k in range(4)])
    assert all(math.isinf(table.scale.unit) for table in tables)


def test_the_scale_has_slope_one_at_the_floor_and_inverts() -> None:
    """heights(floor) = 0, and losses(heights(y)) = y."""
    scale = LossScale(floor=2.0, unit=0.5)
    y = np.array([1.6, 2.0, 2.000001, 2.5, 9.0])
    assert scale.losses(scale.heights(y)) == pytest.approx(y)
    assert scale.heights(y)[1] == 0
    assert scale.heights(y)[2] == pytest.approx(1e-6, rel=1e-5)


@pytest.mark.parametrize("curve", [parabola, moved(0.3), lambda x: 0.002 * math.exp(0.5 * (x + 8.2) ** 2)])
@pytest.mark.parametrize("seeds", [1, 2])
def test_no_minimum_lies_clearly_below_the_runs(curve: Callable[[float], float], seeds: int) -> None:
    """On octaves as on half octaves: what is fitted stays within the noise of what neighbours allow."""
    for xs in (GRID, GRID[::2]):
        tables = average_sizes([sweep(curve, xs, seeds=seeds, noise=0.002, rng=rng) for rng in range(4)])
        for table, draws in zip(tables, sample_curves(tables, doublings=[0, 1, 2, 3]), strict=True):
            assert draws is not None
            found, least = summarise(table, draws), min(curve(x) for x in np.linspace(xs[0], xs[-1], 400))
            assert found.loss.estimate > least - 4 * found.noise


HARD: dict[str, Callable[[float], float]] = {
    "1e308 on the right": lambda x: 1e308 if x > -6.6 else parabola(x),
    "1e140 on the right": lambda x: 1e140 if x > -6.6 else parabola(x),
    "1e140 on the left": lambda x: 1e140 if x < -9.6 else parabola(x),
    "tiny": lambda x: 1e-300 * parabola(x),
    "all equal": lambda _: 3.0,
    "all zero": lambda _: 0.0,
    "negative": lambda x: parabola(x) - 10,
    "across zero": lambda x: parabola(x) - 3.005,
    "last bits": lambda x: 1e9 + 1e-6 * parabola(x),
    "one finite": lambda x: 3.0 if x == -8 else math.inf,
    "two finite": lambda x: parabola(x) if x < -9.4 else math.inf,
}


@pytest.mark.parametrize("name", HARD)
@pytest.mark.parametrize("seeds", [1, 2])
def test_any_number_gives_a_result(name: str, seeds: int) -> None:
    """Numbers at the ends of what floats hold: finite optima in order, no warning."""
    points = [Point(x, s, HARD[name](x), not math.isfinite(HARD[name](x))) for x in GRID for s in range(seeds)]
    tables = average_sizes([points] * 4)
    for table, draws in zip(tables, sample_curves(tables, doublings=[0, 1, 2, 3], at=-8.0), strict=True):
        found = summarise(table, draws)
        assert found.low <= found.log2_value <= found.high
        assert math.isfinite(found.log2_value)
        if name in ("1e308 on the right", "1e140 on the right", "1e140 on the left", "negative", "across zero"):
            assert found.interval.contains(-8)
        if name in ("tiny", "all equal", "all zero", "last bits"):
            assert found.high - found.low > 2


@pytest.mark.parametrize(
    "rates",
    [
        [1e-320 * 2**k for k in range(6)],
        [1e-320, *(2.0**x for x in GRID)],
        [10.0**k for k in range(-300, 300, 60)],
        [0.01 * (1 + 1e-7 * k) for k in range(7)],
    ],
)
def test_any_rate_gives_a_result(rates: list[float]) -> None:
    """Rates at the ends of what floats hold, thousands of octaves apart, or all but the same."""
    rng = np.random.default_rng(0)
    sizes = [[Point(math.log2(r), 0, 3 + 0.01 * rng.standard_normal()) for r in rates] for _ in range(4)]
    tables = average_sizes(sizes)
    for table, draws in zip(tables, sample_curves(tables, doublings=[0, 1, 2, 3]), strict=True):
        assert math.isfinite(summarise(table, draws).log2_value)
