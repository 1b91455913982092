"""The recommendation over two to four hyperparameters: the bottom of a fitted mean, inside the region that trained."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy.spatial import ConvexHull, Delaunay, QhullError
from scipy.stats import qmc

from hptransfer.evidence.trial import Trial, TrialState
from hptransfer.search.recommendation import End, Recommendation
from hptransfer.search.space import Space
from hptransfer.search.surrogate import fit_surrogate

Array = npt.NDArray[np.float64]

#: share of an axis's range within which an optimum counts as lying on the bound
_EDGE = 0.03
_CANDIDATES = 4096
_DRAWS = 500


def recommend_in_volume(space: Space, finished: Sequence[Trial], best: Trial) -> Recommendation:
    """The lowest point of the fitted mean within what was sampled, with the spread of where it could lie.

    Args:
        space: two axes at least.
        finished: with enough complete trials for a fit.
        best: the one of lowest loss.
    """
    ends = np.array([axis.ends for axis in space])
    x = (np.array([space.point(trial.hyperparameters) for trial in finished]) - ends[:, 0]) / np.ptp(ends, axis=1)
    losses = np.array([trial.loss if trial.state is TrialState.COMPLETE else math.inf for trial in finished])
    surrogate = fit_surrogate(x, losses)
    candidates = _candidates(x[np.isfinite(losses)], losses[np.isfinite(losses)])
    mean = surrogate.mean(candidates)
    order = np.argsort(mean, kind="stable")[:400]  # the minimum of a draw lies among the lowest means
    draws = surrogate.draws(candidates[order], _DRAWS, np.random.default_rng(0))
    minima = candidates[order][draws.argmin(axis=1)]
    place = candidates[int(mean.argmin())]
    low, high = np.quantile(minima, (0.025, 0.975), axis=0)
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
    reason = (
        f"one run scatters by about {surrogate.noise * surrogate.scale:.2g} nats, so the lowest loss is partly luck"
    )
    return Recommendation(values, intervals, float(mean.min()), edges, best, f"{reason}; the fitted mean uses all runs")


def _candidates(finite: Array, losses: Array) -> Array:
    """Points within the convex hull of what trained: a dense cover of it, more around the best, and the runs."""
    dimensions = finite.shape[1]
    low, high = finite.min(0), finite.max(0)
    cover = low + qmc.Sobol(dimensions, scramble=False).random(_CANDIDATES) * (high - low)
    centres = finite[np.argsort(losses, kind="stable")[:4]]
    offsets = np.random.default_rng(0).normal(0, 0.1, (4, 256, dimensions))
    local = (centres[:, None, :] + offsets).reshape(-1, dimensions)
    points = np.concatenate([cover, local])
    try:
        hull = Delaunay(finite[ConvexHull(finite).vertices])
    except QhullError:  # the runs lie in a plane
        return finite
    return np.concatenate([finite, points[hull.find_simplex(points) >= 0]])
