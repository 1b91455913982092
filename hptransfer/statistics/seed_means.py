"""From rows (value, seed, loss) to seed means with their noise: the table an optimum is estimated from."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from hptransfer.errors import UsageError
from hptransfer.statistics.accidents import Means, single_accidents
from hptransfer.statistics.arrays import Array
from hptransfer.statistics.blow_ups import first_blow_ups
from hptransfer.statistics.tilt import SeedRuns
from hptransfer.statistics.two_way import crossed, two_way
from hptransfer.statistics.units import LossScale, SizeMeans, common_scales, typical_height

#: an estimate never uses more than this many values; denser sweeps are averaged in cells
_MOST_VALUES = 32
#: losses above the best by more than this many times the rise next to the minimum inform neither optimum nor noise
_TALLEST = 25
#: the higher half of the values is left out of the noise when its variance exceeds the lower half's by this factor
_LOUD = 5.0
_FEWEST_QUIET = 3
#: losses are written with about this accuracy, as a share of what they usually differ by
_ROUNDING = 1e-6
#: a number as large as this is no loss that a run had: it counts as a divergence
_NO_LOSS = 1e150
#: octaves beyond which a value says nothing about the curve at the lowest mean
_FARTHEST = 32.0
#: heights above this many times the rise next to the minimum are cut there where they stay in the fit
_CUT = 1e4


@dataclass(frozen=True, slots=True)
class Point:
    """One finished run on the slice that is judged.

    Attributes:
        x: log2 of the hyperparameter.
        seed: number of the seed; runs that share it share initial draws and batches, so its effect can be removed.
        loss: final validation loss in nats; ignored when diverged.
        diverged: whether the run blew up; then `loss` is not read.
        flops: floating point operations of the run, 0 where not known; they say what more runs like it would cost.
    """

    x: float
    seed: int
    loss: float
    diverged: bool = False
    flops: float = 0.0


@dataclass(frozen=True, slots=True)
class SeedMeans:
    """Losses averaged over seeds, what the seeds say about noise, and where divergence begins.

    Attributes:
        x: (m,) log2 values, increasing, all with finite losses and left of the wall.
        mean: (m,) loss means with seed offsets removed by a two-way fit.
        count: (m,) runs behind each mean, in runs of the common noise: where one run spiked, fewer than there are.
        residual_ss: sum of squares left after the two-way fit, (nats)^2.
        residual_df: its degrees of freedom; 0 when noise cannot be seen (one seed).
        seed_effect_ss: sum of squares of the seeds' common offsets about their mean, (nats)^2.
        seed_effect_df: its degrees of freedom.
        flank_x: (f,) all x with finite losses, also those too far from the minimum to inform it.
        flank_mean: (f,) mean losses at `flank_x`, nats, without seed offsets.
        wall: smallest x right of the lowest mean that diverged or blew up; None when there is none.
        diverged: all x with a divergence, increasing.
        blown: all x whose losses are finite and no part of a curve, because training blew up there, increasing.
        spiked: all x whose runs scatter far more than those at other values, or whose only run lies far off what the
            values beside it lead to, increasing; the latter are not in `x`.
        strays: those of them whose only run lies off.
        n_points: runs, diverged ones included.
        n_seeds: number of different seeds among the runs.
        runs: which seed ran where, for the values in `x`.
        scale: on which this size is alike to the others it was averaged with.
    """

    x: Array
    mean: Array
    count: Array
    flank_x: Array
    flank_mean: Array
    residual_ss: float
    residual_df: float
    seed_effect_ss: float
    seed_effect_df: int
    wall: float | None
    diverged: tuple[float, ...]
    blown: tuple[float, ...]
    spiked: tuple[float, ...]
    strays: tuple[float, ...]
    n_points: int
    n_seeds: int
    runs: SeedRuns
    scale: LossScale

    def in_units(self, factor: float) -> SeedMeans:
        """The same on the scale that all sizes are fitted on: heights above the floor, in units.

        Args:
            factor: units per nat at the floor, positive.
        """
        mean = self.scale.heights(self.mean) * factor
        return replace(
            self,
            mean=mean,
            residual_ss=self.residual_ss * factor**2,
            seed_effect_ss=self.seed_effect_ss * factor**2,
            runs=replace(self.runs, mean=mean, loss=self.scale.heights(self.runs.loss) * factor),
        )


def average_seeds(points: Sequence[Point]) -> SeedMeans:
    """The seed means of one size alone; see `average_sizes`.

    Args:
        points: rows of one size.

    Raises:
        UsageError: no row, or no finite loss at all.
    """
    return average_sizes([points])[0]


def average_sizes(sizes: Sequence[Sequence[Point]]) -> tuple[SeedMeans, ...]:
    """Average over seeds with common seed offsets removed; the order of rows does not matter.

    Sizes share what a blow-up is and on which scale their losses are alike.

    Args:
        sizes: rows of each size; a row that occurs twice counts once.

    Raises:
        UsageError: a size has no row, or no finite loss at all.
    """
    runs = [_Runs(points) for points in sizes]
    accidents = single_accidents([Means(size.x, size.mean, np.bincount(size.row).astype(float)) for size in runs])
    good = [
        (np.delete(size.x, known), np.delete(size.mean, known)) for size, known in zip(runs, accidents, strict=True)
    ]
    for size, (x, _), known, first in zip(runs, good, accidents, first_blow_ups(good), strict=True):
        end = math.inf if first is None else float(x[first])
        size.leave_out([place for place in known if size.x[place] < end])
        size.end_at(end)
    least = float(np.median([size.rise for size in runs]))
    scales = common_scales([size.informative(least) for size in runs])
    least = float(np.median([size.rise * scale.factor for size, scale in zip(runs, scales, strict=True)]))
    units = [scale.heights(size.usable) * scale.factor for size, scale in zip(runs, scales, strict=True)]
    variances = [size.variance * scale.factor**2 for size, scale in zip(runs, scales, strict=True)]
    usual = _of_others(variances, (_ROUNDING * typical_height(units, 1.0)) ** 2)
    return tuple(
        size.averaged(scale, least / scale.factor, math.sqrt(variance) / scale.factor)
        for size, scale, variance in zip(runs, scales, usual, strict=True)
    )


def _of_others(variances: Sequence[float], least: float) -> list[float]:
    """For each size what one run's variance is at the other sizes, by their median; at least as said."""
    seen = [[v for n, v in enumerate(variances) if n != size and math.isfinite(v)] for size in range(len(variances))]
    return [max(least, float(np.median(others)) if others else 0.0) for others in seen]


