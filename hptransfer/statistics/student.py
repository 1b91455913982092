"""Quantiles of Student's t at any level, for intervals that hold together over many comparisons."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

#: points of the integral; its error is far below what an interval shows
_POINTS = 4001


@lru_cache(maxsize=256)
def student_quantile(level: float, df: float) -> float:
    """The value below which Student's t lies with a probability.

    With t = sqrt(df) tan(angle) its density is that of cos(angle)^(df - 1), which is integrated and searched.

    Args:
        level: the probability, above 0.5 and below 1.
        df: degrees of freedom, at least 1; they need not be whole.
    """
    angle = np.linspace(0.0, math.pi / 2, _POINTS)
    density = np.cos(angle) ** (df - 1)
    steps = (density[1:] + density[:-1]) / 2
    share = np.concatenate([[0.0], np.cumsum(steps)]) / steps.sum()
    at = float(np.interp(2 * level - 1, share, angle))
    return math.sqrt(df) * math.tan(at)
