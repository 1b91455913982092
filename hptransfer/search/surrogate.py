"""Small Gaussian processes over two to four hyperparameters: the smooth mean of noisy losses, and where runs train.

A full quadratic with random coefficients, because losses are bowls in octaves, plus Matern 5/2 with one length per axis
for what is no quadratic, plus white noise (Rasmussen and Williams, "Gaussian Processes for Machine Learning", 2006, eq.
4.17, sections 2.7 and 5.4.1, algorithm 2.1); parameters maximise likelihood times weak priors. Losses far above the
best are compressed, because how bad a bad point is says little about where the minimum lies, and a divergence counts as
about as bad as the worst run that ended. Both choices, and the prior's numbers, were compared on the pilot seeds of
benchmarks/efficiency.py.

Where runs train is least-squares classification (the same book, section 6.5): labels of +1 and -1 are regressed on, and
the posterior's share above zero is the probability.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.linalg import cho_factor, cho_solve
from scipy.optimize import minimize
from scipy.stats import norm

from hptransfer.statistics.arrays import Array

#: losses are compressed above this fraction of the best: e -> s * log(1 + e / s)
COMPRESSED_ABOVE = 0.05
#: prior means and spreads, natural log: lengths in units of the range, noise, Matern part and quadratic part in units
#: of the compressed losses' spread
_LENGTH, _NOISE, _ROUGH, _BOWL = (math.log(0.7), 0.7), (math.log(0.1), 1.5), (math.log(1.5), 1.0), (0.0, 1.0)
_BOUNDS = ((math.log(0.08), math.log(20.0)), (math.log(2e-3), math.log(2.0)), (math.log(0.1), math.log(30.0)))
_BOWL_BOUNDS = (math.log(0.01), math.log(30.0))
#: variance of the unknown overall level, and of a diverged run about the worst one that ended, same units
LEVEL, _DIVERGED = 4.0, 0.25
_JITTER = 1e-8
#: of the ranges: how far one run's fate says something about its neighbours'
_FATE_LENGTH = 0.35
#: before any run, training is likelier than not
_FATE_PRIOR = 0.3
_FATE_NOISE, _SOFT = 0.02, 0.05


@dataclass(frozen=True, slots=True)
class Surrogate:
    """A fitted process; `posterior` and `noise` are in units of the compressed losses' spread.

    Attributes:
        x: (n, d) inputs, axes bent.
        scatter: (n,) variance of each run about the mean.
        bend: (d,) how lopsided each axis is: log of the ratio of its resolution at the high and at the low end.
        lengths: (d,) correlation length of the Matern part per axis, bent axes.
        rough: standard deviation of the Matern part.
        bowl: standard deviation of the quadratic's coefficients.
        noise: standard deviation of one run about the mean, near the best loss.
        best: lowest loss of all runs, nats.
        offset: mean of the compressed losses, nats.
        scale: their standard deviation, nats.
        softness: losses are compressed above it, nats.
    """

    x: Array
    scatter: Array
    bend: Array
    lengths: Array
    rough: float
    bowl: float
    noise: float
    best: float
    offset: float
    scale: float
    softness: float
    factor: tuple[Array, bool]
    weights: Array

    @property
    def noise_nats(self) -> float:
        """Standard deviation of one run near the best loss, nats."""
        return self.noise * self.scale

    def mean(self, at: Array) -> Array:
        """Expected loss (nats) at (m, d) points."""
        return self.in_nats(self._cross(at) @ self.weights)

    def posterior(self, at: Array) -> tuple[Array, Array]:
        """Mean (m,) and covariance (m, m) at (m, d) points."""
        cross = self._cross(at)
        at = bent(at, self.bend)
        prior = kernel(at, at, self.lengths, self.rough, self.bowl)
        return cross @ self.weights, prior - cross @ cho_solve(self.factor, cross.T)

    def in_nats(self, values: Array) -> Array:
        """Losses of values of the process."""
        compressed = np.minimum((self.offset + self.scale * values) / self.softness, 50.0)
        return np.asarray(self.best + self.softness * np.expm1(compressed))

    def _cross(self, at: Array) -> Array:
        return kernel(bent(at, self.bend), self.x, self.lengths, self.rough, self.bowl)


def fit_surrogate(x: Array, losses: Array) -> Surrogate:
    """Fits the process.

    Args:
        x: (n, d) inputs in the unit cube, n at least 2.
        losses: (n,) nats; infinite where diverged, some finite.
    """
    data = Data(x, losses)
    return data.surrogate(data.fit(), np.zeros(x.shape[1]))


class Data:
    """What is fitted: inputs, standardised compressed losses, and how noise acts on each.

    Parameters are the natural logs of d lengths, noise, rough and bowl, as `Surrogate` has them.

    Attributes:
        priors: (d + 3, 2) means and spreads of the parameters.
    """

    def __init__(self, x: Array, losses: Array) -> None:
        finite = np.isfinite(losses)
        self._best = float(losses[finite].min())
        self._softness = COMPRESSED_ABOVE * (abs(self._best) or float(losses[finite].std()) or 1.0)
        excess = np.where(finite, losses, self._best) - self._best
        compressed = self._softness * np.log1p(excess / self._softness)
        compressed[~finite] = compressed[finite].max()
        # one run's noise is compressed with the loss; a diverged run has a wide one of its own
        self._shrunk = np.where(finite, 1.0 / (1.0 + excess / self._softness), 0.0) ** 2
        self._own = np.where(finite, _JITTER, _DIVERGED)
        self._offset, self._scale = float(compressed.mean()), float(compressed.std()) or 1.0
        self._x, self._y = x, (compressed - self._offset) / self._scale
        d = x.shape[1]
        self.priors = np.array([_LENGTH] * d + [_NOISE, _ROUGH, _BOWL])
        self._bounds = np.array([_BOUNDS[0]] * d + [*_BOUNDS[1:], _BOWL_BOUNDS])

    def surrogate(self, parameters: Array, bend: Array) -> Surrogate:
        """The process with these parameters."""
        lengths, (noise, rough, bowl) = self._split(parameters)
        x = bent(self._x, bend)
        scatter, factor = self._factor(x, lengths, noise, rough, bowl)
        weights = cho_solve(factor, self._y)
        units = self._best, self._offset, self._scale, self._softness
        return Surrogate(x, scatter, bend, lengths, rough, bowl, noise, *units, factor, weights)

    def likelihood(self, parameters: Array, bend: Array) -> float:
        """Log marginal likelihood up to a constant; -inf beyond the bounds."""
        if (parameters < self._bounds[:, 0]).any() or (parameters > self._bounds[:, 1]).any():
            return -math.inf
        lengths, (noise, rough, bowl) = self._split(parameters)
        _, factor = self._factor(bent(self._x, bend), lengths, noise, rough, bowl)
        return -0.5 * float(self._y @ cho_solve(factor, self._y)) - float(np.log(np.diag(factor[0])).sum())

    def fit(self) -> Array:
        """Parameters of highest posterior density."""
        squared = 5.0 * (self._x[:, None, :] - self._x[None, :, :]) ** 2
        features = quadratic_features(self._x)
        found = minimize(
            self._objective, self.priors[:, 0], args=(squared, features @ features.T), jac=True, method="L-BFGS-B",
            bounds=self._bounds, options={"maxiter": 40},
        )  # fmt: skip
        return np.asarray(found.x)

    def _split(self, parameters: Array) -> tuple[Array, tuple[float, float, float]]:
        values = np.exp(parameters)
        return values[:-3], (float(values[-3]), float(values[-2]), float(values[-1]))

    def _factor(
        self, x: Array, lengths: Array, noise: float, rough: float, bowl: float
    ) -> tuple[Array, tuple[Array, bool]]:
        """Variance of each run about the mean, and the Cholesky factor of the runs' covariance."""
        scatter = noise**2 * self._shrunk + self._own
        return scatter, cho_factor(kernel(x, x, lengths, rough, bowl) + np.diag(scatter), lower=True)

    def _objective(self, parameters: Array, squared: Array, quadratic: Array) -> tuple[float, Array]:
        """Negative log posterior density and its gradient (same source, eq. 5.9)."""
        d, y = self._x.shape[1], self._y
        lengths, (noise, rough, bowl) = np.exp(parameters[:d]), np.exp(2 * parameters[d:])
        scaled = squared / lengths**2
        distance = np.sqrt(scaled.sum(-1))
        decay = np.exp(-distance)
        matern = (1.0 + distance + distance**2 / 3.0) * decay
        covariance = rough * matern + bowl * quadratic + LEVEL + np.diag(noise * self._shrunk + self._own)
        factor = cho_factor(covariance, lower=True)
        weights = cho_solve(factor, y)
        inner = cho_solve(factor, np.eye(len(y))) - np.outer(weights, weights)
        slope = inner * (rough / 3.0) * (1.0 + distance) * decay
        gradient = [0.5 * float((slope * scaled[:, :, axis]).sum()) for axis in range(d)]
        gradient += [
            float(np.diag(inner) @ self._shrunk) * noise,
            float((inner * matern).sum()) * rough,
            float((inner * quadratic).sum()) * bowl,
        ]
        away = (parameters - self.priors[:, 0]) / self.priors[:, 1]
        value = 0.5 * float(y @ weights) + float(np.log(np.diag(factor[0])).sum()) + 0.5 * float(away @ away)
        return value, np.array(gradient) + away / self.priors[:, 1]


