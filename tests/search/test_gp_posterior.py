"""Draws of mean functions: they are what the exact posterior says, and their minima lie where they can."""

from __future__ import annotations

import numpy as np
import pytest

from hptransfer.search.gp_posterior import Functions, draw_minima, plausible_surrogates
from hptransfer.search.surrogate import fit_surrogate
from hptransfer.statistics.arrays import Array


def noisy_bowl(count: int, noise: float, seed: int = 0) -> tuple[Array, Array]:
    """Points of the unit square and losses about 2 + |x - (0.4, 0.6)|^2."""
    rng = np.random.default_rng(seed)
    x = rng.random((count, 2))
    return x, 2 + ((x - [0.4, 0.6]) ** 2).sum(1) + noise * rng.standard_normal(count)


def everywhere(at: Array) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """No point is excluded."""
    return np.ones(len(at), dtype=bool)


@pytest.mark.parametrize("bend", [0.0, 2.0], ids=["straight", "bent"])
def test_draws_have_the_mean_and_the_spread_of_the_exact_posterior(bend: float) -> None:
    """4000 draws by Fourier features against the closed form, at places on, between and beyond the runs."""
    x, losses = noisy_bowl(12, 0.02)
    (fitted,) = plausible_surrogates(x, losses, np.full(2, bend), 1, np.random.default_rng(1))
    at = np.concatenate([x[:3], np.random.default_rng(2).random((20, 2)), np.array([[0.0, 0.0], [1.0, 1.0]])])
    parts = [Functions(fitted, 10, np.random.default_rng(seed)).everywhere(at) for seed in range(400)]
    drawn = np.concatenate(parts)
    mean, covariance = fitted.posterior(at)
    spread = np.sqrt(np.diag(covariance))

    assert np.abs(drawn.mean(0) - mean).max() < 0.1 * spread.max()
    assert drawn.std(0) == pytest.approx(spread, rel=0.15)
    assert np.cov(drawn.T) == pytest.approx(covariance, abs=0.1 * float(spread.max()) ** 2)


def test_each_draw_at_its_own_points_is_the_same_function() -> None:
    """Two ways of asking for the same values."""
    x, losses = noisy_bowl(12, 0.02)
    functions = Functions(fit_surrogate(x, losses), 5, np.random.default_rng(0))
    at = np.random.default_rng(1).random((7, 2))

    assert functions.each(np.repeat(at[None], 5, axis=0)) == pytest.approx(functions.everywhere(at))


def test_minima_of_a_well_known_bowl_lie_at_its_bottom() -> None:
    """Sixty runs almost without noise: every minimum is within 0.05 of (0.4, 0.6)."""
    x, losses = noisy_bowl(60, 1e-4)
    minima = draw_minima([fit_surrogate(x, losses)], x, everywhere, 50, np.random.default_rng(0))

    assert np.abs(minima - [0.4, 0.6]).max() < 0.05


def test_minima_stay_in_the_region() -> None:
    """The bottom is excluded: minima lie at the region's border, none beyond it."""
    x, losses = noisy_bowl(60, 1e-4)
    start = x[x[:, 0] > 0.5]
    minima = draw_minima([fit_surrogate(x, losses)], start, lambda at: at[:, 0] > 0.5, 20, np.random.default_rng(0))

    assert minima[:, 0].min() > 0.5
    assert minima[:, 0].max() < 0.56


def test_few_runs_leave_the_noise_open_and_many_fix_it() -> None:
    """Draws of the noise: over a factor of two wide for 8 runs, around the true 0.05 nats and narrow for 120."""
    spreads = {}
    for count in (8, 120):
        x, losses = noisy_bowl(count, 0.05)
        drawn = plausible_surrogates(x, losses, np.zeros(2), 60, np.random.default_rng(0))
        noise = np.array([surrogate.noise_nats for surrogate in drawn])
        low, middle, high = np.quantile(noise, (0.1, 0.5, 0.9))
        spreads[count] = high / low
        if count == 120:
            assert middle == pytest.approx(0.05, rel=0.2)

    assert spreads[8] > 2
    assert spreads[120] < 1.4


def test_runs_show_which_way_an_axis_is_bent() -> None:
    """Losses that are smooth in e^(3x) on the first axis only: its bend is found, the other axis stays straight."""
    rng = np.random.default_rng(0)
    x = rng.random((60, 2))
    bent = np.expm1(3 * x[:, 0]) / np.expm1(3)
    losses = 2 + np.sin(6 * bent) + (x[:, 1] - 0.5) ** 2 + 0.001 * rng.standard_normal(60)
    drawn = plausible_surrogates(x, losses, np.zeros(2), 30, np.random.default_rng(0))
    first, second = np.median([surrogate.bend for surrogate in drawn], axis=0)

    assert first == pytest.approx(3, abs=1)
    assert abs(second) < 1
