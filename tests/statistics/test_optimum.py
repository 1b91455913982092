"""The optimum of one size: exact oracles, open ends, walls and coverage."""

from __future__ import annotations

import math
import random
from collections.abc import Callable

import numpy as np
import pytest

from hptransfer.statistics.curve import fit_curves, sample_curves
from hptransfer.statistics.optimum import Optimum, estimate_optima, estimate_optimum
from hptransfer.statistics.seed_means import Point, average_sizes
from tests.support.oracles import (
    Array,
    IsotropicSgd,
    LinearRegressionSgd,
    QuadraticDescent,
    ShallowLinearNet,
    exact_optimum,
)
from tests.support.synthetic_ladders import BEND, GRID, parabola, sweep

_SPECTRUM = tuple(1 / k for k in range(1, 9))
#: what exact losses are known to, in their own unit; one seed says nothing of it, and nothing is taken for granted
EXACT = 1e-4


def _curve(
    losses: Callable[[Array], Array], offset: float, spacing: float, octaves: float, *, around: float
) -> list[Point]:
    """A noise-free sweep of an oracle on a grid that misses its optimum by `offset` spacings."""
    steps = round(octaves / spacing)
    xs = around + spacing * (np.arange(-steps, steps + 1) + offset)
    values: Array = losses(np.exp2(xs))
    return [Point(float(x), 0, float(y), not math.isfinite(y)) for x, y in zip(xs, values, strict=True)]


@pytest.mark.parametrize("offset", [-0.4, -0.1, 0.2, 0.5])
def test_isotropic_sgd_is_recovered(offset: float) -> None:
    """O3, science.md section 9: the optimum is batch / (batch + d + 1) whatever the number of steps."""
    oracle = IsotropicSgd(dimension=7, batch=4, steps=10)
    truth = math.log2(4 / (4 + 7 + 1))
    found = estimate_optimum(_curve(oracle.losses, offset, 0.25, 1.0, around=truth), noise=EXACT)
    assert found.log2_value == pytest.approx(truth, abs=0.05)
    assert found.interval.contains(truth)


@pytest.mark.parametrize(("spacing", "tolerance"), [(1.0, 0.3), (0.5, 0.15), (0.25, 0.08)])
@pytest.mark.parametrize("offset", [-0.4, 0.0, 0.3])
def test_noisy_linear_regression_is_recovered(spacing: float, tolerance: float, offset: float) -> None:
    """O2, smooth case: errors shrink with the spacing and stay inside the interval.

    The tolerances are between the smooth and the edge row of the table in science.md section 2.1, because here the
    divergence begins 0.8 octaves above the optimum.
    """
    oracle = LinearRegressionSgd(width=64, steps=200, batch=4)
    truth = exact_optimum(oracle.losses, -8, 1)
    found = estimate_optimum(_curve(oracle.losses, offset, spacing, 3.0, around=truth), noise=EXACT)
    assert found.log2_value == pytest.approx(truth, abs=tolerance)
    assert found.interval.contains(truth)


@pytest.mark.parametrize("offset", [-0.4, -0.1, 0.1, 0.4])
def test_an_optimum_at_the_edge_of_stability_is_covered(offset: float) -> None:
    """O1, gradient descent: the optimum sits where losses explode; 0.25 octaves at sqrt 2 (science.md section 9)."""
    oracle = QuadraticDescent(_SPECTRUM, tuple(math.sqrt(k) for k in range(1, 9)), steps=8)
    truth = exact_optimum(oracle.losses, -4, 2)
    found = estimate_optimum(_curve(oracle.losses, offset, 0.5, 2.0, around=truth), noise=EXACT)
    assert found.log2_value == pytest.approx(truth, abs=0.3)
    assert found.interval.contains(truth)


def test_the_interval_knows_that_parabolas_are_biased_near_a_cliff() -> None:
    """Trap 11: on a factor-2 grid at the edge of stability no symmetric parabola interval covers; this one does."""
    oracle = LinearRegressionSgd(width=64, steps=50, batch=32)
    truth = exact_optimum(oracle.losses, -8, 2)
    covered = [
        estimate_optimum(_curve(oracle.losses, offset, 1.0, 3.0, around=truth)).interval.contains(truth)
        for offset in np.linspace(-0.5, 0.4, 10)
    ]
    assert sum(covered) >= 9


@pytest.mark.parametrize(("xs", "edge"), [(GRID[5:], "low"), (GRID[:4], "high")])
def test_an_optimum_outside_the_grid_is_a_one_sided_bound(xs: tuple[float, ...], edge: str) -> None:
    """Trap 3: the smallest or largest value tried is not an optimum."""
    found = estimate_optimum(sweep(parabola, xs, noise=0.0005))
    assert found.edge == edge
    assert (found.low == -math.inf) == (edge == "low")
    assert (found.high == math.inf) == (edge == "high")
    assert found.interval.contains(-8)


