"""A small Gaussian process: the smooth mean of noisy losses over two to four hyperparameters.

Matern 5/2 with one length per axis and white noise (Rasmussen and Williams, "Gaussian Processes for Machine Learning",
2006, eq. 4.17 and algorithm 2.1); parameters maximise likelihood times weak priors. The bad quarter of the losses is
clipped to its best value, because how bad a bad point is says nothing about where the minimum lies.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.linalg import cho_factor, cho_solve
from scipy.optimize import minimize

Array = npt.NDArray[np.float64]

#: prior means and spreads (natural log) of the lengths in units of the range, and of the noise in units of the signal
_LENGTH_PRIOR = (np.log(0.5), 1.0)
_NOISE_PRIOR = (np.log(0.1), 1.5)
_JITTER = 1e-8


@dataclass(frozen=True, slots=True)
class Surrogate:
    """A fitted process.

    Attributes:
        x: (n, d) inputs in the unit cube.
        lengths: (d,) correlation length per axis.
        noise: standard deviation of one run about the mean, in units of the signal's.
        offset: mean of the clipped losses, nats.
        scale: their standard deviation, nats.
    """

    x: Array
    lengths: Array
    noise: float
    offset: float
    scale: float
    _factor: tuple[Array, bool]
    _weights: Array

    def mean(self, at: Array) -> Array:
        """Expected loss (nats) at (m, d) points."""
        return np.asarray(self.offset + self.scale * (_matern(at, self.x, self.lengths) @ self._weights))

    def draws(self, at: Array, count: int, rng: np.random.Generator) -> Array:
        """(count, m) draws of the whole mean function at (m, d) points, nats."""
        cross = _matern(at, self.x, self.lengths)
        covariance = _matern(at, at, self.lengths) - cross @ cho_solve(self._factor, cross.T)
        values, vectors = np.linalg.eigh(covariance)
        root = vectors * np.sqrt(np.maximum(values, 0.0))
        return np.asarray(self.mean(at) + self.scale * (rng.standard_normal((count, len(at))) @ root.T))


def fit_surrogate(x: Array, losses: Array) -> Surrogate:
    """Fits the process.

    Args:
        x: (n, d) inputs in the unit cube, n at least 3.
        losses: (n,) nats; infinite where diverged.
    """
    finite = losses[np.isfinite(losses)]
    clipped = np.minimum(losses, np.quantile(finite, 0.75))
    offset, scale = float(clipped.mean()), float(clipped.std()) or 1.0
    y = (clipped - offset) / scale
    starts = [np.log([length] * x.shape[1] + [0.1]) for length in (0.3, 1.0)]
    fits = [minimize(_objective, start, args=(x, y), method="L-BFGS-B", bounds=_bounds(x.shape[1])) for start in starts]
    best = min(fits, key=lambda fit: float(fit.fun)).x
    lengths, noise = np.exp(best[:-1]), float(np.exp(best[-1]))
    factor = cho_factor(_covariance(x, lengths, noise), lower=True)
    return Surrogate(x, lengths, noise, offset, scale, factor, cho_solve(factor, y))


def _bounds(dimensions: int) -> list[tuple[float, float]]:
    return [(np.log(0.05), np.log(20.0))] * dimensions + [(np.log(1e-3), np.log(3.0))]


def _objective(parameters: Array, x: Array, y: Array) -> float:
    lengths, noise = np.exp(parameters[:-1]), float(np.exp(parameters[-1]))
    factor = cho_factor(_covariance(x, lengths, noise), lower=True)
    fit = float(0.5 * y @ cho_solve(factor, y) + np.log(np.diag(factor[0])).sum())
    length_centre, length_spread = _LENGTH_PRIOR
    noise_centre, noise_spread = _NOISE_PRIOR
    prior = float((((parameters[:-1] - length_centre) / length_spread) ** 2).sum())
    return float(fit + 0.5 * (prior + ((parameters[-1] - noise_centre) / noise_spread) ** 2))


def _covariance(x: Array, lengths: Array, noise: float) -> Array:
    return _matern(x, x, lengths) + (noise**2 + _JITTER) * np.eye(len(x))


def _matern(a: Array, b: Array, lengths: Array) -> Array:
    squared = (((a[:, None, :] - b[None, :, :]) / lengths) ** 2).sum(-1)
    distance = np.sqrt(5.0 * squared)
    return np.asarray((1.0 + distance + distance**2 / 3.0) * np.exp(-distance))
