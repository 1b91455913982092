"""Where loss curves stop being smooth: at a divergence, or earlier, at a kink beyond which losses rise anyhow."""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hptransfer.evidence import process
from hptransfer.evidence.joint import Noise
from hptransfer.evidence.points import SeedMeans
from hptransfer.evidence.smooth import Stretch, evidence_alone

Array = npt.NDArray[np.float64]

#: prior probability that a curve breaks off within the values that trained
_EARLY = 0.15
#: most places at which a break is considered
_MOST_PLACES = 12
#: a break makes losses rise by this many standard errors
_CLEAR = 8.0
#: how much of each other size's evidence about roughness and breaks a size takes over
_SHARING = 0.3
#: combinations of breaks that are fitted, the most probable ones; breaks of one size below the share are left out, and
#: combinations below it relative to the most probable one
_MOST_COMBINATIONS = 8
_LEAST_SHARE = 0.03


@dataclass(frozen=True, slots=True)
class Break:
    """The hypothesis that the curve is smooth on `stretch` and ends between its last value and `until`.

    Attributes:
        stretch: the smooth part.
        until: the first value that does not belong to it; None when the curve runs on.
    """

    stretch: Stretch
    until: float | None


def breaks_of(tables: Sequence[SeedMeans], noise: Noise) -> list[tuple[float, tuple[Break, ...]]]:
    """The most probable combinations of breaks, one break per size, with shares that sum to 1.

    Args:
        tables: one per size, each with at least three values.
        noise: of the sizes.
    """
    alone = [_Alternatives(table, noise, size) for size, table in enumerate(tables)]
    total = np.sum([size.common for size in alone], axis=0)
    weighed = [size.weighed(_SHARING * (total - size.common)) for size in alone]
    combinations: list[tuple[float, tuple[Break, ...]]] = [(1.0, ())]
    for options in weighed:
        grown = [(p * q, (*chosen, b)) for p, chosen in combinations for q, b in options]
        combinations = heapq.nlargest(_MOST_COMBINATIONS, grown, key=lambda item: item[0])
    kept = [item for item in combinations if item[0] >= _LEAST_SHARE * combinations[0][0]]
    total_share = sum(p for p, _ in kept)
    return [(p / total_share, chosen) for p, chosen in kept]


class _Alternatives:
    """All breaks that one size's curve may have, with the evidence for each."""

    def __init__(self, table: SeedMeans, noise: Noise, size: int) -> None:
        self.table = table
        excess = table.mean - table.mean.min()
        self.floor = float(table.mean.min())
        self.excess = float(np.median(excess[excess > 0])) if (excess > 0).any() else abs(self.floor) or 1.0
        self.noise = noise.ss * float(noise.relative[size]), noise.df
        self.breaks, priors = self._list()
        # shape: breaks x compressions x orders x roughness
        self.evidence = np.stack(
            [evidence_alone(b.stretch, self.noise) + prior for b, prior in zip(self.breaks, priors, strict=True)]
        )
        early: Array = self.evidence[1:] if len(self.breaks) > 1 else self.evidence
        #: evidence on what sizes have in common: (runs to the end or breaks off early, then as above)
        self.common = np.stack([self.evidence[0], np.asarray(np.logaddexp.reduce(early, axis=0))])

    def weighed(self, shared: Array) -> list[tuple[float, Break]]:
        """Breaks with their probabilities, given what other sizes say; improbable ones are left out."""
        kinds = [0] + [1] * (len(self.breaks) - 1)
        log_weight = np.logaddexp.reduce((self.evidence + shared[kinds]).reshape(len(self.breaks), -1), axis=1)
        weight = np.exp(log_weight - log_weight.max())
        weight /= weight.sum()
        return [(float(p), b) for p, b in zip(weight, self.breaks, strict=True) if p >= _LEAST_SHARE]

    def _list(self) -> tuple[list[Break], list[float]]:
        """The curve may end at the last value (or run on, where nothing diverged), or at an earlier one."""
        table, m = self.table, len(self.table.x)
        places = list(range(max(3, int(table.mean.argmin())), m))[:_MOST_PLACES]
        breaks, priors = [Break(self._stretch(m), table.wall)], [math.log(1 - _EARLY)]
        for stop in places:
            prior = math.log(_EARLY / len(places)) + self._log_rise(stop)
            if math.isfinite(prior):
                breaks.append(Break(self._stretch(stop), float(table.x[stop])))
                priors.append(prior)
        return breaks, priors

    def _stretch(self, stop: int) -> Stretch:
        table = self.table
        return Stretch(table.x[:stop], table.mean[:stop], table.count[:stop], self.floor, self.excess)

    def _log_rise(self, stop: int) -> float:
        """Log density of the means from `stop` on, beyond a break: either another curve, or merely higher losses."""
        rise = self.table.mean[stop:] - self.table.mean[:stop].min()
        if (rise < 0).any():
            return -math.inf
        variance = self.noise[0] / self.noise[1]
        # a rise within the noise is no break
        scale = max(self.excess, _CLEAR * math.sqrt(variance / float(self.table.count[stop:].min())))
        anyhow = float(np.log(2 / math.pi * scale / (scale**2 + rise**2)).sum())
        return float(np.logaddexp(anyhow, self._log_curve(stop, rise, scale, variance)) - math.log(2))

    def _log_curve(self, stop: int, rise: Array, scale: float, variance: float) -> float:
        """Log density of a flank that is a rough line of any height and slope."""
        u = self.table.x[stop:] - self.table.x[stop]
        level, slope = max(float(rise[0]), scale) ** 2, max(float(rise.max()), scale) ** 2
        rough = process.covariance(2, u[:, None], u[None])
        steady = np.diag(variance / self.table.count[stop:]) + level + slope * np.outer(u, u)
        smooth, bent = (_log_normal(rise, steady + share * slope * rough) for share in (0.001, 0.1))
        return float(np.logaddexp(smooth, bent) - math.log(2))


def _log_normal(y: Array, covariance: Array) -> float:
    """Log density of a centred normal."""
    return float(-0.5 * (y @ np.linalg.solve(covariance, y) + np.linalg.slogdet(2 * math.pi * covariance)[1]))
