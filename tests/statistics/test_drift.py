"""Drift per doubling."""

from __future__ import annotations

import math

import numpy as np
import pytest

from hptransfer.statistics.curve import sample_curves
from hptransfer.statistics.drift import KnownOptimum, drift_per_doubling
from hptransfer.statistics.interval import Interval
from hptransfer.statistics.seed_means import Point, average_seeds
from tests.support.oracles import ShallowLinearNet, exact_optimum
from tests.support.synthetic_ladders import GRID, moved, parabola, sweep

_SPECTRUM = tuple(1 / k for k in range(1, 9))


def _drift(rows: dict[int, list[Point]]) -> Interval:
    drawn = sample_curves([average_seeds(points) for points in rows.values()], doublings=[math.log2(n) for n in rows])
    return drift_per_doubling([KnownOptimum.of(n, d) for n, d in zip(rows, drawn, strict=True) if d is not None])


def _parabolas(per_doubling: float, xs: tuple[float, ...] = GRID, *, noise: float = 0.001) -> Interval:
    rng = np.random.default_rng(0)
    return _drift({64 * 2**k: sweep(moved(per_doubling * k), xs, noise=noise, rng=rng) for k in range(4)})


@pytest.mark.parametrize("truth", [-0.5, 0.0, 0.1, 0.4])
def test_a_steady_drift_is_measured(truth: float) -> None:
    """Optima on a line: the slope lies in the interval, and the interval is useful at 0.1% noise and two seeds."""
    drift = _parabolas(truth)
    assert drift.contains(truth)
    assert drift.high - drift.low < 0.3


def test_the_grid_need_not_contain_the_optima_of_the_largest_sizes() -> None:
    """Trap 3: optima beyond the grid enter as bounds, so the slope is not biased towards zero."""
    drift = _parabolas(-1.0)
    assert drift.contains(-1.0)
    assert drift.high < -0.6


def test_bounds_alone_can_prove_a_drift() -> None:
    """Smallest size: at least -7; largest, 8 times as wide: at most -9: the optimum falls by 2/3 per doubling."""
    drift = _drift(
        {
            64: sweep(lambda x: parabola(x - 3), (-10.0, -9.0, -8.0, -7.0), noise=0.0005),
            512: sweep(lambda x: parabola(x + 3), (-9.0, -8.0, -7.0, -6.0), noise=0.0005),
        }
    )
    assert drift.high < -0.5
    assert drift.low == -math.inf


def test_edges_on_both_ends_prove_nothing() -> None:
    """When every optimum lies beyond the grid, drift is open."""
    drift = _drift({n: sweep(lambda x: parabola(x - 5), GRID, noise=0.0005) for n in (64, 128, 256)})
    assert drift.high - drift.low > 1


def test_common_asymmetry_cancels() -> None:
    """A curve whose parabola fit is biased is biased alike at all sizes; the drift of zero is found all the same."""
    rng = np.random.default_rng(0)

    def lopsided(x: float) -> float:
        return 3 + 0.05 * (math.exp(0.6 * (x + 8)) - 1 - 0.6 * (x + 8))

    drift = _drift({64 * 2**k: sweep(lopsided, noise=0.001, rng=rng) for k in range(4)})
    assert drift.contains(0)
    assert drift.inside(0.15)


@pytest.mark.parametrize(("standard", "slope"), [(False, 0.0), (True, -1.0)])
def test_the_shallow_linear_network_drifts_as_theory_says(standard: bool, slope: float) -> None:
    """O4: muP 0 +- 0.02, standard -1 +- 0.02 octaves per doubling (science.md section 9), here for n = 2^12 to 2^18."""
    rows = {}
    for n in (2**12, 2**14, 2**16, 2**18):
        net = ShallowLinearNet(_SPECTRUM, 8, n, standard=standard)
        draws = [net.draw(seed) for seed in range(4)]
        around = round(
            exact_optimum(ShallowLinearNet(_SPECTRUM, 8, n).limit, -2, 6) - (math.log2(n) if standard else 0)
        )
        xs = around + np.arange(-1.5, 1.6, 0.25)
        rows[n] = [
            Point(float(x), seed, float(y), not y < 1e3)
            for seed, losses in enumerate(draws)
            for x, y in zip(xs, losses(np.exp2(xs)), strict=True)
        ]
    drift = _drift(rows)
    assert drift.estimate == pytest.approx(slope, abs=0.02)
    assert drift.contains(slope)
