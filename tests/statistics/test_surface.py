"""The joint fit of several hyperparameters: constructed truths, and what must not move it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from benchmarks.surface_coverage import KINDS, generate, measure
from hptransfer.errors import UsageError
from hptransfer.statistics.drift import KnownOptimum, drift_per_doubling
from hptransfer.statistics.interval import Interval
from hptransfer.statistics.surface import Surface, fit_surface
from hptransfer.statistics.surface_model import Monomials
from hptransfer.statistics.surface_runs import SurfaceRun, sort_runs

Ladder = list[tuple[float, list[SurfaceRun]]]


def bowl(
    optimum: Callable[[float], tuple[float, float]],
    *,
    correlation: float = 0.4,
    noise: float = 0.002,
    doublings: tuple[float, ...] = (0, 1, 2, 3),
    seeds: int = 2,
    points: list[tuple[float, float]] | None = None,
) -> Ladder:
    """A parabola in two hyperparameters with unit curvatures of 0.04 per octave squared at every size."""
    rng = np.random.default_rng(0)
    grid = points or list(product(np.linspace(-3, 3, 7), repeat=2))
    sizes = []
    for at in doublings:
        first, second = optimum(at)
        runs = []
        for x, y in grid:
            u, v = x - first, y - second
            loss = 3 - 0.1 * at + 0.02 * (u * u + 2 * correlation * u * v + v * v)
            runs += [SurfaceRun((x, y), seed, loss + float(rng.normal(0, noise))) for seed in range(seeds)]
        sizes.append((at, runs))
    return sizes


def fitted(ladder: Ladder) -> Surface:
    """The surface of runs that show one."""
    surface = fit_surface(ladder)
    assert surface is not None
    return surface


def drift(surface: Surface, axis: int) -> Interval:
    """Octaves per doubling by which one optimum moves."""
    known = [
        KnownOptimum.of(2**size.doublings, surface.profile(index, axis).draws)
        for index, size in enumerate(surface.sizes)
    ]
    return drift_per_doubling(known)


def test_the_derivatives_of_monomials_are_those_of_the_products() -> None:
    """Against differences of the values themselves, in three coordinates."""
    terms, at, step = Monomials(3), np.array([0.3, -0.7, 1.1]), 1e-5
    for i, j in product(range(3), repeat=2):
        e, f = step * np.eye(3)[i], step * np.eye(3)[j]
        first = (terms.values(at + e) - terms.values(at - e)) / (2 * step)
        second = (terms.values(at + f, (i,)) - terms.values(at - f, (i,))) / (2 * step)

        np.testing.assert_allclose(terms.values(at, (i,)), first, atol=1e-8)
        np.testing.assert_allclose(terms.values(at, (i, j)), second, atol=1e-8)


def test_both_optima_drift_as_they_were_made_to() -> None:
    """Half an octave up and a quarter down per doubling, with a correlation that turns slices by 0.2 and 0.1."""
    surface = fitted(bowl(lambda at: (0.5 * at - 0.75, 0.4 - 0.25 * at)))

    assert drift(surface, 0).contains(0.5)
    assert drift(surface, 1).contains(-0.25)
    for index, size in enumerate(surface.sizes):
        for axis, truth in enumerate((0.5 * size.doublings - 0.75, 0.4 - 0.25 * size.doublings)):
            low, high = np.quantile(surface.profile(index, axis).draws.optimum, (0.005, 0.995))
            assert low <= truth <= high


def test_the_curvature_tells_how_they_interact() -> None:
    """By construction the correlation is 0.4, and one best value moves by -0.4 octaves per octave of the other."""
    correlation, slope = fitted(bowl(lambda _: (0.0, 0.0))).interaction(0, 0, 1)

    assert correlation.contains(0.4)
    assert slope.contains(-0.4)
    assert correlation.high - correlation.low < 0.2


def test_the_cost_of_a_combination_is_not_that_of_each_alone() -> None:
    """An octave off in each: 0.02 (1 + 2 * 0.4 + 1) together, 0.02 (1 - 0.4^2) with the other at its best."""
    surface = fitted(bowl(lambda _: (0.0, 0.0)))

    assert np.median(surface.cost_together(3, (1.0, 1.0))) == pytest.approx(0.056, rel=0.1)
    profile = surface.profile(3, 0, at=1.0).draws
    assert np.median(profile.at - profile.loss) == pytest.approx(0.0168, rel=0.1)


def test_nothing_is_said_of_combinations_beyond_the_runs() -> None:
    """Neither their cost together nor the profile."""
    surface = fitted(bowl(lambda _: (0.0, 0.0)))

    assert np.isnan(surface.cost_together(0, (9.0, 0.0))).all()
    assert np.isnan(surface.profile(0, 0, at=9.0).draws.at).all()


@pytest.mark.parametrize(("shift", "factor"), [(-3.0, 1.0), (100.0, 7.0), (0.0, 1e-4)])
def test_the_unit_of_the_loss_does_not_matter(shift: float, factor: float) -> None:
    """For a + b x loss: it has the same optima, draw by draw."""
    ladder = generate(4).sizes
    moved = [(at, [replace(run, loss=shift + factor * run.loss) for run in runs]) for at, runs in ladder]
    plain, other = fitted(ladder), fitted(moved)

    for axis in (0, 1):
        np.testing.assert_allclose(
            plain.profile(1, axis).draws.optimum, other.profile(1, axis).draws.optimum, atol=1e-4
        )


def test_the_order_of_runs_does_not_matter() -> None:
    """Sorted or not."""
    ladder = generate(2).sizes
    turned = [(at, runs[::-1]) for at, runs in ladder]

    np.testing.assert_array_equal(
        fitted(ladder).profile(0, 1).draws.optimum, fitted(turned).profile(0, 1).draws.optimum
    )


def test_finite_blow_ups_bound_the_optimum_and_bend_nothing() -> None:
    """Whether runs beyond a line train to 7 or diverge, the optimum stays where the others have it."""
    ladder = bowl(lambda at: (0.25 * at, 0.0))

    def broken(loss: float, *, diverged: bool) -> Ladder:
        return [
            (at, [replace(run, loss=loss, diverged=diverged) if run.x[0] > 1.5 else run for run in runs])
            for at, runs in ladder
        ]

    for each in (fitted(broken(7.0, diverged=False)), fitted(broken(math.nan, diverged=True))):
        assert drift(each, 0).contains(0.25)
        assert drift(each, 1).contains(0.0)
        assert all(len(size.blown) == 28 for size in each.sizes)
        draws = each.profile(3, 0).draws
        assert draws.high < 2.0
        assert not draws.above.any()


def test_values_at_which_every_run_blew_up_are_walls() -> None:
    """In the runs that are handed on, such a value is a divergence, and one that trains somewhere is none."""
    ladder = bowl(lambda _: (0.0, 0.0))
    broken = [
        (at, [replace(run, loss=9.0) if run.x[0] > 2.5 or run.x == (2.0, 3.0) else run for run in runs])
        for at, runs in ladder
    ]
    points = fitted(broken).profile(0, 0).points

    assert {point.x for point in points if point.diverged} == {3.0}
    assert 2.0 in {point.x for point in points if not point.diverged}


def test_an_optimum_outside_the_runs_is_open() -> None:
    """All combinations lie below the best value of the first: it is bounded on one side only."""
    points = list(product(np.linspace(-6, -2.5, 6), np.linspace(-3, 3, 6)))
    draws = fitted(bowl(lambda _: (0.0, 0.0), correlation=0.0, points=points)).profile(0, 0).draws

    assert draws.above.mean() > 0.9
    assert not draws.below.any()


def test_hyperparameters_varied_one_at_a_time_show_no_surface() -> None:
    """A cross of two lines has no cross-curvature."""
    line = [(float(x), 0.0) for x in range(-3, 4)]
    points = [*line, *((y, x) for x, y in line if x)]

    assert sort_runs(bowl(lambda _: (0.0, 0.0), points=points)) is None


def test_losses_that_do_not_differ_show_no_surface() -> None:
    """Nor does a size with fewer than four combinations."""
    same = [(at, [replace(run, loss=2.0) for run in runs]) for at, runs in bowl(lambda _: (0.0, 0.0))]
    few = [(at, runs[:6]) for at, runs in bowl(lambda _: (0.0, 0.0))]

    assert fit_surface(same) is None
    assert fit_surface(few) is None


@pytest.mark.parametrize("dimension", [1, 4])
def test_a_surface_takes_two_or_three_hyperparameters(dimension: int) -> None:
    """Other numbers are refused with what to do."""
    with pytest.raises(UsageError, match="2 to 3 hyperparameters"):
        sort_runs([(0.0, [SurfaceRun((0.0,) * dimension, 0, 1.0)])])


def test_a_known_noise_replaces_what_runs_say() -> None:
    """Told that runs scatter twenty-five times as much, the interval of the drift is wider."""
    ladder = bowl(lambda _: (0.0, 0.0), seeds=1)
    told = fit_surface(ladder, noise=0.05)
    assert told is not None

    wide, narrow = drift(told, 0), drift(fitted(ladder), 0)
    assert wide.high - wide.low > 1.2 * (narrow.high - narrow.low)
    assert told.profile(0, 0).draws.noise == pytest.approx(0.05)


def test_seeds_that_tilt_the_surface_widen_the_optimum() -> None:
    """One seed's displacement is not seen: however quiet the runs, the prior's tenth of an octave stays."""
    one = fitted(bowl(lambda _: (0.0, 0.0), seeds=1, noise=1e-4)).profile(0, 0).draws.optimum

    assert one.std() > 0.05


def test_a_large_table_is_fitted_in_cells() -> None:
    """4,000 runs a size at random combinations: the optimum is found, and its runs are handed on with their seeds."""
    rng = np.random.default_rng(1)
    points = [tuple(float(v) for v in rng.uniform(-3, 3, 2)) for _ in range(2000)]
    surface = fitted(bowl(lambda at: (0.2 * at, 0.0), points=points, noise=0.005))  # type: ignore[arg-type]  # pairs

    assert drift(surface, 0).contains(0.2)
    assert {point.seed for point in surface.profile(0, 0).points} == {0, 1}
    assert len(surface.model.y) < 2000
    assert surface.model.crossed == [[0, 1]] * 4


def test_intervals_hold_the_true_drifts() -> None:
    """A cut of `benchmarks.surface_coverage`: 24 ladders of all kinds of tables and laws, at least 90% of 48 drifts."""
    found = measure([generate(index) for index in range(24)])

    assert found["all"][0] == 48
    assert found["all"][1] >= 0.9
    assert set(KINDS) <= set(found)


def test_three_hyperparameters_are_fitted_too() -> None:
    """Two generated ladders, six drifts: at most one is missed."""
    found = measure([generate(index, dimension=3) for index in (0, 2)])["all"]

    assert found[0] == 6
    assert found[1] >= 5 / 6


def test_blow_ups_as_high_as_steep_flanks_are_told_from_them() -> None:
    """Flanks rise exponentially to losses of 5.7 to 8.6; beyond a slanted line runs blow up to losses from 4 to 5.

    Where the surface itself lies below 2.7 such runs are on no flank: none of them may inform the surface.
    """
    rng, sizes, hidden = np.random.default_rng(4), [], []
    for at in range(3):
        runs = []
        for x, y in product(np.linspace(-3, 3, 7), repeat=2):
            smooth = 2 + 0.03 * math.expm1(min(0.2 * (1.3 * (x + 0.5 - 0.2 * at) ** 2 + 0.9 * y**2), 5)) / 0.2
            blown = x + 0.3 * y > 1.4
            loss = float(rng.uniform(4, 5)) if blown else smooth + float(rng.normal(0, 0.003))
            runs.append(SurfaceRun((x, y), 0, loss))
            hidden += [(at, (x, y))] if blown and smooth < 2.7 else []
        sizes.append((float(at), runs))
    found = sort_runs(sizes)

    assert found is not None
    assert len(hidden) == 10
    for at, position in hidden:
        assert position in {tuple(row) for row in found[at].blown}
    # and the flanks that are steep, and no more, go on informing it
    assert all(len(size.y) >= 40 for size in found)
