"""How fast the optimum moves: octaves per doubling of the size, from what is known about the optimum at each size."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hptransfer.evidence.curve import CurveDraws
from hptransfer.evidence.interval import Interval

Array = npt.NDArray[np.float64]

#: optima need not lie on a line: scatter about it in octaves, with prior weights (half-normal of scale 0.1)
_SCATTER = (0.0, 0.03, 0.1, 0.2, 0.4)
_SCATTER_WEIGHT = np.exp(-0.5 * (np.array(_SCATTER) / 0.1) ** 2) * np.array([0.03, 0.05, 0.085, 0.15, 0.2])
#: an optimum beyond the sampled region is spread over this many octaves of it before it counts as unbounded
_BEYOND = 2.0
#: largest drift considered, octaves per doubling; an interval that reaches it is open
_STEEPEST = 5.0


@dataclass(frozen=True, slots=True)
class KnownOptimum:
    """The likelihood of one size's optimum position, from draws and from what lies beyond the sampled region.

    Attributes:
        doublings: log2 of the size.
        inside: draws within the sampled region, log2 of the hyperparameter.
        below: (end, share): the optimum lies at or below `end` in this share of the draws.
        above: the same at the upper end.
    """

    doublings: float
    inside: Array
    below: tuple[float, float]
    above: tuple[float, float]

    @classmethod
    def of(cls, size: float, draws: CurveDraws) -> KnownOptimum:
        """Sort a size's draws into those inside the sampled region and those at an open end of it."""
        inside = draws.optimum[~(draws.below | draws.above)]
        return cls(
            doublings=math.log2(size),
            inside=inside,
            below=(draws.low, float(draws.below.mean())),
            above=(draws.high, float(draws.above.mean())),
        )

    def density(self, x: Array, blur: float) -> Array:
        """Likelihood at positions x when the optimum scatters by `blur` octaves about the line."""
        total = np.zeros_like(x)
        if len(self.inside):
            atoms = np.quantile(self.inside, (np.arange(48) + 0.5) / 48)
            share = 1 - self.below[1] - self.above[1]
            width = math.hypot(blur, max(0.35 * float(self.inside.std()), 1e-4))
            z = (x[:, None] - atoms) / width
            total += share * np.exp(-0.5 * z * z).sum(axis=1) / (48 * width * math.sqrt(2 * math.pi))
        edge = math.hypot(blur, 0.05)
        total += self.below[1] / _BEYOND * _ramp((self.below[0] - x) / edge)
        total += self.above[1] / _BEYOND * _ramp((x - self.above[0]) / edge)
        return total


def _ramp(z: Array) -> Array:
    """A smooth step from 0 to 1 (logistic with the spread of a standard normal)."""
    return np.asarray(1 / (1 + np.exp(-np.clip(1.702 * z, -60, 60))))


def drift_per_doubling(known: Sequence[KnownOptimum]) -> Interval:
    """The slope of the optimum against log2 size, with its 95% interval.

    Optimum positions are a line plus scatter; the line's position and the scatter are averaged over. Optima beyond the
    sampled region enter as the one-sided bounds they are, so they can prove a drift but never hide one.

    Args:
        known: at least two sizes.
    """
    middle = float(np.mean([k.doublings for k in known]))
    lever = np.array([k.doublings - middle for k in known])
    ends = np.array([(k.below[0], k.above[0]) for k in known])
    heights = np.linspace(ends[:, 0].min() - 3, ends[:, 1].max() + 3, 97)
    slopes = np.linspace(-_STEEPEST, _STEEPEST, 201)
    coarse = _posterior(known, lever, heights, slopes, floor=float(max(heights[1] - heights[0], 0.1)))
    heights, slopes = _region(heights, coarse.sum(axis=1), 81), _region(slopes, coarse.sum(axis=0), 161)
    fine = _posterior(known, lever, heights, slopes, floor=0.0).sum(axis=0)
    cumulative = np.cumsum(fine) / fine.sum()
    low, estimate, high = (float(np.interp(q, cumulative, slopes)) for q in (0.025, 0.5, 0.975))
    limit = _STEEPEST - 0.2
    return Interval(estimate, -math.inf if low < -limit else low, math.inf if high > limit else high)


def _region(grid: Array, weight: Array, n: int) -> Array:
    """A finer grid over the part of `grid` that carries weight."""
    heavy = np.flatnonzero(weight > 1e-5 * weight.max())
    return np.linspace(grid[max(0, heavy[0] - 1)], grid[min(len(grid) - 1, heavy[-1] + 1)], n)


def _posterior(known: Sequence[KnownOptimum], lever: Array, heights: Array, slopes: Array, floor: float) -> Array:
    """(heights, slopes) posterior on the grid, scatter summed out; `floor` widens it so that a coarse grid sees it."""
    total = np.zeros((len(heights), len(slopes)))
    for scatter, weight in zip(_SCATTER, _SCATTER_WEIGHT, strict=True):
        product = np.full_like(total, weight)
        for size, arm in zip(known, lever, strict=True):
            x = heights[:, None] + arm * slopes
            span = np.linspace(x.min(), x.max(), 400)
            product *= np.interp(x, span, size.density(span, math.hypot(scatter, floor)))
        total += product
    return total
