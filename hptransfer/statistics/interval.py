"""A number with what is known about it."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate with its 95% interval.

    Attributes:
        estimate: the single best value; may be infinite where only a bound is known.
        low: lower end, `-inf` where the evidence gives none.
        high: upper end, `inf` where the evidence gives none.
    """

    estimate: float
    low: float
    high: float

    def __post_init__(self) -> None:
        if not self.low <= self.estimate <= self.high:
            raise ValueError(f"`low <= estimate <= high` must hold, but got {self}")

    @property
    def bounded(self) -> bool:
        """Whether both ends are known."""
        return math.isfinite(self.low) and math.isfinite(self.high)

    def inside(self, bound: float) -> bool:
        """Whether the whole interval lies within +-`bound`."""
        return -bound <= self.low and self.high <= bound

    def outside(self, bound: float) -> bool:
        """Whether the whole interval lies beyond +-`bound`, on one side of it."""
        return self.low > bound or self.high < -bound

    def contains(self, value: float) -> bool:
        """Whether `value` is compatible with the evidence."""
        return self.low <= value <= self.high


#: 97.5% quantiles of Student's t with 1, 2, ... degrees of freedom (Gosset's table, as in any statistics text)
_STUDENT = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228)


def student_975(df: int) -> float:
    """97.5% quantile of Student's t, by table and beyond it to 0.1%.

    Args:
        df: degrees of freedom, at least 1.
    """
    if df <= len(_STUDENT):
        return _STUDENT[df - 1]
    # the first terms of the expansion in 1 / df (Fisher and Cornish 1960)
    z = 1.959964
    return z + (z**3 + z) / (4 * df) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * df**2)
