"""From rows (value, seed, loss) to seed means with their noise: the table an optimum is estimated from."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from hptransfer.errors import UsageError
from hptransfer.statistics.arrays import Array
from hptransfer.statistics.tilt import SeedNoise, SeedRuns, fit_tilts, seed_noise

#: seeds beyond this number are not treated as common to all values; the two-way fit would cost more than it gives
_MANY_SEEDS = 200
#: an estimate never uses more than this many values; denser sweeps are averaged in cells
_MOST_VALUES = 32
#: losses above the best by more than this many times the rise next to the minimum inform neither optimum nor noise
_TALLEST = 25
#: the higher half of the values is left out of the noise when its variance exceeds the lower half's by this factor
_LOUD = 5.0
_FEWEST_QUIET = 3
#: a value whose own runs scatter by more than this factor in variance beyond all others' counts for as much less
_SPIKED = 16.0
#: losses are written with about this relative accuracy
_ROUNDING = 1e-6


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
        residual_ss: sum of squares left after the two-way fit and the seeds' tilts, (nats)^2.
        residual_df: its degrees of freedom; 0 when noise cannot be seen (one seed).
        seed_effect_ss: sum of squares of the seeds' common offsets about their mean, (nats)^2.
        seed_effect_df: its degrees of freedom.
        flank_x: (f,) all x with finite losses, also those too far from the minimum to inform it.
        flank_mean: (f,) mean losses at `flank_x`, nats, without seed offsets.
        wall: smallest x right of the lowest mean that diverged, or lost half of the best loss again in a jump; None
            when there is none.
        cliff: smallest x right of the lowest mean that diverged or lost half of the best loss again; None without one.
        diverged: all x with a divergence, increasing.
        spiked: all x whose runs scatter far more than those at other values, increasing.
        n_points: runs, diverged ones included.
        n_seeds: number of different seeds among the runs.
        runs: which seed ran where, for the values in `x`.
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
    cliff: float | None
    diverged: tuple[float, ...]
    spiked: tuple[float, ...]
    n_points: int
    n_seeds: int
    runs: SeedRuns


def average_seeds(points: Sequence[Point]) -> SeedMeans:
    """Average over seeds with common seed offsets removed; the order of `points` does not matter.

    Args:
        points: rows of one size; a (value, seed) pair that occurs twice counts once, with its mean.

    Raises:
        UsageError: no row, or no finite loss at all.
    """
    if not points:
        raise UsageError("at least one finished run must exist to estimate an optimum", received="none")
    ordered = sorted({(round(p.x, 9), p.seed, math.inf if p.diverged else p.loss) for p in points})
    x_all = np.array([row[0] for row in ordered])
    seed_all = np.array([row[1] for row in ordered])
    loss_all = np.array([row[2] for row in ordered])
    finite = np.isfinite(loss_all)
    bad = np.unique(x_all[~finite])
    keep = ~np.isin(x_all, bad)
    if not keep.any():
        raise UsageError(
            "some value of the hyperparameter must train without diverging",
            received=f"divergence at all {len(bad)} values",
            hint="extend the grid to smaller values",
        )
    x, row = np.unique(x_all[keep], return_inverse=True)
    mean = _two_way(x, loss_all[keep], row, seed_all[keep]).mean
    flank_x, flank_mean = x, mean
    right = bad[bad > x[mean.argmin()]]
    lost = (mean > mean.min() + 0.5 * abs(mean.min())) & (x > x[mean.argmin()])
    cliff = _first(*right, *x[lost])
    highest = _TALLEST * _scale(mean)
    wall = _first(*right)
    window = _informative(x, mean, wall, highest)
    # no smooth curve leads from losses of the common height to a jump; but a curve takes three values
    jump = _first(*right, *x[lost & (mean - mean.min() > highest)])
    if jump != wall and (window & (x < jump)).sum() >= _FEWEST_QUIET:
        wall, window = jump, window & (x < jump)
    noise = _noise(x, loss_all[keep], row, seed_all[keep], mean, window & (mean - mean.min() <= highest))
    seed_effect, ss, df = noise.seed_effect, noise.ss, float(noise.df)
    inside = window[row]
    x = x[window]
    row, seed, loss = _renumbered(row[inside]), seed_all[keep][inside], loss_all[keep][inside]
    fit = _two_way(x, loss, row, seed)
    mean, count = fit.mean, fit.runs * fit.trust()
    spiked, trust, dense = x[count < fit.runs], fit.trust(), len(x) > _MOST_VALUES
    quiet = np.isin(x, noise.values)
    if dense:
        x, mean, count, cell, extra_ss, extra_df = _cells(x, mean, count, mean - mean.min() <= highest)
        ss, df = ss + extra_ss, df + extra_df
        row, quiet = cell[row], np.zeros(len(x), dtype=bool)
        trust = count / np.bincount(row, minlength=len(x))
    return SeedMeans(
        x=x,
        mean=mean,
        count=count,
        flank_x=flank_x,
        flank_mean=flank_mean,
        residual_ss=ss,
        residual_df=df,
        seed_effect_ss=float(((seed_effect - seed_effect.mean()) ** 2).sum()) if len(seed_effect) else 0.0,
        seed_effect_df=max(0, len(seed_effect) - 1),
        wall=wall,
        cliff=cliff,
        diverged=tuple(float(value) for value in bad),
        spiked=tuple(float(value) for value in spiked),
        n_points=len(points),
        n_seeds=len(np.unique(seed_all)),
        runs=_seed_runs(x, mean, trust, row, seed, loss, quiet, dense=dense),
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
    ids, number, alone, column = _crossed(row, seed, len(x))
    mine = column >= 0
    total = np.zeros_like(number)
    np.add.at(total, (row[mine], column[mine]), loss[mine])
    average = np.divide(total, number, out=np.full_like(number, np.nan), where=number > 0)
    return SeedRuns(x, mean, trust, ids, number, average, alone, quiet, dense)


def _crossed(
    row: npt.NDArray[np.intp], seed: Array, m: int
) -> tuple[npt.NDArray[np.int64], Array, Array, npt.NDArray[np.intp]]:
    """Seeds that ran at two values or more, their (m, S) runs, the (m,) runs of others, and each run's column or -1."""
    names, index = np.unique(seed, return_inverse=True)
    values_of = np.bincount(np.unique(np.stack([index, row]), axis=1)[0], minlength=len(names))
    crossed = np.flatnonzero(values_of >= 2)
    if len(crossed) > _MANY_SEEDS:
        crossed = crossed[:0]
    place = np.full(len(names), -1, dtype=np.intp)
    place[crossed] = np.arange(len(crossed))
    column = place[index]
    number = np.zeros((m, len(crossed)))
    np.add.at(number, (row[column >= 0], column[column >= 0]), 1.0)
    return names[crossed].astype(np.int64), number, np.bincount(row[column < 0], minlength=m).astype(float), column


