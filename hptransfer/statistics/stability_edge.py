"""Where loss curves stop being smooth: at a divergence; earlier, where losses begin to rise anyhow; or at a kink."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hptransfer.statistics import wiener_process
from hptransfer.statistics.arrays import Array
from hptransfer.statistics.seed_means import Noise, SeedMeans
from hptransfer.statistics.smooth import SmoothSegment, evidence_alone
from hptransfer.statistics.tilt import SeedNoise

#: prior probability that a curve breaks off within the values that trained
_EARLY = 0.15
#: prior probability that slope and bend change abruptly near the minimum, as where a stability limit takes over
_KINKED = 0.03
#: most places at which a break is considered
_MOST_PLACES = 12
#: a break makes losses rise by this many standard errors
_CLEAR = 8.0
#: how much of each other size's evidence about roughness and breaks a size takes over
_SHARING = 0.3
#: combinations of the sizes' breaks that are fitted; improbable breaks are left out
_COMBINATIONS = 16
_LEAST_SHARE = 0.01
#: a kink takes more than this many values to see
_FEWEST_KINKED = 5
#: runs on, ends early, has a kink
_KINDS = 3
_KINK = 2


@dataclass(frozen=True, slots=True)
class Break:
    """The hypothesis that the curve is smooth on `stretch` and ends between its last value and `until`.

    Attributes:
        stretch: the seed means that lie on the smooth part of the curve.
        until: the first value that does not belong to it; None when the curve runs on.
    """

    stretch: SmoothSegment
    until: float | None


def breaks_of(tables: Sequence[SeedMeans], noise: Noise, seeds: SeedNoise) -> list[tuple[float, tuple[Break, ...]]]:
    """A sample of combinations of breaks, one break per size, with shares that sum to 1.

    Every size's breaks occur about as often as they are probable, and alike breaks of different sizes go together.

    Args:
        tables: one per size, each with at least three values.
        noise: what is known about one run's noise at each of the sizes.
        seeds: what seeds do to the means of these sizes.
    """
    alone = [_Alternatives(table, noise, seeds, size) for size, table in enumerate(tables)]
    total = np.sum([size.common for size in alone], axis=0)
    weights = [size.weights(_SHARING * (total - size.common)) for size in alone]
    # kinks are something that all sizes have or none
    odds = sum(size.log_odds_of_kink(weight) for size, weight in zip(alone, weights, strict=True))
    kinked = round(_COMBINATIONS / (1 + math.exp(-max(-30.0, min(30.0, odds + math.log(_KINKED / (1 - _KINKED)))))))
    samples = [
        size.sample(weight, _COMBINATIONS - kinked, kinked=False) + size.sample(weight, kinked, kinked=True)
        for size, weight in zip(alone, weights, strict=True)
    ]
    counted = Counter(zip(*samples, strict=True))
    return [
        (number / _COMBINATIONS, tuple(size.breaks[choice] for size, choice in zip(alone, choices, strict=True)))
        for choices, number in sorted(counted.items())
    ]


class _Alternatives:
    """All breaks that one size's curve may have, with the evidence for each."""

    def __init__(self, table: SeedMeans, noise: Noise, seeds: SeedNoise, size: int) -> None:
        self.table, self.seeds, self.size = table, seeds, size
        excess = table.mean - table.mean.min()
        self.floor = float(table.mean.min())
        self.excess = float(np.median(excess[excess > 0])) if (excess > 0).any() else abs(self.floor) or 1.0
        self.noise = noise.ss * float(noise.relative[size]), noise.df
        self.breaks, priors, self.kinds = self._list()
        # shape: breaks x compressions x orders x roughness
        self.evidence = np.stack(
            [evidence_alone(b.stretch, self.noise) + prior for b, prior in zip(self.breaks, priors, strict=True)]
        )
        #: evidence on what sizes have in common: (kind of break, then as above)
        self.common = np.stack([self._of_kind(kind) for kind in range(_KINDS)])

    def _of_kind(self, kind: int) -> Array:
        """Evidence summed over the breaks of one kind; where a size has none it has no say."""
        mine = self.evidence[self.kinds == kind]
        return np.asarray(np.logaddexp.reduce(mine if len(mine) else self.evidence, axis=0))

    def weights(self, shared: Array) -> Array:
        """(breaks,) log evidence of each break, given what other sizes say."""
        joint = self.evidence + shared[self.kinds]
        return np.asarray(np.logaddexp.reduce(joint.reshape(len(self.breaks), -1), axis=1))

    def log_odds_of_kink(self, weights: Array) -> float:
        """Log evidence ratio of the breaks with a kink to those without; 0 where a kink could not be seen."""
        kinked = self.kinds == _KINK
        if not kinked.any():
            return 0.0
        return float(np.logaddexp.reduce(weights[kinked]) - np.logaddexp.reduce(weights[~kinked]))

    def sample(self, weights: Array, number: int, *, kinked: bool) -> list[int]:
        """Indices of breaks with or without kinks: an even sample, in the order in which they are listed."""
        mine = (self.kinds == _KINK) == kinked if (self.kinds == _KINK).any() else self.kinds >= 0
        weight = np.exp(np.where(mine, weights - weights[mine].max(), -np.inf))
        weight[weight < _LEAST_SHARE] = 0
        bounds = np.cumsum(weight) / weight.sum()
        return [int(i) for i in np.searchsorted(bounds, (np.arange(number) + 0.5) / max(1, number))]

    def _list(self) -> tuple[list[Break], list[float], npt.NDArray[np.intp]]:
        """The curve ends at the last value or runs on where nothing diverged; or it ends earlier; or it has a kink."""
        table, m = self.table, len(self.table.x)
        best = int(table.mean.argmin())
        breaks, priors, kinds = [Break(self._stretch(m), table.wall)], [math.log(1 - _EARLY)], [0]
        stops = list(range(max(3, best), m))[:_MOST_PLACES]
        for stop in stops:
            prior = math.log(_EARLY / len(stops)) + self._log_rise(stop)
            if math.isfinite(prior):
                breaks.append(Break(self._stretch(stop), float(table.x[stop])))
                priors.append(prior)
                kinds.append(1)
        near = table.x[max(0, best - 1) : best + 2]
        kinks = np.interp(np.linspace(0, len(near) - 1, 4 * len(near) - 3), np.arange(len(near)), near)
        for kink in kinks[(kinks > table.x[0]) & (kinks < table.x[-1])] if m > _FEWEST_KINKED else ():
            breaks.append(Break(self._stretch(m, float(kink)), table.wall))
            priors.append(-math.log(len(kinks)))
            kinds.append(_KINK)
        return breaks, priors, np.array(kinds)

    def _stretch(self, stop: int, kink: float | None = None) -> SmoothSegment:
        table = self.table
        errors = self.seeds.alone(self.size, stop)
        return SmoothSegment(table.x[:stop], table.mean[:stop], *errors, self.floor, self.excess, kink)

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
        rough = wiener_process.covariance(2, u[:, None], u[None])
        steady = np.diag(variance / self.table.count[stop:]) + level + slope * np.outer(u, u)
        smooth, bent = (_log_normal(rise, steady + share * slope * rough) for share in (0.001, 0.1))
        return float(np.logaddexp(smooth, bent) - math.log(2))


def _log_normal(y: Array, covariance: Array) -> float:
    """Log density of a centred normal."""
    return float(-0.5 * (y @ np.linalg.solve(covariance, y) + np.linalg.slogdet(2 * math.pi * covariance)[1]))