class _Runs:
    """The finite runs of one size, sorted; values at which any seed diverged are left out."""

    def __init__(self, points: Sequence[Point]) -> None:
        if not points:
            raise UsageError("at least one finished run must exist to estimate an optimum", received="none")
        self.n_points = len(points)
        x = np.round(np.array([p.x for p in points]), 9)
        seed = np.array([p.seed for p in points])
        loss = np.array([math.inf if p.diverged or not abs(p.loss) < _NO_LOSS else p.loss for p in points])
        order = np.lexsort((loss, seed, x))
        x, seed, loss = x[order], seed[order], loss[order]
        fresh = np.append(True, (np.diff(x) != 0) | (np.diff(seed) != 0) | (loss[1:] != loss[:-1]))
        x, seed, loss = x[fresh], seed[fresh], loss[fresh]
        self.n_seeds = len(np.unique(seed))
        self.bad = np.unique(x[~np.isfinite(loss)])
        keep = ~np.isin(x, self.bad)
        if not keep.any():
            raise UsageError(
                "some value of the hyperparameter must train without diverging",
                received=f"divergence at all {len(self.bad)} values",
                hint="extend the grid to smaller values",
            )
        self.loss, self.seed = loss[keep], seed[keep]
        self.x, self.row = np.unique(x[keep], return_inverse=True)
        self.mean = two_way(self.x, self.loss, self.row, self.seed).mean
        self.accidents = self.blown = np.zeros(0)
        self.wall: float | None = None
        self.variance = math.nan

    def leave_out(self, places: Sequence[int]) -> None:
        """Leave out values whose only run went wrong."""
        if not places:
            return
        self.accidents = self.x[list(places)]
        keep = ~np.isin(self.row, places)
        self.loss, self.seed = self.loss[keep], self.seed[keep]
        self.x, self.row = np.unique(self.x[self.row[keep]], return_inverse=True)
        self.mean = two_way(self.x, self.loss, self.row, self.seed).mean

    def end_at(self, first: float) -> None:
        """Say from where on values are blown up, inf for none; together with divergences that makes the wall."""
        self.blown = self.x[self.x >= first]
        self.wall = _first(*self.bad[self.bad > self.x[self.mean.argmin()]], *self.blown)

    @property
    def usable(self) -> Array:
        """Means below the wall."""
        return self.mean if self.wall is None else self.mean[self.x < self.wall]

    @property
    def rise(self) -> float:
        """How far losses rise within two values of the lowest mean."""
        return _rise(self.usable)

    def informative(self, least: float) -> SizeMeans:
        """What is known before losses have a scale: means and scatter of the values near the minimum."""
        window = _informative(self.x, self.mean, self.wall, _TALLEST * max(self.rise, least))
        inside = window[self.row]
        fit = two_way(self.x[window], self.loss[inside], _renumbered(self.row[inside]), self.seed[inside])
        self.variance = fit.ss / fit.df if fit.df > 0 else math.nan
        return SizeMeans(
            x=self.x[window],
            mean=fit.mean,
            runs=fit.runs,
            squares=fit.squares * fit.trust(0.0),
            df=float(fit.df),
            floor=float(fit.mean.min()),
            # means without seed offsets may lie below all runs
            lowest=min(float(self.loss.min()), float(self.mean.min()), float(fit.mean.min())),
            rise=self.rise,
        )

    def averaged(self, scale: LossScale, least: float, usual: float) -> SeedMeans:
        """The seed means on a scale.

        Args:
            scale: what this size is measured on.
            least: rise next to the minimum that other sizes let expect at least, nats.
            usual: what runs of other sizes differ by, nats.
        """
        heights, loss = scale.heights(self.mean), scale.heights(self.loss)
        deviation = math.sqrt(self.variance) if math.isfinite(self.variance) else 0.0
        rise = max(_rise(heights if self.wall is None else heights[self.x < self.wall]), least, deviation)
        highest = _TALLEST * rise
        window = _informative(self.x, heights, self.wall, highest)
        quiet = window & (heights - heights.min() <= highest)
        noise = _noise(self.x, loss, self.row, self.seed, heights, quiet, usual)
        ss, df = noise.ss, float(noise.df)
        inside = window[self.row]
        x, row, seed = self.x[window], _renumbered(self.row[inside]), self.seed[inside]
        fit = two_way(x, loss[inside], row, seed)
        trust = fit.trust(usual)
        mean, count, spiked, dense = fit.mean, fit.runs * trust, x[trust < 1], len(x) > _MOST_VALUES
        measured = np.isin(x, noise.values)
        if dense:
            x, mean, count, cell, extra_ss, extra_df = _cells(x, mean, count, mean - mean.min() <= highest)
            ss, df = ss + extra_ss, df + extra_df
            row, measured = cell[row], np.zeros(len(x), dtype=bool)
            trust = count / np.bincount(row, minlength=len(x))
        if rise > 0:
            mean = np.minimum(mean, mean.min() + _CUT * rise)
        mean = scale.losses(mean)
        return SeedMeans(
            x=x,
            mean=mean,
            count=count,
            flank_x=self.x,
            flank_mean=self.mean,
            residual_ss=ss,
            residual_df=df,
            seed_effect_ss=float(noise.seed_effect.var() * len(noise.seed_effect)) if len(noise.seed_effect) else 0.0,
            seed_effect_df=max(0, len(noise.seed_effect) - 1),
            wall=self.wall,
            diverged=tuple(float(value) for value in self.bad),
            blown=tuple(float(value) for value in self.blown),
            spiked=tuple(float(value) for value in np.sort(np.append(spiked, self.accidents))),
            strays=tuple(float(value) for value in self.accidents),
            n_points=self.n_points,
            n_seeds=self.n_seeds,
            runs=_seed_runs(x, mean, trust, row, seed, self.loss[inside], measured, dense=dense),
            scale=scale,
        )