class _TwoWay(NamedTuple):
    """Value effects (m,), runs behind each, offsets of seeds seen at several values, residual squares (m,), df."""

    mean: Array
    runs: Array
    seed_effect: Array
    squares: Array
    df: int

    @property
    def ss(self) -> float:
        """Residual sum of squares, nats squared."""
        return float(self.squares.sum())

    def trust(self) -> Array:
        """(m,) 1, or for a value that scatters far more than the others, the variance of these over its own."""
        freedom = np.maximum(self.runs - 1, 0) * self.df / max(1.0, float(np.maximum(self.runs - 1, 0).sum()))
        others, beyond = self.df - freedom, self.squares.sum() - self.squares
        seen = (freedom > 0) & (others > 0)
        own = np.divide(self.squares, freedom, out=np.zeros_like(freedom), where=seen)
        common = np.divide(beyond, others, out=np.ones_like(freedom), where=seen) + (_ROUNDING * self.mean) ** 2
        return np.where(own > _SPIKED * common, common / np.maximum(own, common), 1.0)


def _two_way(x: Array, loss: Array, row: npt.NDArray[np.intp], seed: Array) -> _TwoWay:
    """Least squares of loss = value effect + seed offset, and of the seeds' tilts in what is left.

    Seeds seen at one value only carry no offset.
    """
    order = np.lexsort((loss, seed, row))
    loss, row, seed = loss[order], row[order], seed[order]
    m = len(x)
    _, number, alone, column = _crossed(row, seed, m)
    count = np.bincount(row, minlength=m).astype(float)
    offset = np.zeros(number.shape[1] + 1)  # the last one is for seeds without
    rank = 0
    if number.shape[1] > 1:
        normal = np.diag(number.sum(0)) - number.T @ (number / count[:, None])
        raw = np.bincount(row, loss, m) / count
        right = np.bincount(column[column >= 0], (loss - raw[row])[column >= 0], number.shape[1])
        offset[:-1] = np.linalg.pinv(normal, rcond=1e-9, hermitian=True) @ right
        rank = int(np.linalg.matrix_rank(normal, tol=1e-9 * max(1.0, float(normal.max())), hermitian=True))
    adjusted = loss - offset[column]
    mean = np.bincount(row, adjusted, m) / count
    residual = adjusted - mean[row]
    if rank:
        left = np.zeros_like(number)
        mine = column >= 0
        np.add.at(left, (row[mine], column[mine]), residual[mine])
        tilts = fit_tilts(x, number, alone, left)
        residual[mine] -= tilts.explained[row[mine], column[mine]]
        rank += tilts.rank
    squares = np.asarray(np.bincount(row, residual**2, m), dtype=float)
    return _TwoWay(mean, count, offset[:-1], squares, len(loss) - m - rank)


