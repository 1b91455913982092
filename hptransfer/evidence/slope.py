"""A power of size from measurements over sizes and seeds, held against a band."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

#: the slope between the two largest sizes must agree with the whole ladder's within this to be called asymptotic
BEND = 0.1


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
        standard_error: over seeds, with Student's quantile for few seeds already in it.
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
        """Whether the whole 95% interval lies within, or outside, +-tolerance of what theory expects."""
        return self.within(expected - tolerance, expected + tolerance)

    def within(self, low: float, high: float) -> RowVerdict:
        """Whether the whole 95% interval lies within, or outside, a band; low or high is nan where none is known."""
        if math.isnan(self.estimate):
            # what blows up or does not move at all has no power law: neither is what transfer needs
            return RowVerdict.FAILS
        half = 1.96 * self.standard_error
        if low <= self.estimate - half and self.estimate + half <= high:
            return RowVerdict.HOLDS
        outside = self.estimate + half < low or self.estimate - half > high
        return RowVerdict.FAILS if outside else RowVerdict.INCONCLUSIVE


def fit_slope(values: Array, log_size: Array) -> Slope:
    """Least squares per seed.

    Args:
        values: (seeds, sizes), at least two of each.
        log_size: (sizes,) log2, increasing.
    """
    if not (np.isfinite(values).all() and (values > 0).all()):
        return Slope(math.nan, math.nan, math.nan)
    logs = np.log2(values)
    arm = log_size - log_size.mean()
    slopes = logs @ arm / (arm @ arm)
    error = float(slopes.std(ddof=1) / math.sqrt(len(slopes))) * student(len(slopes) - 1) / 1.96
    pair = float(((logs[:, -1] - logs[:, -2]) / (log_size[-1] - log_size[-2])).mean())
    return Slope(float(slopes.mean()), error, pair)


def student(df: float) -> float:
    """97.5% quantile of Student's t; the usual table, and between its entries by 1 / df (at most 2% too much)."""
    return float(np.interp(1 / df, _INVERSE_DF, _QUANTILES))


#: degrees of freedom and quantiles, increasing in 1 / df
_TABLE = (
    (math.inf, 1.960), (120, 1.980), (60, 2.000), (30, 2.042), (20, 2.086), (15, 2.131), (10, 2.228), (9, 2.262),
    (8, 2.306), (7, 2.365), (6, 2.447), (5, 2.571), (4, 2.776), (3, 3.182), (2, 4.303), (1, 12.706),
)  # fmt: skip
_INVERSE_DF = tuple(1 / df for df, _ in _TABLE)
_QUANTILES = tuple(quantile for _, quantile in _TABLE)
