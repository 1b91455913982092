"""A power of size from measurements over sizes and seeds, held against a band."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from hptransfer.statistics.arrays import Array

#: the slope between the two largest sizes must agree with the whole ladder's within this to be called asymptotic
BEND = 0.1
#: a variance of slopes below it is rounding
_NO_SCATTER = 1e-20


class RowVerdict(StrEnum):
    """The outcome of one row of a coordinate check."""

    HOLDS = "HOLDS"
    FAILS = "FAILS"
    INCONCLUSIVE = "INCONCLUSIVE"


@dataclass(frozen=True, slots=True)
class Slope:
    """A power of size.

    Attributes:
        estimate: d log2 value / d log2 size, mean over seeds; nan when a value was not positive and finite.
        standard_error: standard error of the mean over seeds, with Student's quantile for few residuals already in it.
        largest_pair: slope between the two largest sizes.
    """

    estimate: float
    standard_error: float
    largest_pair: float

    @property
    def asymptotic(self) -> bool:
        """Whether the two largest sizes agree with the whole ladder."""
        return abs(self.largest_pair - self.estimate) <= BEND

    def against(self, expected: float, tolerance: float) -> RowVerdict:
        """Whether the whole 95% interval lies within, or outside, +-tolerance of what theory expects.

        Args:
            expected: the power that theory gives.
            tolerance: half the width of the band around it, positive.
        """
        return self.within(expected - tolerance, expected + tolerance)

    def within(self, low: float, high: float) -> RowVerdict:
        """Whether the whole 95% interval lies within, or outside, a band; low or high is nan where none is known.

        Args:
            low: lower end of the band, a power of size; nan where none is known.
            high: upper end of the band, a power of size; nan where none is known.
        """
        if math.isnan(self.estimate):
            # what blows up or does not move at all has no power law: neither is what transfer needs
            return RowVerdict.FAILS
        half = 1.96 * self.standard_error
        if low <= self.estimate - half and self.estimate + half <= high:
            return RowVerdict.HOLDS
        outside = self.estimate + half < low or self.estimate - half > high
        return RowVerdict.FAILS if outside else RowVerdict.INCONCLUSIVE


def fit_slope(values: Array, log_size: Array, unevenness: float = 1.0, precision: Array | None = None) -> Slope:
    """Least squares per seed; the error from all residuals about seed and size means, not from the seeds' slopes alone.

    What a seed does at all sizes alike has no slope, and a bend that all seeds share is no noise. What is left has
    (seeds - 1) x (sizes - 1) degrees of freedom: with three seeds and five sizes eight, where the three slopes by
    themselves have two, of which Student's quantile is 4.3.

    Args:
        values: (seeds, sizes), at least two of each.
        log_size: (sizes,) log2 of the sizes, increasing.
        unevenness: factor on the variance where residuals at the ends of the ladder are larger than in its middle, or
            go along with their neighbours' (`unevenness_of`).
        precision: (sizes,) 1 / variance of a logarithm up to a factor, where it is known; default: all alike.
    """
    if not (np.isfinite(values).all() and (values > 0).all()):
        return Slope(math.nan, math.nan, math.nan)
    logs = np.log2(values)
    seeds, sizes = logs.shape
    precision = np.ones(sizes) if precision is None else precision
    _, pooled = _variances(logs, log_size, precision)
    # at its most, sizes - 1, all scatter is the slopes' own, and they alone tell its variance
    freedom = (seeds - 1) * (sizes - 1) / min(unevenness, sizes - 1)
    error = math.sqrt(pooled * unevenness / seeds) * student(freedom) / 1.96
    pair = float(((logs[:, -1] - logs[:, -2]) / (log_size[-1] - log_size[-2])).mean())
    return Slope(float((logs @ _arms(log_size, precision)).mean()), error, pair)


def unevenness_of(tables: Iterable[Array], log_size: Array) -> float:
    """How much more seeds' slopes scatter than residuals say, over all tables together; at least 1.

    Small sizes fluctuate more, and neighbouring depths share draws: properties of the ladder, common to what is
    measured on it, and too much to be seen in three seeds of one table.

    Args:
        tables: arrays as `values` of `fit_slope`, of the same runs; those without a slope or scatter are left out.
        log_size: (sizes,) log2 of the sizes, increasing, as for `fit_slope`.
    """
    ratios = []
    for values in tables:
        if np.isfinite(values).all() and (values > 0).all():
            own, pooled = _variances(np.log2(values), log_size, np.ones(len(log_size)))
            if pooled > _NO_SCATTER:
                ratios.append(own / pooled)
    return max(1.0, float(np.mean(ratios))) if ratios else 1.0


def _variances(logs: Array, log_size: Array, precision: Array) -> tuple[float, float]:
    """Of one seed's slope: from the seeds' slopes, and from all residuals as if they were independent."""
    seeds, sizes = logs.shape
    apart = logs - logs.mean(axis=0)
    left = apart - np.average(apart, axis=1, weights=precision)[:, None]
    residual = float((left**2 @ precision).sum()) / ((seeds - 1) * (sizes - 1))
    arms = _arms(log_size, precision)
    return float((logs @ arms).var(ddof=1)), residual * float((arms**2 / precision).sum())


def _arms(log_size: Array, precision: Array) -> Array:
    """What the logarithm at each size contributes to a least-squares slope."""
    arm = log_size - np.average(log_size, weights=precision)
    return np.asarray(precision * arm / (precision @ arm**2))


def student(df: float) -> float:
    """97.5% quantile of Student's t with `df` degrees of freedom, which need not be whole."""
    from scipy.special import stdtrit  # takes a third of a second to import, and judging a table of runs needs none

    return float(stdtrit(df, 0.975))


