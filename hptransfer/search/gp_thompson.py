"""Where the minimum could lie: minima of mean functions drawn from everything that the runs leave possible.

A draw is a function, not values at given points, so its minimum is searched wherever it may be: Fourier features of the
prior corrected by the data (Wilson et al., "Efficiently Sampling Functions from Gaussian Process Posteriors", 2020),
the quadratic part exactly.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
from scipy.linalg import cho_solve

from hptransfer.search.surrogate import LEVEL, Array, Surrogate, bent, matern, quadratic_features

#: Fourier features of the Matern part
_WAVES = 128
#: neighbours tried about each running minimum, and how far away, as shares of the ranges
_NEIGHBOURS, _STEPS = 12, (0.1, 0.05, 0.025, 0.012)

Region = Callable[[Array], npt.NDArray[np.bool_]]


class Functions:
    """Draws of one process's mean function."""

    def __init__(self, surrogate: Surrogate, count: int, rng: np.random.Generator) -> None:
        self._of = surrogate
        x, d = surrogate.x, surrogate.x.shape[1]
        # the spectrum of Matern 5/2 is Student's t with five degrees of freedom
        heavy = np.sqrt(rng.chisquare(5.0, (_WAVES, 1)) / 5.0)
        self._frequencies = rng.standard_normal((_WAVES, d)) / heavy / surrogate.lengths
        self._phases = rng.uniform(0.0, 2 * math.pi, _WAVES)
        self._waves = surrogate.rough * math.sqrt(2.0 / _WAVES) * rng.standard_normal((_WAVES, count))
        quadratic = quadratic_features(x)
        self._bowl = surrogate.bowl * rng.standard_normal((quadratic.shape[1], count))
        self._level = math.sqrt(LEVEL) * rng.standard_normal(count)
        runs = self._basis(x) @ self._waves + quadratic @ self._bowl + self._level
        runs += np.sqrt(surrogate.scatter)[:, None] * rng.standard_normal(runs.shape)
        self._pull = surrogate.weights[:, None] - cho_solve(surrogate.factor, runs)
        self._bowl += surrogate.bowl**2 * quadratic.T @ self._pull
        self._level += LEVEL * self._pull.sum(0)

    def everywhere(self, at: Array) -> Array:
        """(count, m) values of every draw at (m, d) points."""
        return np.asarray(sum(by.T @ values.T for values, by in self._parts(at)) + self._level[:, None])

    def each(self, at: Array) -> Array:
        """(count, m) values of each draw at its own points, (count, m, d)."""
        count, m, d = at.shape
        parts = self._parts(at.reshape(-1, d))
        found = (np.einsum("cmf,fc->cm", values.reshape(count, m, -1), by) for values, by in parts)
        return np.asarray(sum(found) + self._level[:, None])

    def _parts(self, at: Array) -> tuple[tuple[Array, Array], ...]:
        """What the draws are sums of: functions at (m, d) points, and each draw's coefficients."""
        at = bent(at, self._of.bend)
        near = self._of.rough**2 * matern(at, self._of.x, self._of.lengths)
        return (self._basis(at), self._waves), (quadratic_features(at), self._bowl), (near, self._pull)

    def _basis(self, at: Array) -> Array:
        return np.cos(at @ self._frequencies.T + self._phases)


def draw_minima(
    surrogates: Sequence[Surrogate], start: Array, region: Region, each: int, rng: np.random.Generator
) -> Array:
    """(len(surrogates) * each, d) minima of draws.

    Args:
        surrogates: hypotheses, equally likely.
        start: (m, d) points of the region among which each search of a minimum begins.
        region: which of (m, d) points may be minima.
        each: draws of every surrogate.
        rng: of the draws.
    """
    return np.concatenate([_minima(Functions(one, each, rng), start, region, each, rng) for one in surrogates])


def _minima(functions: Functions, start: Array, region: Region, count: int, rng: np.random.Generator) -> Array:
    places = start[functions.everywhere(start).argmin(1)]
    d = places.shape[1]
    for step in _STEPS:
        offsets = rng.normal(0.0, step, (count, _NEIGHBOURS, d))
        offsets[:, 0] = 0.0
        about = np.clip(places[:, None, :] + offsets, 0.0, 1.0)
        allowed = region(about.reshape(-1, d)).reshape(count, _NEIGHBOURS)
        allowed[:, 0] = True
        values = np.where(allowed, functions.each(about), np.inf)
        places = about[np.arange(count), values.argmin(1)]
    return np.asarray(places)
