"""What growing buys: by how much the best loss falls per doubling, and what a loss costs in doublings.

Along the log2 of what grows (compute where it is known, otherwise the size) the best loss is level - gain * h(t) plus
scatter, where h is concave or straight: h'(t) = 2^(-exponent * t). The exponent, the scatter, level and gain are
averaged over. A loss R is bought back by log2(1 + exponent * ln 2 * R / gain) / exponent doublings, which tends to
R / gain where the exponent is 0. All of it is the same when losses are written as a + b * loss.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from hptransfer.statistics import wiener_process
from hptransfer.statistics.arrays import Array

#: powers by which a doubling buys less than the one before; negative: more. Width at fixed data saturates like 1/width
_EXPONENTS = np.array([-0.2, 0.0, 0.15, 0.3, 0.5, 0.75, 1.0, 1.5])
_EXPONENT_WEIGHT = np.array([0.05, 0.2, 0.2, 0.15, 0.15, 0.1, 0.1, 0.05])
#: best losses need not lie on a law: scatter as a share of the spread of the best losses, with prior weights
_SCATTER = np.array([0.0, 0.02, 0.05, 0.1, 0.3])
_SCATTER_WEIGHT = np.array([0.3, 0.25, 0.2, 0.15, 0.1])
#: a law through fewer sizes than this is the straight line between them
_FEWEST_BENT = 3
#: streams of random numbers of their own
_PICK, _NOISE = 64, 65


@dataclass(frozen=True, slots=True)
class ExchangeRate:
    """Draws of the law of the best loss along what grows.

    Attributes:
        at: (K,) log2 of what grows, per size.
        gain: (K, DRAWS) loss that a doubling buys at each size, in the unit of the loss; may be negative.
        exponent: (DRAWS,) power by which a doubling buys less than the one before it.
    """

    at: Array
    gain: Array
    exponent: Array

    @property
    def known(self) -> bool:
        """Whether growing clearly gains at every size."""
        return bool((np.quantile(self.gain, 0.025, axis=1) > 0).all())

    def doublings(self, size: int, lost: Array) -> Array:
        """How many doublings would buy back a loss at one size.

        Args:
            size: index of the size.
            lost: (DRAWS,) losses, at least 0, infinite where training diverges.

        Returns:
            (DRAWS,) doublings, at least 0; infinite where nothing buys it back.
        """
        gain = self.gain[size]
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            ratio = np.where(lost > 0, np.where(gain > 0, lost / np.maximum(gain, 1e-300), math.inf), 0.0)
            bent = self.exponent * math.log(2) * ratio
            curved = np.where(bent > -1, np.log1p(np.maximum(bent, -1)) / (math.log(2) * self.exponent), math.inf)
        return np.asarray(np.where((self.exponent == 0) | ~np.isfinite(ratio), ratio, curved))


def exchange_rate(at: Array, best: Array) -> ExchangeRate | None:
    """The law of the best losses; None with fewer than two different places.

    Args:
        at: (K,) log2 of what grows, increasing with the size.
        best: (K, DRAWS) draws of the loss at each size's own optimum, what other seeds would change included.
    """
    if len(at) < 2 or float(np.ptp(at)) < 1e-6 or not np.isfinite(best).all():
        return None
    from_last = at - at[-1]
    middle = np.median(best, axis=1)
    spread = float(np.ptp(middle)) or float(best.std()) or 1.0
    covariance = np.cov(best) + (1e-9 * spread) ** 2 * np.eye(len(at))
    exponents = _EXPONENTS if len(at) >= _FEWEST_BENT else np.zeros(1)
    weights = _EXPONENT_WEIGHT if len(at) >= _FEWEST_BENT else np.ones(1)
    fits, scores = [], []
    for exponent, weight in zip(exponents, weights, strict=True):
        design = np.stack([np.ones(len(at)), -_rise(from_last, exponent)], axis=1)
        for scatter, share in zip(_SCATTER, _SCATTER_WEIGHT, strict=True):
            inverse = np.linalg.inv(covariance + (scatter * spread) ** 2 * np.eye(len(at)))
            gram = design.T @ inverse @ design
            fit = np.linalg.solve(gram, design.T @ inverse)
            residual = middle - design @ (fit @ middle)
            # the scale of the gain differs between exponents: its prior is flat in the gain at the last size
            logdet = np.linalg.slogdet(inverse)[1] - np.linalg.slogdet(gram)[1]
            scores.append(0.5 * (logdet - residual @ inverse @ residual) + math.log(weight * share))
            fits.append(fit)
    odds = np.exp(np.array(scores) - max(scores))
    chosen = np.searchsorted(np.cumsum(odds) / odds.sum(), wiener_process.uniform(_PICK)).clip(0, len(odds) - 1)
    scattered = best + spread * np.tile(_SCATTER, len(exponents))[chosen] * wiener_process.normal(_NOISE, len(at))
    gain_at_last = np.einsum("dik,kd->id", np.stack(fits)[chosen], scattered)[1]
    exponent_drawn = np.repeat(exponents, len(_SCATTER))[chosen]
    gain = gain_at_last * np.exp2(-exponent_drawn * from_last[:, None])
    return ExchangeRate(at, gain, exponent_drawn)


def _rise(at: Array, exponent: float) -> Array:
    """h(t) with h(0) = 0 and h'(t) = 2^(-exponent * t)."""
    if exponent == 0:
        return at
    return np.asarray(-np.expm1(-exponent * math.log(2) * at) / (exponent * math.log(2)))
