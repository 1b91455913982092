"""Variances of sizes that are alike as far as the runs cannot tell them apart (Smyth 2004, empirical Bayes)."""

from __future__ import annotations

import math

import numpy as np

from hptransfer.statistics.arrays import Array

#: degrees of freedom that the sizes' common variance is worth at each size: hardly, somewhat, or the same noise for all
_AGREEMENT = (2.0, 8.0, math.inf)


#: one run's noise before any data, in units of what an octave off the optimum costs: the median on the ladders of the
#: recipes that ship, and the spread of the prior in natural logarithms (there it is 0.07 to 0.9 times that, where as a
#: share of the loss it is anything from 0.2% to 9%)
_PRIOR_NOISE, _PRIOR_SPREAD = 0.3, 1.2
#: what the prior is worth where the level is used, in degrees of freedom
PRIOR_DF = 1.0
#: the level is averaged over these many natural logarithms to both sides of what prior and data say
_REACH, _LEVELS = 12.0, 97


def noise_level(ss: Array, df: float, bend: Array) -> Array:
    """Variance of one run: the mean of its logarithm, given a sum of squares and how much the curve bends.

    Args:
        ss: sums of squares, at least 0; in any shape.
        df: their degrees of freedom, at least 0.
        bend: bends per squared octave, positive, on the same scale; in the same shape.
    """
    usual = np.log(_PRIOR_NOISE * bend)[..., None]
    log_sd = usual + np.linspace(-_REACH, _REACH / 2, _LEVELS)
    score = -0.5 * ((log_sd - usual) / _PRIOR_SPREAD) ** 2 - df * log_sd
    score = score - 0.5 * ss[..., None] * np.exp(-2 * log_sd)
    weight = np.exp(score - score.max(axis=-1, keepdims=True))
    return np.asarray(np.exp(2 * (weight * log_sd).sum(axis=-1) / weight.sum(axis=-1)))


def log_prior_of_level(variance: Array, bend: Array) -> Array:
    """Log density of a level before any data, up to a constant.

    Args:
        variance: of one run, in any shape.
        bend: bends per squared octave, positive, on the same scale; in the same shape.
    """
    return np.asarray(-0.5 * ((0.5 * np.log(variance) - np.log(_PRIOR_NOISE * bend)) / _PRIOR_SPREAD) ** 2)


def relative_variances(ss: Array, df: Array, pooled: float) -> Array:
    """(K,) variances relative to the pooled one, shrunk towards it: their logarithms averaged over how alike sizes are.

    Args:
        ss: (K,) sums of squares of the sizes.
        df: (K,) their degrees of freedom; 0 where a size shows no noise.
        pooled: the common variance, positive.
    """
    score = _scores(ss, df, pooled)
    weight = np.exp(score - score.max())
    log_ratio = np.zeros(len(ss))
    for share, agreement in zip(weight / weight.sum(), _AGREEMENT, strict=True):
        if not math.isinf(agreement):
            log_ratio += share * np.log((ss + agreement * pooled) / (df + agreement) / pooled)
    return np.asarray(np.exp(log_ratio))


def log_evidence(ss: Array, df: Array, pooled: float) -> float:
    """Log density of residuals with these sums of squares, their directions aside, where sizes may differ in noise.

    Args:
        ss: (K,) sums of squares of the sizes.
        df: (K,) their degrees of freedom; sizes without any have no say.
        pooled: the common variance, positive.
    """
    seen = df > 0
    score = float(np.logaddexp.reduce(_scores(ss, df, pooled))) - math.log(len(_AGREEMENT))
    ratio = _ratio(ss[seen], df[seen], pooled)
    return score - float(((df[seen] / 2 - 1) * np.log(ratio)).sum()) - float(df.sum()) / 2 * math.log(pooled)


def _scores(ss: Array, df: Array, pooled: float) -> Array:
    """(agreements,) log densities of the sizes' sums of squares under each agreement; all are as probable before."""
    seen = df > 0
    ratio = _ratio(ss[seen], df[seen], pooled)
    return np.array([_log_likelihood(ratio, df[seen], agreement) for agreement in _AGREEMENT])


def _ratio(ss: Array, df: Array, pooled: float) -> Array:
    return np.maximum(ss / df, 1e-12 * pooled) / pooled


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
