"""What a search recommends: the minimum of a fitted mean, not the single trial of lowest loss."""

from __future__ import annotations

import math
from collections.abc import Sequence

from hptransfer.hyperparameters import NEGLIGIBLE_COST
from hptransfer.search.base import ASSUMED_NOISE, End, Recommendation, least_runs
from hptransfer.search.space import Axis, Space
from hptransfer.statistics.optimum import estimate_optimum
from hptransfer.statistics.seed_means import Point, average_seeds
from hptransfer.trials.trial import Trial, TrialState


def recommend(space: Space, finished: Sequence[Trial], tolerance: float = NEGLIGIBLE_COST) -> Recommendation | None:
    """The recommendation of a search; the order of `finished` does not matter.

    Args:
        space: the searched hyperparameters with their bounds.
        finished: complete and diverged trials of any seeds.
        tolerance: share of the best expected loss by which the loss may exceed it on the plateaus, positive.

    Returns:
        None when no trial is complete.
    """
    complete = [trial for trial in finished if trial.state is TrialState.COMPLETE]
    if not complete:
        return None
    finished = sorted(finished, key=lambda trial: (space.point(trial.hyperparameters), trial.key))
    best = min(complete, key=lambda trial: (trial.loss, trial.key))
    if len(space) == 1:
        return _on_a_line(space.axes[0], finished, best, tolerance)
    if len(complete) < max(4, len(space) + 2):
        values = {name: best.hyperparameters[name] for name in space.names}
        unknown = dict.fromkeys(space.names, (None, None))
        alone = {name: (value, value) for name, value in values.items()}
        return Recommendation(values, unknown, alone, best.loss, math.nan, {}, best)
    from hptransfer.search.recommend_gp import recommend_in_volume  # its libraries take a second to import

    return recommend_in_volume(space, finished, best, tolerance)


def line_points(axis: Axis, finished: Sequence[Trial]) -> list[Point]:
    """Trials as points on one axis."""
    return [
        Point(axis.x(trial.hyperparameters[axis.name]), trial.seed, trial.loss, trial.state is TrialState.DIVERGED)
        for trial in finished
    ]


def _on_a_line(axis: Axis, finished: Sequence[Trial], best: Trial, tolerance: float) -> Recommendation:
    points = line_points(axis, finished)
    optimum = estimate_optimum(points, tolerance=tolerance * abs(best.loss))
    noise = optimum.noise
    if optimum.noise_from == "scatter" and len(average_seeds(points).x) < least_runs(1):
        # scatter about a curve that so few values cannot fix is that of the curve's prior, and can be thousands of nats
        noise = math.nan
        optimum = estimate_optimum(points, noise=ASSUMED_NOISE * abs(best.loss), tolerance=tolerance * abs(best.loss))
    # within the values that trained: the gap before a divergence may already belong to it
    trained = [axis.x(trial.hyperparameters[axis.name]) for trial in finished if trial.state is TrialState.COMPLETE]
    value = axis.clip(axis.value(min(max(optimum.log2_value, min(trained)), max(trained))))
    interval = tuple(axis.value(x) if math.isfinite(x) else None for x in (optimum.low, optimum.high))
    edges: dict[str, End] = {}
    if optimum.edge is not None and _at_bound(axis, optimum.edge, finished):
        edges[axis.name] = optimum.edge
    bottom, top = (axis.clip(axis.value(x)) for x in optimum.plateau)
    return Recommendation(
        values={axis.name: value},
        intervals={axis.name: (interval[0], interval[1])},
        plateaus={axis.name: (min(bottom, value), max(top, value))},
        loss=optimum.loss.estimate,
        noise=noise,
        edges=edges,
        best=best,
    )


def _at_bound(axis: Axis, end: End, finished: Sequence[Trial]) -> bool:
    """Whether the runs reach this bound of the range; where they end at a divergence, no wider range helps."""
    tried = [axis.x(trial.hyperparameters[axis.name]) for trial in finished if trial.state is TrialState.COMPLETE]
    diverged = [axis.x(trial.hyperparameters[axis.name]) for trial in finished if trial.state is TrialState.DIVERGED]
    return end == "low" or not any(x > max(tried) for x in diverged)
