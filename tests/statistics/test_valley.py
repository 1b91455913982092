"""Drawn curves are projected onto those with one valley.

The peer is scipy's SLSQP on the quadratic programme itself: the nearest curve in the draws' own metric that is convex
at the values and halfway between them.
"""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize

from hptransfer.statistics.arrays import Array
from hptransfer.statistics.valley import one_valley

#: values half an octave apart, and where curves are evaluated
_X = np.arange(-2, 2.01, 0.5)
_GRID = np.linspace(-2, 2, 65)
_DRAWS = 400


def _drawn(truth: Array, noise: float, grid: Array = _GRID, seed: int = 0) -> Array:
    """Smooth curves about the truth whose values scatter by `noise`, independently half an octave apart."""
    at = np.random.default_rng(seed).standard_normal((len(_X), _DRAWS)) * noise
    return truth[:, None] + np.exp(-0.5 * ((grid[:, None] - _X) / 0.3) ** 2) @ at


def _plateau(grid: Array) -> Array:
    """Flat over 1.4 octaves, with steep flanks."""
    return np.maximum(np.abs(grid) - 0.7, 0) ** 2


def _bends(curves: Array, every: int = 4) -> Array:
    """Second differences a quarter of an octave apart, within an octave of 0."""
    inner = curves[np.abs(_GRID) <= 1][::every]
    return np.diff(inner, 2, axis=0)


def test_convex_draws_stay_as_they_are() -> None:
    """Nothing is known better of a curve that has one valley."""
    at = np.random.default_rng(0).uniform(-0.5, 0.5, _DRAWS)
    curves = (_GRID[:, None] - at) ** 2
    assert one_valley(_GRID, curves, _X) is curves


def test_a_flat_bottom_has_no_dips() -> None:
    """Draws of a plateau are convex at the bottom, and what a value in its middle loses falls to less than half."""
    curves = _drawn(_plateau(_GRID), 0.02)
    found = one_valley(_GRID, curves, _X)
    assert (_bends(curves) < -0.005).any(axis=0).mean() > 0.8
    assert (_bends(found) < -0.005).any(axis=0).mean() < 0.05
    middle = len(_GRID) // 2
    before, after = (np.median(each[middle] - each.min(axis=0)) for each in (curves, found))
    assert after < before / 2


def test_an_optimum_on_a_plateau_may_lie_anywhere_on_it() -> None:
    """Its central 95% span most of the 1.4 octaves, and reach no flank."""
    found = one_valley(_GRID, _drawn(_plateau(_GRID), 0.02), _X)
    low, high = np.quantile(_GRID[found.argmin(axis=0)], (0.025, 0.975))
    assert -1.0 <= low <= -0.5
    assert 0.5 <= high <= 1.0


def test_two_clear_dips_stay() -> None:
    """A hump that runs show is no noise: the curve keeps its two valleys."""
    truth = 0.1 * (_GRID**2 - 1) ** 2
    found = one_valley(_GRID, _drawn(truth, 0.005), _X)
    middle = np.median(found, axis=1)
    hump = middle[len(_GRID) // 2]
    assert hump == pytest.approx(0.1, abs=0.01)
    assert middle.min() == pytest.approx(0.0, abs=0.01)


def test_a_flank_that_flattens_is_left_alone() -> None:
    """Far from the bottom losses level out, as untrained models do: nothing is straightened there."""
    truth = 1 - np.exp(-(_GRID**2))
    curves = _drawn(truth, 0.002)
    found = one_valley(_GRID, curves, _X)
    assert np.abs(np.median(found, axis=1) - truth).max() < 0.005


def test_a_kink_keeps_its_width() -> None:
    """Where curves are convex already, as about a kink, the optimum is known no better than before."""
    truth = np.where(_GRID < 0.25, 0.02, 0.2) * (_GRID - 0.25) ** 2
    curves = _drawn(truth, 0.001)
    before, after = (
        np.ptp(np.quantile(_GRID[each.argmin(axis=0)], (0.025, 0.975)))
        for each in (curves, one_valley(_GRID, curves, _X))
    )
    assert after >= 0.9 * before


def test_it_is_the_nearest_convex_curve() -> None:
    """Unmodified peer: SLSQP, in the metric of the draws' covariance; ours adds a thousandth to the variances."""
    x = np.arange(-1.0, 1.01, 0.5)
    grid = np.arange(-1.0, 1.01, 0.25)
    rng = np.random.default_rng(3)
    root = np.linalg.cholesky(0.5 ** np.abs(np.subtract.outer(range(9), range(9))))
    curves = 0.3 * grid[:, None] ** 2 + 0.1 * root @ rng.standard_normal((9, _DRAWS))
    found = one_valley(grid, curves, x)
    root = np.linalg.cholesky(np.cov(curves, bias=True))
    bend = np.diff(np.eye(9), 2, axis=0)
    for draw in range(12):
        y = curves[:, draw]
        nearest = minimize(
            lambda z: 0.5 * z @ z,
            np.zeros(9),
            jac=lambda z: z,
            constraints={"type": "ineq", "fun": lambda z, y=y: bend @ (y + root @ z), "jac": lambda _: bend @ root},
            method="SLSQP",
            options={"ftol": 1e-12, "maxiter": 500},
        )
        assert nearest.success
        assert found[:, draw] == pytest.approx(y + root @ nearest.x, abs=0.003)


@pytest.mark.parametrize(("shift", "factor"), [(0.0, 1e-3), (-8.0, 1.0), (5.0, 1000.0)])
def test_the_unit_of_the_loss_does_not_matter(shift: float, factor: float) -> None:
    """Losses a + b x loss give curves a + b x curve."""
    curves = _drawn(_plateau(_GRID), 0.02)
    found = one_valley(_GRID, shift + factor * curves, _X)
    assert (found - shift) / factor == pytest.approx(one_valley(_GRID, curves, _X), abs=1e-6)


def test_a_dense_grid_is_straightened_evenly() -> None:
    """More values at the bottom than bends are looked at: they are looked at evenly."""
    x = np.linspace(-2, 2, 33)
    curves = _drawn(_plateau(_GRID), 0.02)
    found = one_valley(_GRID, curves, x)
    assert (_bends(curves) < -0.005).any(axis=0).mean() > 0.8
    assert (_bends(found) < -0.005).any(axis=0).mean() < 0.05
