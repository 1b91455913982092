"""Draws from the posterior: of a surrogate's parameters, and of where its mean function has its minimum.

A handful of runs fixes neither the noise nor the lengths over which losses vary, and one fitted set of them is too sure
of where the minimum lies. Nor does it fix whether a bowl is lopsided, and a symmetric model of a bowl that is steeper
on one side puts the minimum too far to the other. So every axis may be bent (Snoek et al., "Input Warping for Bayesian
Optimization of Non-Stationary Functions", 2014, with one parameter), and parameters are drawn, not fitted.

A drawn mean is a function, not values at given points, so its minimum is searched wherever it may be: Fourier features
of the prior corrected by the data (Wilson et al., "Efficiently Sampling Functions from Gaussian Process Posteriors",
2020), the quadratic part exactly.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
from scipy.linalg import cho_solve

from hptransfer.search.surrogate import LEVEL, Data, Surrogate, bent, matern, quadratic_features
from hptransfer.statistics.arrays import Array

#: spread of the bends
_BEND = 1.5
#: steps of the chain before the first draw, and between two
_BURN_IN, _APART = 20, 4
#: Fourier features of the Matern part
_WAVES = 128
#: neighbours tried about each running minimum, and how far away, as shares of the ranges
_NEIGHBOURS, _STEPS = 12, (0.1, 0.05, 0.025, 0.012)

Region = Callable[[Array], npt.NDArray[np.bool_]]


def plausible_surrogates(
    x: Array, losses: Array, bends: Array, count: int, rng: np.random.Generator
) -> list[Surrogate]:
    """Surrogates drawn from the posterior of their parameters, by elliptical slice sampling.

    Source: Murray, Adams and MacKay, "Elliptical slice sampling", 2010, figure 2.

    Args:
        x: (n, d) inputs in the unit cube, n at least 2.
        losses: (n,) nats; infinite where diverged, some finite.
        bends: (d,) expected bend of each axis, see `Surrogate`.
        count: number of draws wanted, at least 1.
        rng: the source of the draws.
    """
    data = Data(x, losses)
    own = len(data.priors)
    mean = np.concatenate([data.priors[:, 0], bends])
    spread = np.concatenate([data.priors[:, 1], np.full(len(bends), _BEND)])
    state = np.concatenate([data.fit(), bends])
    density = data.likelihood(state[:own], state[own:])
    found = []
    for step in range(_BURN_IN + count * _APART):
        threshold = density + math.log(1.0 - rng.random())
        other = rng.normal(0.0, spread)
        angle = rng.uniform(0.0, 2 * math.pi)
        low, high = angle - 2 * math.pi, angle
        while True:
            moved = mean + (state - mean) * math.cos(angle) + other * math.sin(angle)
            density = data.likelihood(moved[:own], moved[own:])
            # at angle 0 the chain stays where it is, so the bracket ends there at the latest
            if density >= threshold or high - low < 1e-9:
                break
            low, high = (angle, high) if angle < 0 else (low, angle)
            angle = rng.uniform(low, high)
        state = moved
        if step >= _BURN_IN and (step - _BURN_IN) % _APART == 0:
            found.append(data.surrogate(state[:own], state[own:]))
    return found


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
        surrogates: equally likely hypotheses about the mean function.
        start: (m, d) points of the region among which each search of a minimum begins.
        region: says which of (m, d) points may be minima, as (m,) booleans.
        each: number of draws of every surrogate.
        rng: the source of the draws.
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