def bent(x: Array, bend: Array) -> Array:
    """(m, d) points of the unit cube with every axis bent: (e^(b x) - 1) / (e^b - 1), which keeps its ends."""
    if not bend.any():
        return x
    b = np.where(np.abs(bend) < 1e-6, 1e-6, bend)
    return np.asarray(np.expm1(b * x) / np.expm1(b))


def quadratic_features(x: Array) -> Array:
    """Linear and quadratic terms about the middle of the cube."""
    centred = x - 0.5
    d = x.shape[1]
    products = [2.0 * centred[:, i] * centred[:, j] for i in range(d) for j in range(i, d)]
    return np.concatenate([centred, np.stack(products, axis=1)], axis=1)


def kernel(a: Array, b: Array, lengths: Array, rough: float, bowl: float) -> Array:
    """Prior covariance of the mean function at (m, d) and (n, d) points, axes bent."""
    quadratic = quadratic_features(a) @ quadratic_features(b).T
    return np.asarray(rough**2 * matern(a, b, lengths) + bowl**2 * quadratic + LEVEL)


def matern(a: Array, b: Array, lengths: Array) -> Array:
    """Matern 5/2 correlation of (m, d) and (n, d) points."""
    distance = np.sqrt(5.0 * (((a[:, None, :] - b[None, :, :]) / lengths) ** 2).sum(-1))
    return np.asarray((1.0 + distance + distance**2 / 3.0) * np.exp(-distance))


def stable_share(x: Array, trained: npt.NDArray[np.bool_], at: Array) -> Array:
    """Probability in [0, 1] that runs at (m, d) points train.

    Args:
        x: (n, d) where runs ended, in the unit cube.
        trained: (n,) whether each did so without diverging.
        at: (m, d) points of the unit cube.
    """
    if trained.all():
        return np.ones(len(at))
    lengths = np.full(x.shape[1], _FATE_LENGTH)
    labels = np.where(trained, 1.0, -1.0) - _FATE_PRIOR
    factor = cho_factor(matern(x, x, lengths) + _FATE_NOISE * np.eye(len(x)), lower=True)
    cross = matern(at, x, lengths)
    mean = _FATE_PRIOR + cross @ cho_solve(factor, labels)
    variance = 1.0 - (cross * cho_solve(factor, cross.T).T).sum(1)
    return np.asarray(norm.cdf(mean / np.sqrt(np.maximum(variance, 0.0) + _SOFT)))