def test_divergence_bounds_the_optimum_from_above() -> None:
    """Where the best value is the last before divergence, the optimum lies below the first value that diverged."""
    found = estimate_optimum(sweep(lambda x: parabola(x) if x < -8.3 else math.inf, noise=0.0005))
    assert found.edge == "high"
    assert found.high == -8.0
    assert found.low < -8.4


def test_the_distance_to_the_cliff_is_reported() -> None:
    """Octaves from the optimum to the first value that blows up, finite or not (Marin: 3.11 to 7.84 in one step)."""
    jump = estimate_optimum(sweep(lambda x: parabola(x) if x < -6.9 else 7.8, noise=0.0005))
    blown = estimate_optimum(sweep(lambda x: parabola(x) if x < -6.9 else math.inf, noise=0.0005))
    assert jump.cliff_distance == pytest.approx(1.5, abs=0.2)
    assert blown.cliff_distance == pytest.approx(1.5, abs=0.2)
    assert math.isinf(estimate_optimum(sweep(parabola)).cliff_distance)


def test_the_plateau_is_where_the_loss_is_within_the_tolerance() -> None:
    """Of a parabola its half width is sqrt(tolerance / bend)."""
    found = estimate_optimum(sweep(parabola, np.arange(-10, -5.9, 0.25), noise=0.0002), tolerance=0.0075)
    half = math.sqrt(0.0075 / BEND)
    assert found.plateau == pytest.approx((-8 - half, -8 + half), abs=0.15)
    assert found.curvature == pytest.approx(BEND, rel=0.15)


def test_without_a_tolerance_the_plateau_is_what_one_run_cannot_tell() -> None:
    """One run's noise, 0.1% of a loss of 3 here, is the only difference of losses that a single size knows."""
    found = estimate_optimum(sweep(parabola, np.arange(-10, -5.9, 0.25), noise=0.001, seeds=4))
    half = math.sqrt(0.003 / BEND)
    assert found.plateau == pytest.approx((-8 - half, -8 + half), abs=0.25)


def test_noise_is_measured_from_paired_differences() -> None:
    """Common luck of a seed does not count; 0.2% of a loss of 3 is 0.006 nats."""
    found = estimate_optimum(sweep(parabola, seeds=5, noise=0.002))
    assert found.noise == pytest.approx(0.006, rel=0.25)
    assert found.noise_from == "seeds"


def test_one_seed_says_that_its_noise_is_a_guess() -> None:
    """Trap: a single seed shows no noise; the report says where the number comes from."""
    assert estimate_optimum(sweep(parabola, seeds=1, noise=0.002)).noise_from == "scatter"
    assert estimate_optimum(sweep(parabola, seeds=1, noise=0.002), noise=0.006).noise_from == "given"


def test_more_seeds_shrink_the_interval() -> None:
    """Eight seeds know more than two."""

    def width(seeds: int) -> float:
        found = [estimate_optimum(sweep(parabola, seeds=seeds, noise=0.002, rng=rng)) for rng in range(5)]
        return float(np.mean([o.high - o.low for o in found]))

    assert width(8) < 0.75 * width(2)


@pytest.mark.parametrize("xs", [(-8.0,), (-8.0, -7.0)])
def test_one_or_two_values_leave_the_optimum_open(xs: tuple[float, ...]) -> None:
    """Two points make no curve."""
    found = estimate_optimum(sweep(parabola, xs))
    assert math.isinf(found.low)
    assert math.isinf(found.high)
    assert math.isnan(found.curvature)


def test_three_values_give_a_parabola_with_a_wide_interval() -> None:
    """The least that has a minimum inside."""
    found = estimate_optimum(sweep(parabola, (-9.0, -8.0, -7.0), noise=0.001))
    assert found.interval.contains(-8)
    assert found.high - found.low > 0.2


def test_equal_losses_everywhere_leave_the_optimum_open() -> None:
    """A hyperparameter that does nothing has no optimum, and nothing breaks."""
    found = estimate_optimum(sweep(lambda _: 3.0, noise=0.001))
    assert found.high - found.low > 2


def test_the_order_of_runs_does_not_matter() -> None:
    """A shuffled table gives an identical report."""
    points = sweep(parabola, noise=0.002)
    shuffled = points.copy()
    random.Random(3).shuffle(shuffled)
    assert estimate_optimum(points) == estimate_optimum(shuffled)