class _Quiet(NamedTuple):
    """Seed offsets, residual sum of squares with its degrees of freedom, and the values they were measured at."""

    seed_effect: Array
    ss: float
    df: int
    values: Array


def _noise(
    x: Array, loss: Array, row: npt.NDArray[np.intp], seed: Array, mean: Array, window: npt.NDArray[np.bool_]
) -> _Quiet:
    """Noise, from the values near the minimum.

    On flanks that are about to blow up runs scatter far more than at the minimum, where noise matters. So the higher
    half of the values counts only where it is about as quiet as the lower half.
    """

    def of(values: npt.NDArray[np.bool_]) -> _Quiet:
        rows = values[row]
        fit = _two_way(x[values], loss[rows], _renumbered(row[rows]), seed[rows])
        calm = values.copy()
        calm[np.flatnonzero(values)[fit.trust() < 1]] = False
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
    """Row numbers without gaps."""
    return np.unique(row, return_inverse=True)[1]


def _scale(mean: Array) -> float:
    """How far losses rise within two values of the lowest mean, nats; at least 0.1% of the loss, which is noise."""
    best = int(mean.argmin())
    rise = float(np.median((mean - mean[best])[max(0, best - 2) : best + 3]))
    return max(rise, 0.001 * abs(float(mean[best])))


def _informative(x: Array, mean: Array, wall: float | None, highest: float) -> npt.NDArray[np.bool_]:
    """Mark the contiguous values around the lowest mean that say something about the optimum."""
    best = int(mean.argmin())
    # a steep flank says nothing, but two neighbours on each side stay: they show that there is one
    use: npt.NDArray[np.bool_] = (mean - mean[best] <= highest) | (np.abs(np.arange(len(x)) - best) <= 2)
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


# How noisy one run is, before any curve is fitted: from seeds, pooled over sizes as far as sizes agree.

#: seed noise before any data: 0.2% of the loss, worth this many degrees of freedom
_PRIOR = 0.002
_PRIOR_DF = 2.0
#: degrees of freedom that the sizes' common variance is worth at each size: hardly, somewhat, or the same noise for all
_AGREEMENT = (2.0, 8.0, math.inf)
#: what one seed's scatter may be taken for at most: 1% of the loss, more than runs differ by in practice
_MOST = 0.01
#: scatter about parabolas is worth at most this many degrees of freedom, because curves are no parabolas
_SCATTER_DF = 4.0
#: noise that was given counts as known
_GIVEN_DF = 1e4


@dataclass(frozen=True, slots=True)
class Noise:
    """What is known about one run's noise before curves are fitted.

    Attributes:
        relative: (K,) variance of each size relative to the common one.
        ss: sum of squares behind the common variance, nats^2.
        df: its degrees of freedom.
    """

    relative: Array
    ss: float
    df: float


