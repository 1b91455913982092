"""Noise of a run, before any curve is fitted."""

from __future__ import annotations

import numpy as np
import pytest

from hptransfer.statistics.noise import Noise, pooled_noise
from hptransfer.statistics.seed_means import Point, SeedMeans, average_seeds
from tests.support.synthetic_ladders import GRID, parabola


def _tables(levels: list[float], seeds: int, rng: int = 0) -> list[SeedMeans]:
    generator = np.random.default_rng(rng)
    return [
        average_seeds(
            [Point(x, s, parabola(x) + level * generator.standard_normal()) for x in GRID for s in range(seeds)]
        )
        for level in levels
    ]


def _pooled(tables: list[SeedMeans], given: float | None = None) -> Noise:
    return pooled_noise(tables, given)


def test_equal_noise_is_pooled() -> None:
    """Sizes whose residuals agree share one level, known better than from any of them."""
    noise = _pooled(_tables([0.01] * 4, 3))
    assert np.abs(noise.relative - 1).max() < 0.06
    assert np.sqrt(noise.ss / noise.df) == pytest.approx(0.01, rel=0.15)


def test_unequal_noise_stays_unequal() -> None:
    """A size that is eight times as noisy is not believed as much as the others."""
    noise = _pooled(_tables([0.002, 0.002, 0.016, 0.002], 4))
    assert noise.relative.argmax() == 2
    assert noise.relative[2] / noise.relative[0] > 20


def test_one_seed_shows_noise_by_its_scatter_about_parabolas() -> None:
    """Third differences of a parabola vanish, so what is left is noise."""
    noise = _pooled(_tables([0.01] * 4, 1))
    assert np.sqrt(noise.ss / noise.df) == pytest.approx(0.01, rel=0.5)
    assert noise.df < 10


def test_noise_that_is_given_is_taken() -> None:
    """A known level overrides what few seeds say."""
    noise = _pooled(_tables([0.01], 2), given=0.05)
    assert np.sqrt(noise.ss / noise.df) == pytest.approx(0.05)
