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