def pooled_noise(tables: Sequence[SeedMeans], given: float | None = None, *, seeds: SeedNoise | None = None) -> Noise:
    """Pool the sizes' residual variances; sizes keep their own level as far as the residuals tell them apart.

    Args:
        tables: seed means of each size, K of them.
        given: standard deviation of one run in nats where it is known from elsewhere.
        seeds: how alike noise is at neighbouring values, which hides part of it; None: as these tables say.
    """
    seeds = seeds or seed_noise([table.runs for table in tables])
    same = np.ones(len(tables))
    if given is not None:
        return Noise(same, given**2 * _GIVEN_DF, _GIVEN_DF)
    prior = (_PRIOR * min(abs(float(table.mean.min())) for table in tables)) ** 2
    # a loss that fell to nothing leaves the rounding of its neighbours as the least noise
    prior = max(prior, *(1e-16 * float(np.abs(table.mean).max()) ** 2 for table in tables), 1e-300)
    squares, freedom = np.array(seeds.seen).T
    df = np.array([table.residual_df for table in tables]) * freedom
    ss = np.array([table.residual_ss for table in tables]) / squares * freedom
    if not df.sum():
        scatter = _scatter(tables, seeds)
        extra = min(_SCATTER_DF, len(scatter) / 3)
        most = (_MOST * min(abs(float(table.mean.min())) for table in tables)) ** 2
        seen = min(float(np.quantile(scatter, 0.3)), most) if extra else 0.0
        return Noise(same, prior * _PRIOR_DF + seen * extra, _PRIOR_DF + extra)
    pooled = float((ss.sum() + prior * _PRIOR_DF) / (df.sum() + _PRIOR_DF))
    relative = _relative(ss, df, pooled)
    return Noise(relative, float((ss / relative).sum()) + prior * _PRIOR_DF, float(df.sum()) + _PRIOR_DF)


def seed_effect_std(tables: Sequence[SeedMeans], noise: Noise) -> Array:
    """(K,) standard errors of the sizes' mean losses due to what a seed does at all values alike, nats.

    It does not touch an optimum, but sizes are compared across it. With one seed it is taken to be like the noise.

    Args:
        tables: seed means of each size, K of them.
        noise: what is known about one run's noise at each of these sizes.
    """
    seeds = np.array([float(table.seed_effect_df + 1) for table in tables])
    variance = noise.ss / noise.df
    df = float((seeds - 1).sum())
    pooled = (sum(table.seed_effect_ss for table in tables) + variance) / (df + 1)
    return np.asarray(np.sqrt(pooled / seeds))


def _scatter(tables: Sequence[SeedMeans], seeds: SeedNoise) -> Array:
    """Squared departures of four neighbouring means from a parabola, scaled so that their 30% quantile is the variance.

    The third divided difference of four values is free of their parabola; with one seed it is all there is to see noise
    by. Cliffs can spoil half of the differences, hence the low quantile.
    """
    found = []
    for table, noise in zip(tables, seeds.noise, strict=True):
        for first in range(len(table.x) - 3):
            four = slice(first, first + 4)
            x, y = table.x[four], table.mean[four]
            weight = 1 / np.prod(x[:, None] - x + np.eye(4), axis=1)
            found.append(float((weight @ y) ** 2 / (weight @ noise[four, four] @ weight)))
    # the 30% quantile of a chi-square with one degree of freedom is 0.148
    return np.array(found) / 0.148


def _relative(ss: Array, df: Array, pooled: float) -> Array:
    """(K,) variances relative to the pooled one, shrunk towards it by empirical Bayes (Smyth 2004, F likelihood)."""
    seen = df > 0
    variance = np.maximum(ss[seen] / df[seen], 1e-12 * pooled)
    scores = [_log_likelihood(variance / pooled, df[seen], agreement) for agreement in _AGREEMENT]
    agreement = _AGREEMENT[int(np.argmax(scores))]
    if math.isinf(agreement):
        return np.ones(len(ss))
    return np.asarray((ss + agreement * pooled) / (df + agreement) / pooled)


def _log_likelihood(ratio: Array, df: Array, agreement: float) -> float:
    """Log density of variance ratios that are F(df, agreement) distributed."""
    total = 0.0
    for r, d in zip(ratio, df, strict=True):
        total += d / 2 * math.log(d / 2) - math.lgamma(d / 2) + (d / 2 - 1) * math.log(r)
        if math.isinf(agreement):
            total -= d / 2 * r
        else:
            total += math.lgamma((d + agreement) / 2) - math.lgamma(agreement / 2)
            total -= d / 2 * math.log(agreement / 2) + (d + agreement) / 2 * math.log1p(d * r / agreement)
    return total