def test_units_of_the_loss_do_not_matter() -> None:
    """Losses a thousand times as large have the same optimum and interval."""
    small = estimate_optimum(sweep(parabola, noise=0.002))
    large = estimate_optimum([Point(p.x, p.seed, 1000 * p.loss) for p in sweep(parabola, noise=0.002)])
    assert (large.log2_value, large.low, large.high) == pytest.approx(
        (small.log2_value, small.low, small.high), abs=0.02
    )


def _coverage(loss: Callable[[float], float], spacing: float, seeds: int, noise: float, tables: int = 10) -> float:
    rng = np.random.default_rng(0)
    steps = round((2 if spacing < 1 else 3) / spacing)
    found: list[Optimum] = []
    for _ in range(tables):
        xs = -8 + spacing * (np.arange(-steps, steps + 1) + rng.uniform(-0.5, 0.5))
        found += estimate_optima([sweep(loss, map(float, xs), seeds=seeds, noise=noise, rng=rng) for _ in range(4)])
    return float(np.mean([o.low <= -8 + 1e-9 and o.high >= -8 - 1e-9 for o in found]))


@pytest.mark.parametrize("seeds", [1, 2])
@pytest.mark.parametrize("noise", [0.001, 0.005])
@pytest.mark.parametrize(
    "loss",
    [
        parabola,
        lambda x: parabola(x) if x < -6.8 else math.inf,
        lambda x: 3 + 5 * BEND * (math.exp(0.6 * (x + 8)) - 1 - 0.6 * (x + 8)),
    ],
    ids=["parabola", "divergence", "asymmetric"],
)
def test_intervals_cover(loss: Callable[[float], float], noise: float, seeds: int) -> None:
    """95% intervals cover on random grids; 40 intervals, so 0.85 is three standard errors below 0.95."""
    assert _coverage(loss, 0.5, seeds, noise) >= 0.85


@pytest.mark.slow
@pytest.mark.parametrize("spacing", [0.5, 1.0])
@pytest.mark.parametrize(("seeds", "noise"), [(1, 0.003), (2, 0.001), (2, 0.003), (5, 0.01)])
@pytest.mark.parametrize(
    "loss",
    [
        lambda x: parabola(x) if x < -7.6 else math.inf,
        lambda x: parabola(x) if x < -6.8 else 7.8,
        lambda x: parabola(x) + max(0.0, x + 7) ** 2,
    ],
    ids=["near divergence", "jump", "wall"],
)
def test_intervals_cover_near_cliffs(loss: Callable[[float], float], seeds: int, noise: float, spacing: float) -> None:
    """The same near cliffs, on coarser grids and up to 1% noise."""
    assert _coverage(loss, spacing, seeds, noise) >= 0.85


def test_a_wide_shallow_network_has_its_limit_optimum() -> None:
    """O4: at n = 2^16 the muP optimum averaged over seeds is that of infinite width."""
    net = ShallowLinearNet(_SPECTRUM, 8, 2**16)
    truth = exact_optimum(net.limit, -2, 6)
    xs = truth + np.arange(-1.2, 1.3, 0.25)
    points = [
        Point(float(x), seed, float(y))
        for seed in range(3)
        for x, y in zip(xs, net.draw(seed)(np.exp2(xs)), strict=True)
        if math.isfinite(y)
    ]
    assert estimate_optimum(points).log2_value == pytest.approx(truth, abs=0.1)


@pytest.mark.parametrize("seeds", [1, 2, 30])
def test_a_dense_sweep_with_many_seeds_is_averaged_quietly(seeds: int) -> None:
    """250 values at each of three sizes: no empty mean is taken (warnings are errors), and the optimum is known."""
    xs = [-11 + 6 * n / 249 for n in range(250)]
    sizes = [sweep(parabola, xs, seeds=seeds, noise=0.003, rng=rng) for rng in range(3)]

    for optimum in estimate_optima(sizes):
        assert optimum.low <= -8.0 <= optimum.high
        assert optimum.standard_error < 0.3


@pytest.mark.parametrize("sizes", [1, 2, 4])
def test_one_fit_gives_the_curves_with_and_without_the_order_of_sizes(sizes: int) -> None:
    """What is drawn without the order is, bit for bit, what a fit draws that was never told of it."""
    tables = average_sizes(
        [sweep(lambda x, k=k: parabola(x + 0.4 * k), noise=0.003, rng=k) for k in range(sizes)]  # type: ignore[misc]  # bound
    )
    fitted = fit_curves(tables, doublings=list(range(sizes)))

    for ordered, doublings in ((False, None), (True, list(range(sizes)))):
        again = sample_curves(tables, doublings=doublings, at=-8.0)
        for one, other in zip(fitted.draws(-8.0, ordered=ordered), again, strict=True):
            assert one is not None
            assert other is not None
            assert np.array_equal(one.curves, other.curves)
            assert np.array_equal(one.at, other.at)
            assert one.noise == other.noise
