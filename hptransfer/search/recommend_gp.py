"""The recommendation over two to four hyperparameters: the bottom of a fitted mean, inside the region that trained."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from hptransfer.search.base import End, Recommendation, least_runs
from hptransfer.search.gp_posterior import draw_minima, plausible_surrogates
from hptransfer.search.sampler_gp import cover, unit_points
from hptransfer.search.space import Space
from hptransfer.search.surrogate import Surrogate, fit_surrogate, stable_share
from hptransfer.statistics.arrays import Array
from hptransfer.trials.trial import Trial

#: share of an axis's range within which an optimum counts as lying on the bound
_EDGE = 0.03
#: and within which an end of an interval lies where the runs end
_CLOSE = 0.01
_COVER = 1024
#: minima drawn for the interval: surrogates, and draws of each
_HYPOTHESES, _DRAWS = 24, 12
#: expected lopsidedness of a learning rate's bowl, per octave of its range: an octave too much costs several times what
#: one too little does ("Predictable Scale: Part I, Step Law", 2025); other axes may be lopsided either way
_STEEPER = 0.2
#: runs must be at least this likely to train where one is recommended
_STABLE = 0.5


def recommend_in_volume(space: Space, finished: Sequence[Trial], best: Trial, tolerance: float) -> Recommendation:
    """The lowest point of the fitted mean within what was sampled, with the spread of where it could lie.

    Args:
        space: two axes at least.
        finished: complete and diverged trials, enough complete ones for a fit.
        best: the trial of lowest loss.
        tolerance: share of the best expected loss by which the loss may exceed it on the plateaus, positive.
    """
    ends = np.array([axis.ends for axis in space])
    x, losses = unit_points(space, finished)
    trained = np.isfinite(losses)
    surrogate = fit_surrogate(x, losses)
    region = _Region(x, trained)
    place = _bottom(surrogate, region)
    low, high = _interval(space, x, losses, region)
    expected = float(surrogate.mean(place[None])[0])
    values: dict[str, float] = {}
    intervals: dict[str, tuple[float | None, float | None]] = {}
    edges: dict[str, End] = {}
    for index, axis in enumerate(space):
        unit = np.array([place[index], min(low[index], place[index]), max(high[index], place[index])])
        at, bottom, top = (axis.clip(axis.value(v)) for v in (ends[index, 0] + unit * np.ptp(ends[index])).tolist())
        values[axis.name] = at
        intervals[axis.name] = (bottom if unit[1] > _EDGE else None, top if unit[2] < 1 - _EDGE else None)
        if unit[0] < _EDGE or unit[0] > 1 - _EDGE:
            edges[axis.name] = "low" if unit[0] < _EDGE else "high"
    return Recommendation(
        values=values,
        intervals=intervals,
        plateaus=_plateaus(space, surrogate, region, place, expected, tolerance),
        loss=expected,
        noise=surrogate.noise_nats if trained.sum() >= least_runs(len(space)) else math.nan,
        about="the fitted mean",
        edges=edges,
        best=best,
    )


def _interval(space: Space, x: Array, losses: Array, region: _Region) -> tuple[Array, Array]:
    """Ends (d,) that hold 95% of the minima drawn from the posterior; a bound where they go on beyond the runs."""
    rng = np.random.default_rng(0)
    octaves = [axis.ends[1] - axis.ends[0] if axis.name.endswith("learning_rate") else 0.0 for axis in space]
    surrogates = plausible_surrogates(x, losses, _STEEPER * np.array(octaves), _HYPOTHESES, rng)
    minima = draw_minima(surrogates, region.candidates(), region.holds, _DRAWS, rng)
    low, high = np.quantile(minima, (0.025, 0.975), axis=0)
    low = np.where(low <= region.low + _CLOSE, 0.0, low)
    # beyond the runs that trained, a divergence is the end
    diverged = np.where(x[~np.isfinite(losses)] > region.high, x[~np.isfinite(losses)], 1.0).min(axis=0, initial=1.0)
    return low, np.where(high >= region.high - _CLOSE, diverged, high)


class _Region:
    """What may be recommended: within the box of the runs that trained, and where another would likely train."""

    def __init__(self, x: Array, trained: npt.NDArray[np.bool_]) -> None:
        self._x, self._trained, self.inside = x, trained, x[trained]
        self.low, self.high = self.inside.min(0), self.inside.max(0)

    def holds(self, at: Array) -> npt.NDArray[np.bool_]:
        """Which of (m, d) points belong to it."""
        boxed = ((at >= self.low - 1e-9) & (at <= self.high + 1e-9)).all(1)
        return np.asarray(boxed & (stable_share(self._x, self._trained, at) >= _STABLE))

    def candidates(self) -> Array:
        """The runs that trained, and a dense cover of the region."""
        every = self.low + cover(self.inside.shape[1], _COVER) * (self.high - self.low)
        return np.concatenate([self.inside, every[self.holds(every)]])


def _bottom(surrogate: Surrogate, region: _Region) -> Array:
    """The lowest point of the fitted mean in the region, found in ever smaller neighbourhoods."""
    points = region.candidates()
    rng = np.random.default_rng(0)
    place = points[int(surrogate.mean(points).argmin())]
    for spread in (0.06, 0.02, 0.007):
        about = place + rng.normal(0.0, spread, (256, len(place)))
        points = np.concatenate([place[None], about[region.holds(about)]])
        place = points[int(surrogate.mean(points).argmin())]
    return np.asarray(place)


def _plateaus(
    space: Space, surrogate: Surrogate, region: _Region, place: Array, best: float, tolerance: float
) -> dict[str, tuple[float, float]]:
    """Along each axis through the recommended point: values whose expected loss is within the tolerance of its own."""
    found = {}
    for index, axis in enumerate(space):
        steps = np.linspace(region.low[index], region.high[index], 257)
        line = np.repeat(place[None], len(steps), axis=0)
        line[:, index] = steps
        good = surrogate.mean(line) <= best + tolerance * abs(best)
        here = int(np.abs(steps - place[index]).argmin())
        bad = np.flatnonzero(~good)
        first, last = bad[bad < here].max(initial=-1) + 1, bad[bad > here].min(initial=len(steps)) - 1
        low, high = axis.ends
        ends = (low + float(steps[i]) * (high - low) for i in (min(first, here), max(last, here)))
        bottom, top = (axis.clip(axis.value(end)) for end in ends)
        found[axis.name] = (bottom, top)
    return found
