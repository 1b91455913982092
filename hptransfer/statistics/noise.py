"""How noisy one run is, before any curve is fitted: from seeds, pooled over sizes as far as sizes agree."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hptransfer.statistics.arrays import Array
from hptransfer.statistics.scatter import bend_at_lowest, departures
from hptransfer.statistics.seed_means import SeedMeans
from hptransfer.statistics.tilt import SeedNoise, seed_noise
from hptransfer.statistics.units import typical_height
from hptransfer.statistics.variances import PRIOR_DF, noise_level, relative_variances

#: losses are written with about this accuracy, as a share of what they usually differ by
_ROUNDING = 1e-6
#: what sums of losses are known to at best, as a share of the loss
_BITS = 1e-15
#: noise below this share of what an octave off costs is lost beside the curves' own roughness
_FINEST = 1e-4
#: noise that was given may be finer than what is written by this factor
_GIVEN = 1e-3
#: sizes of this many values have no scatter about a parabola
_FEWEST = 3
#: what one seed's scatter may be taken for at most, in bends per squared octave: more than runs differed by on any of
#: the ladders of the recipes that ship (0.07 to 0.9)
_MOST = 2.0
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


def pooled_noise(
    tables: Sequence[SeedMeans], given: float | Array | None = None, *, seeds: SeedNoise | None = None
) -> Noise:
    """Pool the sizes' residual variances; sizes keep their own level as far as the residuals tell them apart.

    Before any data one run's noise goes with what an octave off the optimum costs (`variances.noise_level`).

    Args:
        tables: seed means of each size, K of them, all on one scale.
        given: standard deviation of one run on this scale where it is known from elsewhere; one, or one per size.
        seeds: how alike noise is at neighbouring values, which hides part of it; None: as these tables say.
    """
    seeds = seeds or seed_noise([table.runs for table in tables])
    same = np.ones(len(tables))
    bends = [bend_at_lowest(table.x, table.mean) for table in tables if len(table.x) >= _FEWEST]
    bend = float(np.median(bends)) if bends else 0.0
    # losses that are all alike leave their rounding as the least noise, and numbers are no finer than their last bit
    least = _ROUNDING * typical_height([table.mean - table.mean.min() for table in tables], 1.0)
    least = max(least, *(_BITS * abs(table.scale.floor) * table.scale.factor for table in tables))
    if given is not None:
        variance = np.broadcast_to(np.maximum(np.asarray(given, dtype=float), _GIVEN * least) ** 2, same.shape)
        middle = float(np.exp(np.log(variance).mean()))
        return Noise(variance / middle, middle * _GIVEN_DF, _GIVEN_DF)
    least = max(least, _FINEST * bend)
    bend = max(bend, least)
    squares, freedom = np.array(seeds.seen).T
    df = np.array([table.residual_df for table in tables]) * freedom
    ss = np.array([table.residual_ss for table in tables]) / squares * freedom
    if not df.sum():
        scatter = _scatter(tables, seeds)
        extra = min(_SCATTER_DF, len(scatter) / 3)
        if not extra:
            alike, extra = _unlikeness(tables)
            return _noise_of(same, alike * extra, extra, bend, least)
        seen = min(float(np.quantile(scatter, 0.3)), (_MOST * bend) ** 2)
        return _noise_of(same, seen * extra, extra, bend, least)
    pooled = max(float(noise_level(np.array(ss.sum()), float(df.sum()), np.array(bend))), least**2)
    relative = relative_variances(ss, df, pooled)
    return _noise_of(relative, float((ss / relative).sum()), float(df.sum()), bend, least)


def _noise_of(relative: Array, ss: float, df: float, bend: float, least: float) -> Noise:
    """What is known with the prior."""
    variance = max(float(noise_level(np.array(ss), df, np.array(bend))), least**2)
    return Noise(relative, variance * (df + PRIOR_DF), df + PRIOR_DF)


def _unlikeness(tables: Sequence[SeedMeans]) -> tuple[float, float]:
    """How much sizes of three values differ beyond their levels: a variance and its degrees of freedom, 0 for none.

    It holds what their curves differ by as well; with one seed and three values there is nothing else to see noise by.
    """
    grids: dict[tuple[float, ...], list[Array]] = {}
    for table in tables:
        if len(table.x) == _FEWEST:
            grids.setdefault(tuple(table.x), []).append(table.mean - table.mean.mean())
    apart = [np.stack(means) - np.mean(means, axis=0) for means in grids.values() if len(means) > 1]
    df = sum((len(rows) - 1) * (rows.shape[1] - 1) for rows in apart)
    return (float(sum((rows**2).sum() for rows in apart)) / df if df else 0.0), min(_SCATTER_DF, df / 3)


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

    Cliffs can spoil half of the differences, hence the low quantile.
    """
    found = [departures(table.x, table.mean, noise) for table, noise in zip(tables, seeds.noise, strict=True)]
    # the 30% quantile of a chi-square with one degree of freedom is 0.148
    return np.concatenate(found) / 0.148
