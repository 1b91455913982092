"""What a seed does to all losses of a size: how much one run differs between seeds, and what sizes have in common.

The same seed draws the same batches at every size, so it often lifts or lowers the losses of all sizes alike. What
sizes have in common cancels where they are compared: only what a seed does to one size and not to the others makes the
loss that growing gains uncertain. Both are read off the table of seeds and sizes, two-way analysis of variance. How
large the second is against the noise of one run is a ratio with a prior from measured ladders; seeds that ran at the
same values update it, and so does the scatter of best losses about their law (`exchange`), which one seed shows too.

Noise that is alike at neighbouring values (`tilt`) moves their mean as an offset does. Best losses have it already, so
it is no effect of the seed here.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from hptransfer.statistics import wiener_process
from hptransfer.statistics.arrays import Array
from hptransfer.statistics.interval import Interval
from hptransfer.statistics.seed_means import Point
from hptransfer.statistics.tilt import noise_of_mean

Index = npt.NDArray[np.intp]

#: values with the lowest means that a seed's offset is measured at, at least; with more values half of them
_FEWEST_VALUES = 3
#: own offsets over the noise of one run, both standard deviations: median and factor of one standard deviation of a
#: log-normal prior, what the ladders of the recipes that ship let expect of another one (benchmarks/seed_offsets.py)
_RATIO, _RATIO_FACTOR = 0.65, 3.5
_RATIOS = np.geomspace(0.02, 1000.0, 240)
#: levels that the ratio's posterior is summed up in, equally probable
_LEVELS = 7
#: offsets go in proportion to each size's noise where that leaves less than this share of their squares
_CLEARLY_LESS = 0.5
#: streams of random numbers: the first is that of the seeds' effect on a loss (`curve`)
_EFFECT, _OWN, _TOTAL, _RUN = 70, 71, 72, 73


class Offsets(NamedTuple):
    """Seeds against each other at one size, at values at which all of them ran.

    Attributes:
        of: seed -> mean loss there above that of all these seeds.
        values: number of values behind each.
        noise: variance of these means for runs whose noise has variance 1.
        residual_ss: sum of squares left, offsets and values taken out.
        n_seeds: seeds that ran at this size, those that are not compared included.
    """

    of: dict[int, float]
    values: int
    noise: float
    residual_ss: float
    n_seeds: int

    @property
    def residual_df(self) -> int:
        """Degrees of freedom of what is left."""
        return max(0, self.values - 1) * max(0, len(self.of) - 1)


def offsets_of(points: Sequence[Point], correlation: Array | None = None) -> Offsets:
    """The offsets of one size's seeds near its lowest losses.

    Args:
        points: runs of one size; values at which any run diverged say nothing.
        correlation: probabilities of how alike noise is at neighbouring values (`tilt.SeedNoise`); None: independent.
    """
    names, seed = np.unique([point.seed for point in points], return_inverse=True)
    values, value = np.unique(np.round([point.x for point in points], 9), return_inverse=True)
    losses = np.array([math.inf if point.diverged else point.loss for point in points])
    # one cell for each value and seed that ran; their means, and those of the values over seeds
    cells, cell = np.unique(value * len(names) + seed, return_inverse=True)
    means = np.bincount(cell, losses) / np.bincount(cell)
    value, seed = cells // len(names), cells % len(names)
    level = np.bincount(value, means) / np.bincount(value)
    order = np.argsort(level, kind="stable")[: np.isfinite(level).sum()]
    rank = np.full(len(values), len(values))
    rank[order] = np.arange(len(order))
    place = rank[value]
    # how many of the lowest values each seed ran at before it misses one
    by_seed = np.lexsort((place, seed))
    start = np.searchsorted(seed[by_seed], np.arange(len(names)))
    unbroken = place[by_seed] == np.arange(len(by_seed)) - start[seed[by_seed]]
    reach = np.bincount(seed[by_seed][unbroken], minlength=len(names))
    most = min(max(_FEWEST_VALUES, len(order) // 2), int(np.sort(reach)[-2]) if len(names) > 1 else 0)
    if most < 2:
        return Offsets({}, 0, 0.0, 0.0, len(names))
    common = np.flatnonzero(reach >= most)
    mine = (place < most) & np.isin(seed, common)
    table = np.empty((most, len(common)))
    table[place[mine], np.searchsorted(common, seed[mine])] = means[mine]
    offset = table.mean(axis=0) - table.mean()
    left = table - table.mean(axis=1, keepdims=True) - offset
    of = dict(zip(names[common].tolist(), offset.tolist(), strict=True))
    noise = 1 / most if correlation is None else noise_of_mean(values[order[:most]], correlation)
    return Offsets(of, most, noise, float((left**2).sum()), len(names))


@dataclass(frozen=True, slots=True)
class SizeEffects:
    """What other seeds would change at one size and not at the others, by level of how much they do.

    Attributes:
        spread: (LEVELS, K) its standard deviation at each size, in the unit of the loss, increasing with the level.
        level: (DRAWS,) the level of each draw; all are equally probable before best losses are looked at.
    """

    spread: Array
    level: Index

    def over(self, height: Array) -> SizeEffects:
        """The effects on the logarithm of what stands at a height above a floor, as shares of it.

        Args:
            height: (K,) per size, positive, in the unit of the loss.
        """
        return SizeEffects(self.spread / height, self.level)

    def draws(self, level: Index | None = None) -> Array:
        """(K, DRAWS) losses about zero, under other levels if they are given."""
        spread = self.spread[self.level if level is None else level].T
        return np.asarray(spread * wiener_process.normal(_EFFECT, len(spread)))


def effect_between_sizes(sizes: Sequence[Offsets], noise: Sequence[float]) -> SizeEffects:
    """What other seeds would change at one size and not at the others.

    Args:
        sizes: offsets of each size, K of them, at least one.
        noise: standard deviation of one run at each size, seed offsets removed.
    """
    level = np.array(noise)
    alike, in_proportion = np.ones(len(sizes)), level / math.exp(float(np.log(level).mean()))
    # losses that fall by orders of magnitude take what seeds do to them along
    (ss, df), (scaled_ss, _) = _own(sizes, alike), _own(sizes, in_proportion)
    scale = in_proportion if scaled_ss < _CLEARLY_LESS * ss else alike
    usual, noises = float(np.mean((level / scale) ** 2)), [size.noise for size in sizes if size.values]
    log_weight = -0.5 * (np.log(_RATIOS / _RATIO) / math.log(_RATIO_FACTOR)) ** 2
    if noises and df > 0:
        # what is measured of an offset holds the noise of its runs, which is no effect of the seed
        share = _RATIOS**2 + float(np.mean(noises))
        left = scaled_ss if scale is in_proportion else ss
        log_weight += -0.5 * df * np.log(share) - 0.5 * left / (usual * share)
    weight = np.cumsum(np.exp(log_weight - log_weight.max()))
    # the level's ratio is the root mean square of its share of the posterior
    nodes = np.searchsorted(weight / weight[-1], (np.arange(_LEVELS * 100) + 0.5) / (_LEVELS * 100))
    ratio = np.sqrt((_RATIOS[nodes] ** 2).reshape(_LEVELS, -1).mean(axis=1))
    count = np.array([max(1, size.n_seeds) for size in sizes])
    spread = math.sqrt(usual) * ratio[:, None] * scale / np.sqrt(count)
    return SizeEffects(spread, np.floor(wiener_process.uniform(_OWN) * _LEVELS).astype(np.intp))


def _own(sizes: Sequence[Offsets], scale: Array) -> tuple[float, int]:
    """Sum of squares of what seeds do to single sizes, in units of each size's scale, with its degrees of freedom."""
    compared = [
        {seed: value / each for seed, value in size.of.items()}
        for size, each in zip(sizes, scale.tolist(), strict=True)
        if len(size.of) > 1
    ]
    common = sorted(set.intersection(*map(set, compared))) if compared else []
    if len(compared) > 1 and len(common) > 1:
        table = np.array([[of[seed] for seed in common] for of in compared])
        table = table - table.mean(axis=1, keepdims=True)
        return float(((table - table.mean(axis=0)) ** 2).sum()), (len(compared) - 1) * (len(common) - 1)
    # no seed ran at all sizes: nothing shows what sizes have in common
    return sum(sum(v * v for v in of.values()) for of in compared), sum(len(of) - 1 for of in compared)


