"""The recommendation over two to four hyperparameters: the bottom of a fitted mean, inside the region that trained."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from hptransfer.evidence.optimum import PLATEAU
from hptransfer.evidence.trial import Trial
from hptransfer.search.recommendation import End, Recommendation
from hptransfer.search.space import Space
from hptransfer.search.stability import stable_share
from hptransfer.search.surrogate import Array, Surrogate, fit_surrogate
from hptransfer.search.volume import cover, unit_points

#: share of an axis's range within which an optimum counts as lying on the bound
_EDGE = 0.03
_COVER = 1024
_RIVALS = 300
_DRAWS = 500
#: runs must be at least this likely to train where one is recommended
_STABLE = 0.5


def recommend_in_volume(space: Space, finished: Sequence[Trial], best: Trial) -> Recommendation:
    """The lowest point of the fitted mean within what was sampled, with the spread of where it could lie.

    Args:
        space: two axes at least.
        finished: with enough complete trials for a fit.
        best: the one of lowest loss.
    """
    ends = np.array([axis.ends for axis in space])
    x, losses = unit_points(space, finished)
    trained = np.isfinite(losses)
    surrogate = fit_surrogate(x, losses)
    region = _Region(x, trained)
    place = _bottom(surrogate, region)
    near = region.candidates(place)
    order = np.argsort(surrogate.mean(near), kind="stable")
    # most draws have their minimum among the lowest means, the others must not be cut off
    rivals = near[np.concatenate([order[:_RIVALS], order[_RIVALS :: len(order) // _RIVALS]])]
    draws = surrogate.draws(rivals, _DRAWS, np.random.default_rng(0))
    minima = rivals[draws.argmin(axis=1)]
    low, high = np.quantile(minima, (0.025, 0.975), axis=0)
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
        plateaus=_plateaus(space, surrogate, region, place, expected),
        loss=expected,
        noise=surrogate.noise_nats,
        edges=edges,
        best=best,
    )


class _Region:
    """What may be recommended: within the box of the runs that trained, and where another would likely train."""

    def __init__(self, x: Array, trained: npt.NDArray[np.bool_]) -> None:
        self._x, self._trained, self.inside = x, trained, x[trained]
        self.low, self.high = self.inside.min(0), self.inside.max(0)

    def holds(self, at: Array) -> npt.NDArray[np.bool_]:
        """Which of (m, d) points belong to it."""
        boxed = ((at >= self.low - 1e-9) & (at <= self.high + 1e-9)).all(1)
        return np.asarray(boxed & (stable_share(self._x, self._trained, at) >= _STABLE))

    def candidates(self, centre: Array | None = None) -> Array:
        """The runs that trained, a dense cover of the region, and more about a centre."""
        dimensions = self.inside.shape[1]
        points = [self.low + cover(dimensions, _COVER) * (self.high - self.low)]
        if centre is not None:
            offsets = np.random.default_rng(0).standard_normal((3, 256, dimensions))
            points += [centre + offset * spread for offset, spread in zip(offsets, (0.2, 0.1, 0.03), strict=True)]
        every = np.concatenate(points)
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
    space: Space, surrogate: Surrogate, region: _Region, place: Array, best: float
) -> dict[str, tuple[float, float]]:
    """Along each axis through the recommended point: the values whose expected loss is within `PLATEAU` of its own."""
    found = {}
    for index, axis in enumerate(space):
        steps = np.linspace(region.low[index], region.high[index], 257)
        line = np.repeat(place[None], len(steps), axis=0)
        line[:, index] = steps
        good = surrogate.mean(line) <= best + PLATEAU * abs(best)
        here = int(np.abs(steps - place[index]).argmin())
        bad = np.flatnonzero(~good)
        first, last = bad[bad < here].max(initial=-1) + 1, bad[bad > here].min(initial=len(steps)) - 1
        low, high = axis.ends
        ends = (low + float(steps[i]) * (high - low) for i in (min(first, here), max(last, here)))
        bottom, top = (axis.clip(axis.value(end)) for end in ends)
        found[axis.name] = (bottom, top)
    return found