# How large a matrix is as a map: its spectral norm, in units in which a correct update does not depend on width.
#
# A weight that maps fan_in numbers of order one to fan_out numbers of order one has spectral norm of order
# sqrt(fan_out / fan_in), and so must its update (Yang, Simon, Bernstein, arXiv 2310.17813, condition 1). The quotient
# needs no data, and for Adam's first step it shows a missing factor of width exactly.

#: power iterations; an update of few directions is known to 1e-6 after them, pure noise to about 2% (below)
ITERATIONS = 12


def spectral_norm(matrix: Array, iterations: int = ITERATIONS) -> float:
    """The largest singular value by power iteration, from a fixed start.

    It is a lower bound: exact for a matrix of rank one, about 2% low after 12 iterations for a Gaussian matrix, whose
    largest singular values lie close together, at every size alike.

    Args:
        matrix: (rows, columns); the axes do not matter.
        iterations: at least 1; each costs two products with the matrix.

    Returns:
        The norm; 0 for zeros, nan where an entry is not finite.
    """
    if not np.isfinite(matrix).all():
        return math.nan
    vector = np.asarray(np.random.Generator(np.random.Philox(key=0)).standard_normal(matrix.shape[1]), matrix.dtype)
    norm = 0.0
    for _ in range(iterations):
        vector = vector / np.linalg.norm(vector)
        image = matrix @ vector
        norm = float(np.linalg.norm(image))
        if norm == 0.0:
            return 0.0
        vector = matrix.T @ (image / norm)
    return norm


def operator_size(matrix: Array, fan_in: int, fan_out: int, iterations: int = ITERATIONS) -> float:
    """By how much the matrix can change outputs for inputs of RMS one: spectral norm / sqrt(fan_out / fan_in).

    Args:
        matrix: a weight or its update, (fan_out, fan_in) or transposed.
        fan_in: number of inputs that are summed into one output, at least 1.
        fan_out: number of outputs of the matrix, at least 1.
        iterations: iterations of the power method, at least 1.
    """
    return spectral_norm(matrix, iterations) * math.sqrt(fan_in / fan_out)
