"""Where the best value of a hyperparameter lies at one size, with an interval that covers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from hptransfer.statistics.curve import CurveDraws, sample_curves
from hptransfer.statistics.interval import Interval
from hptransfer.statistics.seed_means import Point, SeedMeans, average_seeds, average_sizes

#: an end of an interval is open when this share of the curves has its minimum at that end of the sampled region
_TAIL = 0.025


@dataclass(frozen=True, slots=True)
class Optimum:
    """The best value of one hyperparameter at one size; x is log2 of the hyperparameter throughout.

    Attributes:
        log2_value: estimate of the optimum (median of the curves compatible with the runs).
        low: lower end of the 95% interval; -inf where the sampled region gives none.
        high: upper end; inf where the sampled region gives none. A divergence bounds it.
        standard_error: spread of the optimum in octaves; inf when it is open on a side.
        edge: the lowest mean lies at this end of the finite, sampled region, so the interval is a one-sided bound.
        loss: loss at the optimum, nats; its interval includes the effect of the seeds.
        best_point: (x, mean loss) of the lowest seed mean.
        noise: standard deviation of one run about its expected loss, nats, seed offsets removed.
        noise_from: "seeds" (paired differences), "scatter" (one seed: scatter about smooth curves, weak) or "given".
        curvature: half the second derivative at the optimum, nats per octave squared; nan without a curve.
        cliff_distance: octaves from the optimum to the smallest value above it that diverged or blew up; inf when none
            did.
        plateau: (low, high) x between which the loss stays within the tolerance of the best, clipped to the region.
        n_points: runs, diverged ones included.
        n_seeds: number of different seeds among the runs.
        seed_error: standard error of `loss` by what seeds do to all values alike, part of its interval; nan without a
            curve.
    """

    log2_value: float
    low: float
    high: float
    standard_error: float
    edge: Literal["low", "high"] | None
    loss: Interval
    best_point: tuple[float, float]
    noise: float
    noise_from: Literal["seeds", "scatter", "given"]
    curvature: float
    cliff_distance: float
    plateau: tuple[float, float]
    n_points: int
    n_seeds: int
    seed_error: float = math.nan

    @property
    def value(self) -> float:
        """The optimum in the hyperparameter's own unit."""
        return math.exp2(self.log2_value)

    @property
    def interval(self) -> Interval:
        """The optimum as an interval, in octaves."""
        return Interval(self.log2_value, self.low, self.high)


def estimate_optimum(points: Sequence[Point], *, noise: float | None = None, tolerance: float | None = None) -> Optimum:
    """Estimate the optimum of one size on its own; several sizes are estimated better by `estimate_optima`.

    Args:
        points: finished runs, in any order; diverged ones bound the optimum from above.
        noise: standard deviation of one run in nats when it is known from elsewhere.
        tolerance: nats by which the loss may exceed the best on the plateau, at least 0; None: one run's noise.

    Raises:
        UsageError: nothing to estimate from.
    """
    table = average_seeds(points)
    (draws,) = sample_curves([table], noise=noise)
    return summarise(table, draws, noise, tolerance=tolerance)


def estimate_optima(sizes: Sequence[Sequence[Point]], *, noise: float | None = None) -> tuple[Optimum, ...]:
    """Estimate the optimum of every size; sizes share what their runs say about noise and smoothness.

    Args:
        sizes: the runs of each size.
        noise: standard deviation of one run in nats when it is known from elsewhere.

    Raises:
        UsageError: a size has no finite loss.
    """
    tables = average_sizes(sizes)
    draws = sample_curves(tables, noise=noise)
    return tuple(summarise(table, drawn, noise) for table, drawn in zip(tables, draws, strict=True))


