"""A smooth stretch of one size's loss curve, and the evidence for every hypothesis about it taken alone.

The stretch is a parabola in x = log2(hyperparameter) plus a rough remainder (`wiener_process`), seen through noise;
losses may be compressed first, because one flank can be much steeper than the other. Trend and noise level are
integrated out.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from hptransfer.statistics import wiener_process
from hptransfer.statistics.arrays import Array

#: squared roughness over squared noise (per octave to the power 2 * order - 1)
ROUGHNESS = 10.0 ** np.arange(-3.0, 9.1, 1.0)
#: prior weight of the process orders
ORDERS = {3: 0.7, 2: 0.3}
#: losses above the best are compressed beyond this many median excesses; infinity leaves them as they are
COMPRESSIONS = {math.inf: 0.5, 3.0: 0.25, 0.3: 0.25}
#: roughness of a curve whose bend changes by half per octave over four octaves, in units of its bend, and the spread of
#: its prior in decades; published sweeps and the exact oracles are about as lopsided
_ROUGH = 2.0
_ROUGHNESS_DECADES = 1.7
#: what a kink adds to slope and bend, in units of the curve's bend
_KINK = 3.0
#: variances above this, in units of the noise, would lose the noise to rounding
_LARGEST = 1e9


@dataclass(frozen=True, slots=True)
class SmoothSegment:
    """Seed means that lie on one smooth curve.

    Attributes:
        x: (m,) log2 values, increasing, m >= 3.
        mean: (m,) seed means, nats.
        noise: (m, m) covariance of the means for runs whose noise has variance 1.
        tilts: (m, m) their covariance by the seeds' tilts, in units of bend^2.
        floor: lowest mean of the size, nats.
        excess: typical height of the size's means above it, nats.
        kink: where slope and bend of the curve may change abruptly; None for nowhere.
    """

    x: Array
    mean: Array
    noise: Array
    tilts: Array
    floor: float
    excess: float
    kink: float | None = None

    @property
    def steepest(self) -> float:
        """Largest bend that is not a wall's: four times that of a parabola of the same typical height."""
        return 16 * self.excess / float(self.x[-1] - self.x[0]) ** 2 * 4

    def compressed(self) -> Array:
        """(compressions, m) means on the scales on which the curve may be smooth, all with slope 1 at the floor."""
        y = self.mean - self.floor
        return np.stack(
            [y if math.isinf(c) else c * self.excess * np.log1p(y / (c * self.excess)) for c in COMPRESSIONS]
        )

    def expand(self, z: Array, compression: int) -> Array:
        """From the scale of a compression back to nats.

        Args:
            z: (..., n) means or curves on the compressed scale.
            compression: index into the keys of `COMPRESSIONS`.
        """
        scale = list(COMPRESSIONS)[compression] * self.excess
        return self.floor + (z if math.isinf(scale) else scale * np.expm1(np.clip(z / scale, -30, 30)))

    def log_jacobians(self) -> Array:
        """(compressions,) logs of the products of the compressions' slopes, which make likelihoods comparable."""
        y = self.mean - self.floor
        return np.array([0.0 if math.isinf(c) else -np.log1p(y / (c * self.excess)).sum() for c in COMPRESSIONS])


def kinked(x: Array, kink: float | None) -> Array:
    """(len(x), 2) columns (x - kink)+ and (x - kink)+^2, zero without a kink.

    Args:
        x: (n,) log2 of the hyperparameter.
        kink: log2 value at which slope and bend change; None for nowhere.
    """
    right = np.zeros_like(x) if kink is None else np.maximum(x - kink, 0.0)
    return np.stack([right, right**2], axis=1)


def kink_variance(bend: float, variance: float) -> float:
    """Variance of what a kink adds to slope (per octave) and bend, over the variance of the noise.

    Args:
        bend: bend of the curve, nats per octave squared.
        variance: variance of one run's noise, nats squared.
    """
    return min((_KINK * bend) ** 2 / variance, _LARGEST)


def trend(x: Array, centre: float) -> Array:
    """(len(x), 3) columns 1, u, u^2 with u = x - centre.

    Args:
        x: (n,) log2 of the hyperparameter.
        centre: log2 value that u is counted from.
    """
    u = x - centre
    return np.stack([np.ones_like(u), u, u * u], axis=1)


def log_prior(bend: float, variance: float) -> Array:
    """(compressions, orders, roughness) log prior: roughness around the scale of the parabola's own bend.

    Args:
        bend: bend of the parabola, nats per octave squared.
        variance: variance of one run's noise, nats squared.
    """
    centre = math.log10(max((_ROUGH * bend) ** 2 / variance, 1e-3))
    roughness = -0.5 * ((np.log10(ROUGHNESS) - centre) / _ROUGHNESS_DECADES) ** 2
    kinds = np.log(np.outer(list(COMPRESSIONS.values()), list(ORDERS.values())))
    return np.asarray(kinds[:, :, None] + roughness)


def evidence_alone(stretch: SmoothSegment, noise: tuple[float, float]) -> Array:
    """Log marginal likelihood of every hypothesis about one stretch, prior included.

    Args:
        stretch: the seed means that are taken to lie on one smooth curve.
        noise: (sum of squares, degrees of freedom) known about one run's noise.

    Returns:
        (compressions, orders, roughness) values, comparable between stretches of one size that differ in length.
    """
    known_ss, known_df = noise
    m, u, z = len(stretch.x), stretch.x - stretch.x[0], stretch.compressed()
    basis = trend(stretch.x, float(stretch.x[0]))
    df = m - 3 + known_df
    constant = math.lgamma(df / 2) - (m - 3) / 2 * math.log(math.pi)
    likelihood = np.empty((len(COMPRESSIONS), len(ORDERS), len(ROUGHNESS)))
    bend = min(abs(float(np.linalg.lstsq(basis, stretch.mean, rcond=None)[0][2])), stretch.steepest)
    columns = kinked(stretch.x, stretch.kink)
    steady = stretch.noise + bend**2 * known_df / known_ss * stretch.tilts
    steady = steady + kink_variance(bend, known_ss / known_df) * columns @ columns.T
    for index, order in enumerate(ORDERS):
        rough = wiener_process.covariance(order, u[:, None], u[None])
        total = steady + ROUGHNESS[:, None, None] * rough
        inverse = np.linalg.inv(total)
        gram = basis.T @ inverse @ basis
        projected = inverse - inverse @ basis @ np.linalg.solve(gram, basis.T @ inverse)
        logdet = np.linalg.slogdet(total)[1] + np.linalg.slogdet(gram)[1]
        sums = np.maximum(np.einsum("ci,lij,cj->cl", z, projected, z), 0) + known_ss
        likelihood[:, index] = constant - 0.5 * logdet - 0.5 * df * np.log(sums)
    likelihood += stretch.log_jacobians()[:, None, None]
    return np.asarray(likelihood + log_prior(bend, known_ss / known_df))
