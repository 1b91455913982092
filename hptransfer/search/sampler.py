"""Which hyperparameters to try next, by the number of searched ones."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from hptransfer.evidence.trial import Trial, TrialState
from hptransfer.search import line
from hptransfer.search.recommendation import line_points
from hptransfer.search.space import Space


def propose(
    space: Space,
    finished: Sequence[Trial],
    asked: Sequence[Mapping[str, float]],
    *,
    count: int,
    total: int,
    seed: int,
) -> list[dict[str, float]]:
    """Values to try next, a pure function of its arguments.

    Args:
        space: what is searched.
        finished: results so far.
        asked: every set of values decided before, whatever became of it; none is proposed again.
        count: sets wanted at most, at least 1.
        total: trials of the whole search.
        seed: of the search.

    Returns:
        Sets of values of the searched hyperparameters; none when every trial diverged or nothing new is left to try.
    """
    if len(space) == 1:
        axis = space.axes[0]
        unavailable = [axis.x(values[axis.name]) for values in asked]
        points = line.propose(
            axis,
            line_points(axis, finished),
            unavailable,
            spacing=space.spacing,
            count=count,
            total=total,
        )
        return [space.values((x,)) for x in points]
    from hptransfer.search import volume  # imports Optuna, which one dimension does not need

    taken = [space.point(values) for values in asked]
    points_d = volume.propose(space, finished, taken, number=len(asked), count=count, total=total, seed=seed)
    return [space.values(point) for point in points_d]


def central_values(space: Space, finished: Sequence[Trial], count: int) -> list[dict[str, float]]:
    """Values around the optimum, for further seeds.

    Args:
        space: what is searched.
        finished: results so far, not all diverged.
        count: sets wanted at most.

    Returns:
        For one dimension, values on the lattice of `space.spacing` below any divergence, nearest to the optimum first;
        for more, the sets of lowest loss.
    """
    complete = [trial for trial in finished if trial.state is TrialState.COMPLETE]
    if len(space) > 1:
        best = sorted(complete, key=lambda trial: (trial.loss, trial.key))
        return [{name: trial.hyperparameters[name] for name in space.names} for trial in best[:count]]
    axis = space.axes[0]
    points = line_points(axis, finished)
    centre = line.running_minimum(points)
    wall = min((point.x for point in points if point.diverged and point.x > centre), default=math.inf)
    lattice = [x for x in axis.lattice(space.spacing) if x < wall - 1e-6]
    return [space.values((x,)) for x in sorted(lattice, key=lambda x: (abs(x - centre), x))[:count]]
