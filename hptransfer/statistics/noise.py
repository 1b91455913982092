"""How noisy one run is, before any curve is fitted: from seeds, pooled over sizes as far as sizes agree."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hptransfer.statistics.seed_means import SeedMeans

Array = npt.NDArray[np.float64]

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


def pooled_noise(tables: Sequence[SeedMeans], given: float | None = None) -> Noise:
    """Pool the sizes' residual variances; sizes keep their own level as far as the residuals tell them apart.

    Args:
        tables: seed means of each size, K of them.
        given: standard deviation of one run in nats where it is known from elsewhere.
    """
    same = np.ones(len(tables))
    if given is not None:
        return Noise(same, given**2 * _GIVEN_DF, _GIVEN_DF)
    prior = (_PRIOR * min(abs(float(table.mean.min())) for table in tables)) ** 2
    # a loss that fell to nothing leaves the rounding of its neighbours as the least noise
    prior = max(prior, *(1e-16 * float(np.abs(table.mean).max()) ** 2 for table in tables), 1e-300)
    ss = np.array([table.residual_ss for table in tables])
    df = np.array([float(table.residual_df) for table in tables])
    if not df.sum():
        scatter = _scatter(tables)
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


def _scatter(tables: Sequence[SeedMeans]) -> Array:
    """Squared departures of four neighbouring means from a parabola, scaled so that their 30% quantile is the variance.

    The third divided difference of four values is free of their parabola; with one seed it is all there is to see noise
    by. Cliffs can spoil half of the differences, hence the low quantile.
    """
    found = []
    for table in tables:
        for first in range(len(table.x) - 3):
            x, y = table.x[first : first + 4], table.mean[first : first + 4]
            weight = 1 / np.prod(x[:, None] - x + np.eye(4), axis=1)
            found.append(float((weight @ y) ** 2 / (weight @ (weight / table.count[first : first + 4]))))
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
