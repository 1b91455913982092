"""A small Gaussian process: the smooth mean of noisy losses over two to four hyperparameters.

A full quadratic with random coefficients, because losses are bowls in octaves, plus Matern 5/2 with one length per axis
for what is no quadratic, plus white noise (Rasmussen and Williams, "Gaussian Processes for Machine Learning", 2006, eq.
4.17, sections 2.7 and 5.4.1, algorithm 2.1); parameters maximise likelihood times weak priors. Losses far above the
best are compressed, because how bad a bad point is says little about where the minimum lies, and a divergence counts as
about as bad as the worst run that ended. Both choices, and the prior's numbers, were compared on the pilot seeds of
benchmarks/efficiency.py.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.linalg import cho_factor, cho_solve
from scipy.optimize import minimize

Array = npt.NDArray[np.float64]

#: losses are compressed above this fraction of the best: e -> s * log(1 + e / s)
COMPRESSED_ABOVE = 0.05
#: prior means and spreads, natural log: lengths in units of the range, noise, Matern part and quadratic part in units
#: of the compressed losses' spread
_LENGTH, _NOISE, _ROUGH, _BOWL = (math.log(0.7), 0.7), (math.log(0.1), 1.5), (math.log(1.5), 1.0), (0.0, 1.0)
_BOUNDS = ((math.log(0.08), math.log(20.0)), (math.log(2e-3), math.log(2.0)), (math.log(0.1), math.log(30.0)))
_BOWL_BOUNDS = (math.log(0.01), math.log(30.0))
#: variance of the unknown overall level, and of a diverged run about the worst one that ended, same units
_LEVEL, _DIVERGED = 4.0, 0.25
_JITTER = 1e-8


@dataclass(frozen=True, slots=True)
class Surrogate:
    """A fitted process; `posterior` and `noise` are in units of the compressed losses' spread.

    Attributes:
        x: (n, d) inputs in the unit cube.
        lengths: (d,) correlation length of the Matern part per axis.
        rough: standard deviation of the Matern part.
        bowl: standard deviation of the quadratic's coefficients.
        noise: standard deviation of one run about the mean, near the best loss.
        best: lowest loss, nats.
        offset: mean of the compressed losses, nats.
        scale: their standard deviation, nats.
        softness: losses are compressed above it, nats.
    """

    x: Array
    lengths: Array
    rough: float
    bowl: float
    noise: float
    best: float
    offset: float
    scale: float
    softness: float
    _factor: tuple[Array, bool]
    _weights: Array

    @property
    def noise_nats(self) -> float:
        """Standard deviation of one run near the best loss, nats."""
        return self.noise * self.scale

    def mean(self, at: Array) -> Array:
        """Expected loss (nats) at (m, d) points."""
        return self.in_nats(self._cross(at) @ self._weights)

    def posterior(self, at: Array) -> tuple[Array, Array]:
        """Mean (m,) and covariance (m, m) at (m, d) points."""
        cross = self._cross(at)
        prior = _kernel(at, at, self.lengths, self.rough, self.bowl)
        return cross @ self._weights, prior - cross @ cho_solve(self._factor, cross.T)

    def draws(self, at: Array, count: int, rng: np.random.Generator) -> Array:
        """(count, m) draws of the whole mean function at (m, d) points, in the order of losses but not in nats."""
        mean, covariance = self.posterior(at)
        values, vectors = np.linalg.eigh(covariance)
        root = vectors * np.sqrt(np.maximum(values, 0.0))
        return np.asarray(mean + rng.standard_normal((count, len(at))) @ root.T)

    def in_nats(self, values: Array) -> Array:
        """Losses of values of the process."""
        compressed = np.minimum((self.offset + self.scale * values) / self.softness, 50.0)
        return np.asarray(self.best + self.softness * np.expm1(compressed))

    def _cross(self, at: Array) -> Array:
        return _kernel(at, self.x, self.lengths, self.rough, self.bowl)


def fit_surrogate(x: Array, losses: Array) -> Surrogate:
    """Fits the process.

    Args:
        x: (n, d) inputs in the unit cube, n at least 2.
        losses: (n,) nats; infinite where diverged, some finite.
    """
    finite = np.isfinite(losses)
    best = float(losses[finite].min())
    softness = COMPRESSED_ABOVE * (abs(best) or float(losses[finite].std()) or 1.0)
    excess = np.where(finite, losses, best) - best
    compressed = softness * np.log1p(excess / softness)
    compressed[~finite] = compressed[finite].max()
    # one run's noise is compressed with the loss; a diverged run has a wide one of its own
    shrunk = np.where(finite, 1.0 / (1.0 + excess / softness), 0.0)
    own = np.where(finite, _JITTER, _DIVERGED)
    offset, scale = float(compressed.mean()), float(compressed.std()) or 1.0
    data = _Data(x, (compressed - offset) / scale, shrunk**2, own)
    lengths, noise, rough, bowl = data.fit()
    factor = cho_factor(data.covariance(lengths, noise, rough, bowl), lower=True)
    weights = cho_solve(factor, data.y)
    return Surrogate(x, lengths, rough, bowl, noise, best, offset, scale, softness, factor, weights)


class _Data:
    """What is fitted: inputs, standardised compressed losses, and how noise acts on each."""

    def __init__(self, x: Array, y: Array, shrunk: Array, own: Array) -> None:
        self.x, self.y, self._shrunk, self._own = x, y, shrunk, own
        self._squared = 5.0 * (x[:, None, :] - x[None, :, :]) ** 2
        features = _features(x)
        self._quadratic = features @ features.T

    def covariance(self, lengths: Array, noise: float, rough: float, bowl: float) -> Array:
        return _kernel(self.x, self.x, lengths, rough, bowl) + np.diag(noise**2 * self._shrunk + self._own)

    def fit(self) -> tuple[Array, float, float, float]:
        """Lengths, noise, rough and bowl of highest posterior density."""
        d = self.x.shape[1]
        priors = np.array([_LENGTH] * d + [_NOISE, _ROUGH, _BOWL])
        bounds = [_BOUNDS[0]] * d + [*_BOUNDS[1:], _BOWL_BOUNDS]
        found = minimize(
            self._objective, priors[:, 0], args=(priors,), jac=True, method="L-BFGS-B", bounds=bounds,
            options={"maxiter": 40},
        ).x  # fmt: skip
        noise, rough, bowl = (float(value) for value in np.exp(found[d:]))
        return np.exp(found[:d]), noise, rough, bowl

    def _objective(self, parameters: Array, priors: Array) -> tuple[float, Array]:
        """Negative log posterior density and its gradient (same source, eq. 5.9)."""
        d, y = self.x.shape[1], self.y
        lengths, (noise, rough, bowl) = np.exp(parameters[:d]), np.exp(2 * parameters[d:])
        scaled = self._squared / lengths**2
        distance = np.sqrt(scaled.sum(-1))
        decay = np.exp(-distance)
        matern = (1.0 + distance + distance**2 / 3.0) * decay
        covariance = rough * matern + bowl * self._quadratic + _LEVEL + np.diag(noise * self._shrunk + self._own)
        factor = cho_factor(covariance, lower=True)
        weights = cho_solve(factor, y)
        inner = cho_solve(factor, np.eye(len(y))) - np.outer(weights, weights)
        slope = inner * (rough / 3.0) * (1.0 + distance) * decay
        gradient = [0.5 * float((slope * scaled[:, :, axis]).sum()) for axis in range(d)]
        gradient += [
            float(np.diag(inner) @ self._shrunk) * noise,
            float((inner * matern).sum()) * rough,
            float((inner * self._quadratic).sum()) * bowl,
        ]
        away = (parameters - priors[:, 0]) / priors[:, 1]
        value = 0.5 * float(y @ weights) + float(np.log(np.diag(factor[0])).sum()) + 0.5 * float(away @ away)
        return value, np.array(gradient) + away / priors[:, 1]


def _features(x: Array) -> Array:
    """Linear and quadratic terms about the middle of the cube."""
    centred = x - 0.5
    d = x.shape[1]
    products = [2.0 * centred[:, i] * centred[:, j] for i in range(d) for j in range(i, d)]
    return np.concatenate([centred, np.stack(products, axis=1)], axis=1)


def _kernel(a: Array, b: Array, lengths: Array, rough: float, bowl: float) -> Array:
    return np.asarray(rough**2 * matern(a, b, lengths) + bowl**2 * (_features(a) @ _features(b).T) + _LEVEL)


def matern(a: Array, b: Array, lengths: Array) -> Array:
    """Matern 5/2 correlation of (m, d) and (n, d) points."""
    distance = np.sqrt(5.0 * (((a[:, None, :] - b[None, :, :]) / lengths) ** 2).sum(-1))
    return np.asarray((1.0 + distance + distance**2 / 3.0) * np.exp(-distance))
