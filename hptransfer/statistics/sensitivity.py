"""What a value that is wrong by an octave costs, and whether larger sizes forgive it less.

The question is that of Wortsman et al. (arXiv 2309.14322), who average the loss over a fixed range of learning rates.
Here the range moves with the optimum, so that a drift is not counted twice.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from hptransfer.statistics.arrays import Array
from hptransfer.statistics.interval import Interval

#: a cost this small, as a share of the largest, is no cost: ratios of smaller ones are noise
_LEAST = 1e-6


def octave_off(grid: Array, curves: Array, where: npt.NDArray[np.intp], *, beyond: float) -> Array:
    """What the worse of half and twice the optimum costs.

    Args:
        grid: (G,) evenly spaced log2 values.
        curves: (G, n) drawn losses, infinite where training diverges.
        where: (n,) index of each draw's minimum.
        beyond: loss beyond the grid's upper end, infinite where training diverges, nan where nothing is known.

    Returns:
        (n,) costs in nats; infinite where twice the optimum diverges, nan where the grid does not reach that far.
    """
    step, column = max(1, round(1 / float(grid[1] - grid[0]))), np.arange(len(where))
    last = len(grid) - 1
    below = np.where(where >= step, curves[np.maximum(where - step, 0), column], np.nan)
    above = np.where(where + step <= last, curves[np.minimum(where + step, last), column], beyond)
    best = curves[where, column]
    worst = np.where(np.isinf(above), above, np.maximum(below, above))
    return np.asarray(np.maximum(worst - best, 0.0))


def octave_cost(draws: Array) -> Interval:
    """The cost with its 95% interval; open above where it was not sampled or training diverges."""
    seen = draws[np.isfinite(draws)]
    if len(seen) < len(draws) / 2:
        return Interval(math.inf, float(np.quantile(seen, 0.025)) if len(seen) else 0.0, math.inf)
    low, middle, high = (
        float(q)
        for q in np.quantile(np.where(np.isfinite(draws), draws, math.inf), (0.025, 0.5, 0.975), method="nearest")
    )
    return Interval(middle, low, high)


def growth_per_doubling(doublings: Sequence[float], costs: Sequence[Array]) -> Interval | None:
    """By which factor, less 1, the cost of an octave grows when the size doubles; None where it was not seen.

    Args:
        doublings: log2 of the sizes.
        costs: (n,) draws per size that belong together.
    """
    usable = [(at, cost) for at, cost in zip(doublings, costs, strict=True) if np.isfinite(cost).mean() > 0.975]
    if len(usable) < 2:
        return None
    at = np.array([row[0] for row in usable])
    seen = np.stack([np.where(np.isfinite(cost), cost, np.nan) for _, cost in usable])
    largest = float(np.nanmax(seen))
    if not largest > 0:
        return None
    logs = np.log2(np.maximum(seen, _LEAST * largest))
    logs = logs[:, np.isfinite(logs).all(axis=0)]
    arm = (at - at.mean()) / float(((at - at.mean()) ** 2).sum())
    low, middle, high = (float(np.exp2(q) - 1) for q in np.quantile(arm @ logs, (0.025, 0.5, 0.975)))
    return Interval(middle, low, high)