def _seed_runs(
    x: Array,
    mean: Array,
    trust: Array,
    row: npt.NDArray[np.intp],
    seed: Array,
    loss: Array,
    quiet: npt.NDArray[np.bool_],
    *,
    dense: bool,
) -> SeedRuns:
    """Which seed ran at which value."""
    ids, number, alone, column = crossed(row, seed, len(x))
    mine = column >= 0
    total = np.zeros_like(number)
    np.add.at(total, (row[mine], column[mine]), loss[mine])
    average = np.divide(total, number, out=np.full_like(number, np.nan), where=number > 0)
    return SeedRuns(x, mean, trust, ids, number, average, alone, quiet, dense)


class _Quiet(NamedTuple):
    """Seed offsets, residual sum of squares with its degrees of freedom, and the values they were measured at."""

    seed_effect: Array
    ss: float
    df: int
    values: Array


def _noise(
    x: Array,
    loss: Array,
    row: npt.NDArray[np.intp],
    seed: Array,
    mean: Array,
    window: npt.NDArray[np.bool_],
    usual: float,
) -> _Quiet:
    """Noise, from the values near the minimum.

    On flanks that are about to blow up runs scatter far more than at the minimum, where noise matters. So the higher
    half of the values counts only where it is about as quiet as the lower half.
    """

    def of(values: npt.NDArray[np.bool_]) -> _Quiet:
        rows = values[row]
        fit = two_way(x[values], loss[rows], _renumbered(row[rows]), seed[rows])
        calm = values.copy()
        calm[np.flatnonzero(values)[fit.trust(usual) < 1]] = False
        # a spike says nothing about the noise of the other values
        return _Quiet(fit.seed_effect, fit.ss, fit.df, x[values]) if calm.sum() in (0, values.sum()) else of(calm)

    everything = of(window)
    lower = window & (mean <= np.median(mean[window]))
    if lower.sum() < _FEWEST_QUIET:
        return everything
    inner = of(lower)
    outer_ss, outer_df = everything.ss - inner.ss, everything.df - inner.df
    loud = inner.df > 0 and outer_df > 0 and outer_ss / outer_df > _LOUD * inner.ss / inner.df
    return inner if loud else everything