class Deviation(NamedTuple):
    """How much one run's loss differs between seeds.

    Attributes:
        draws: (DRAWS,) standard deviations that are compatible with the runs.
        known: whether seeds were compared, or it was given; otherwise only a lower end is known.
    """

    draws: Array
    known: bool

    @property
    def interval(self) -> Interval:
        """With its 95% interval, open above where one seed tells it."""
        low, middle, high = (float(q) for q in np.quantile(self.draws, (0.025, 0.5, 0.975), method="nearest"))
        return Interval(middle, low, high if self.known else math.inf)


def deviation_between_seeds(sizes: Sequence[Offsets], noise: Sequence[float], given: float | None = None) -> Deviation:
    """The standard deviation of one run's loss between seeds, pooled over sizes.

    Args:
        sizes: offsets of each size.
        noise: standard deviation of one run at each size, seed offsets removed; all that is known from one seed.
        given: the standard deviation where it is known from elsewhere.
    """
    if given is not None:
        return Deviation(np.full(wiener_process.DRAWS, given), known=True)
    df = sum(len(size.of) - 1 for size in sizes if len(size.of) > 1)
    if not df:
        usual = float(np.mean(np.square(noise))) if len(noise) else math.nan
        return Deviation(np.sqrt(usual * 2 / wiener_process.chi_square(_TOTAL, 2.0)), known=False)
    between = sum(sum(v * v for v in size.of.values()) for size in sizes)
    residual_df = sum(size.residual_df for size in sizes)
    residual = sum(size.residual_ss for size in sizes)
    # one run's variance is that of an offset, which holds 1 / values of the noise, and the rest of the noise
    rest = 1 - 1 / float(np.mean([size.values for size in sizes if len(size.of) > 1]))
    own = residual / wiener_process.chi_square(_RUN, float(residual_df)) if residual_df else 0.0
    return Deviation(np.sqrt(between / wiener_process.chi_square(_TOTAL, float(df)) + rest * own), known=True)