def summarise(
    table: SeedMeans, draws: CurveDraws | None, noise: float | None = None, *, tolerance: float | None = None
) -> Optimum:
    """Turn draws of a size's curve into its optimum; without a curve (under three values) the optimum is open.

    Args:
        table: seed means of one size.
        draws: curves that are compatible with them; None where there are fewer than three values.
        noise: standard deviation of one run in nats where it is known from elsewhere; None: from the runs.
        tolerance: nats by which the loss may exceed the best on the plateau, at least 0; None: one run's noise.
    """
    best = int(table.mean.argmin())
    if draws is None:
        return _unresolved(table, noise)
    low, middle, high = (float(q) for q in np.quantile(draws.optimum, (0.025, 0.5, 0.975)))
    low, high = min(low, float(np.quantile(draws.abrupt, 0.025))), max(high, float(np.quantile(draws.abrupt, 0.975)))
    low = -math.inf if draws.below.mean() > _TAIL else low
    high = math.inf if draws.above.mean() > _TAIL else high
    edge: Literal["low", "high"] | None = None
    if best == 0:
        edge, low = "low", -math.inf
    elif best == len(table.x) - 1:
        edge, high = "high", math.inf if table.wall is None else table.wall
    return Optimum(
        log2_value=middle,
        low=low,
        high=high,
        standard_error=float(draws.abrupt.std()) if math.isfinite(high - low) else math.inf,
        edge=edge,
        loss=quantiles(draws.loss + draws.seed_effect),
        best_point=(float(table.x[best]), float(table.mean[best])),
        noise=draws.noise,
        noise_from=_noise_source(table, noise),
        curvature=_curvature(draws),
        cliff_distance=math.inf if table.wall is None else table.wall - middle,
        plateau=_plateau(draws, draws.noise if tolerance is None else tolerance),
        n_points=table.n_points,
        n_seeds=table.n_seeds,
        seed_error=float(draws.seed_effect.std()),
    )


def quantiles(values: np.ndarray[tuple[int], np.dtype[np.float64]]) -> Interval:
    """Median and central 95% of draws."""
    low, middle, high = (float(q) for q in np.quantile(values, (0.025, 0.5, 0.975), method="nearest"))
    return Interval(middle, low, high)


def _noise_source(table: SeedMeans, noise: float | None) -> Literal["seeds", "scatter", "given"]:
    if noise is not None:
        return "given"
    return "seeds" if table.residual_df > 0 and table.n_seeds > 1 else "scatter"


def _curvature(draws: CurveDraws) -> float:
    """Half the second derivative of the median curve over the inner octave about its minimum."""
    x, y = draws.grid, draws.median
    centre = float(x[y.argmin()])
    near = np.abs(x - centre) <= max(0.5, 2 * (x[1] - x[0]))
    return float(np.polyfit(x[near] - centre, y[near], 2)[0])


def _plateau(draws: CurveDraws, tolerance: float) -> tuple[float, float]:
    """The contiguous range of the median curve within the tolerance of its best loss."""
    best = int(draws.median.argmin())
    outside = np.flatnonzero(draws.median > draws.median[best] + tolerance)
    left = int(outside[outside < best].max(initial=-1)) + 1
    right = int(outside[outside > best].min(initial=len(draws.grid))) - 1
    return float(draws.grid[left]), float(draws.grid[right])


def _unresolved(table: SeedMeans, noise: float | None) -> Optimum:
    """One or two values: there is a best run, and nothing is known about where the optimum lies."""
    best = int(table.mean.argmin())
    seen = math.sqrt(table.residual_ss / table.residual_df) if table.residual_df else math.nan
    loss = float(table.mean[best])
    return Optimum(
        log2_value=float(table.x[best]),
        low=-math.inf,
        high=math.inf if table.wall is None else table.wall,
        standard_error=math.inf,
        edge="low" if best == 0 else "high",
        loss=Interval(loss, -math.inf, math.inf),
        best_point=(float(table.x[best]), loss),
        noise=seen if noise is None else noise,
        noise_from=_noise_source(table, noise),
        curvature=math.nan,
        cliff_distance=math.inf if table.wall is None else table.wall - float(table.x[best]),
        plateau=(float(table.x[best]), float(table.x[best])),
        n_points=table.n_points,
        n_seeds=table.n_seeds,
    )