def _first(*candidates: float) -> float | None:
    return float(min(candidates)) if candidates else None


def _renumbered(row: npt.NDArray[np.intp]) -> npt.NDArray[np.intp]:
    """Row numbers, increasing, without gaps."""
    return np.cumsum(np.diff(row, prepend=row[:1]) > 0)


def _rise(mean: Array) -> float:
    """How far losses rise within two values of the lowest mean, nats."""
    best = int(mean.argmin())
    return float(np.median((mean - mean[best])[max(0, best - 2) : best + 3]))


def _informative(x: Array, mean: Array, wall: float | None, highest: float) -> npt.NDArray[np.bool_]:
    """Mark the contiguous values around the lowest mean that say something about the optimum."""
    best = int(mean.argmin())
    # a tall flank says nothing, but two neighbours on each side stay: they show that there is one
    use: npt.NDArray[np.bool_] = (mean - mean[best] <= highest) | (np.abs(np.arange(len(x)) - best) <= 2)
    use &= np.abs(x - x[best]) <= _FARTHEST
    if wall is not None:
        use &= x < wall
    outside = np.flatnonzero(~use)
    low = outside[outside < best].max(initial=-1)
    high = outside[outside > best].min(initial=len(x))
    index = np.arange(len(x))
    return np.asarray((index > low) & (index < high))


def _cells(
    x: Array, mean: Array, count: Array, quiet: npt.NDArray[np.bool_]
) -> tuple[Array, Array, Array, npt.NDArray[np.intp], float, int]:
    """Average a dense sweep in equal cells of x; what scatters around a line within a quiet cell is noise."""
    width = (x[-1] - x[0]) / _MOST_VALUES
    cell = np.minimum(((x - x[0]) / width).astype(np.intp), _MOST_VALUES - 1)
    _, cell = np.unique(cell, return_inverse=True)
    total = np.bincount(cell, count)
    mean_x = np.bincount(cell, count * x) / total
    mean_y = np.bincount(cell, count * mean) / total
    dx, dy = x - mean_x[cell], mean - mean_y[cell]
    sxx, sxy, syy = (np.bincount(cell, count * product) for product in (dx * dx, dx * dy, dy * dy))
    members = np.bincount(cell)
    enough = (members >= 3) & (np.bincount(cell, quiet) == members)
    inner = syy - np.divide(sxy**2, sxx, out=np.zeros_like(sxy), where=sxx > 0)
    return (
        mean_x,
        mean_y,
        np.asarray(total, dtype=float),
        cell,
        float(np.maximum(inner, 0)[enough].sum()),
        int((members - 2)[enough].sum()),
    )
