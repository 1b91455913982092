"""What a search recommends: the minimum of a fitted mean, not the luckiest trial."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy.spatial import ConvexHull, Delaunay, QhullError
from scipy.stats import qmc

from hptransfer.evidence.optimum import estimate_optimum
from hptransfer.evidence.points import Point
from hptransfer.evidence.trial import Trial, TrialState
from hptransfer.search.space import Axis, Space
from hptransfer.search.surrogate import fit_surrogate

Array = npt.NDArray[np.float64]
End = Literal["low", "high"]

#: share of an axis's range within which an optimum counts as lying on the bound, in more than one dimension
_EDGE = 0.03
_CANDIDATES = 4096
_DRAWS = 500


@dataclass(frozen=True, slots=True)
class Recommendation:
    """What to use, how sure that is, and what was best by luck.

    Attributes:
        values: recommended value of each searched hyperparameter.
        intervals: its 95% interval in the hyperparameter's own unit; None at an end that the search leaves open.
        loss: expected loss there, nats.
        edges: axes whose optimum lies on a bound of the search, with the end; a divergence is not a bound.
        best: the finished trial of lowest loss.
        reason: why recommended and best differ, one sentence.
    """

    values: Mapping[str, float]
    intervals: Mapping[str, tuple[float | None, float | None]]
    loss: float
    edges: Mapping[str, End]
    best: Trial
    reason: str


def recommend(space: Space, finished: Sequence[Trial]) -> Recommendation | None:
    """The recommendation of a search; the order of `finished` does not matter.

    Args:
        space: what was searched.
        finished: complete and diverged trials.

    Returns:
        None when no trial is complete.
    """
    complete = [trial for trial in finished if trial.state is TrialState.COMPLETE]
    if not complete:
        return None
    finished = sorted(finished, key=lambda trial: (space.point(trial.hyperparameters), trial.key))
    best = min(complete, key=lambda trial: (trial.loss, trial.key))
    if len(space) == 1:
        return _on_a_line(space.axes[0], finished, best)
    if len(complete) < max(4, len(space) + 2):
        values = {name: best.hyperparameters[name] for name in space.names}
        unknown = dict.fromkeys(space.names, (None, None))
        return Recommendation(values, unknown, best.loss, {}, best, "too few trials for a fit: this is the best one")
    return _in_a_volume(space, finished, best)


def line_points(axis: Axis, finished: Sequence[Trial]) -> list[Point]:
    """Trials as points on one axis."""
    return [
        Point(axis.x(trial.hyperparameters[axis.name]), trial.seed, trial.loss, trial.state is TrialState.DIVERGED)
        for trial in finished
    ]


def _on_a_line(axis: Axis, finished: Sequence[Trial], best: Trial) -> Recommendation:
    optimum = estimate_optimum(line_points(axis, finished))
    value = axis.clip(axis.value(optimum.log2_value))
    interval = tuple(axis.value(x) if math.isfinite(x) else None for x in (optimum.low, optimum.high))
    edges: dict[str, End] = {}
    if optimum.edge is not None and _at_bound(axis, optimum.edge, finished):
        edges[axis.name] = optimum.edge
    noise = f"one run scatters by about {optimum.noise:.2g} nats" if math.isfinite(optimum.noise) else "runs scatter"
    return Recommendation(
        values={axis.name: value},
        intervals={axis.name: (interval[0], interval[1])},
        loss=optimum.loss.estimate,
        edges=edges,
        best=best,
        reason=f"{noise}, so the lowest loss is partly luck; the fitted curve uses all runs",
    )


def _at_bound(axis: Axis, end: End, finished: Sequence[Trial]) -> bool:
    """Whether the runs reach this bound of the range; where they end at a divergence, no wider range helps."""
    tried = [axis.x(trial.hyperparameters[axis.name]) for trial in finished if trial.state is TrialState.COMPLETE]
    diverged = [axis.x(trial.hyperparameters[axis.name]) for trial in finished if trial.state is TrialState.DIVERGED]
    return end == "low" or not any(x > max(tried) for x in diverged)


def _in_a_volume(space: Space, finished: Sequence[Trial], best: Trial) -> Recommendation:
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
