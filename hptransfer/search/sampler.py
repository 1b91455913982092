"""Which hyperparameters to try next: a recipe's `tune.sampler` by name."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from hptransfer.errors import UsageError
from hptransfer.recipe.schema import SamplerName
from hptransfer.search import sampler_1d
from hptransfer.search.recommendation import line_points
from hptransfer.search.space import Space
from hptransfer.search.space_filling import LATTICE, first_untaken, grid, grid_shape, rounded, sobol
from hptransfer.trials.trial import Trial, TrialState

#: this many divergences per searched hyperparameter, and nothing else, end a search
_HOPELESS = 6


def propose(
    space: Space,
    finished: Sequence[Trial],
    asked: Sequence[Mapping[str, float]],
    *,
    count: int,
    total: int,
    seed: int,
    sampler: SamplerName = "auto",
    enqueued: Sequence[Mapping[str, float]] = (),
) -> list[dict[str, float]]:
    """Values to try next, a pure function of its arguments.

    Args:
        space: what is searched.
        finished: results so far.
        asked: every set of values decided before, in order, whatever became of it; none is proposed again.
        count: sets wanted at most, at least 1.
        total: trials of the whole search.
        seed: of the search.
        sampler: a recipe's `tune.sampler`.
        enqueued: a recipe's `tune.enqueue`: sets to try before anything else.

    Returns:
        Sets of values of the searched hyperparameters; none when every trial diverged or nothing new is left to try.

    Raises:
        UsageError: an enqueued value lies outside its range.
    """
    taken = [space.point(values) for values in asked]
    known = {rounded(point) for point in taken}
    first = [point for point in _enqueued(space, enqueued) if rounded(point) not in known]
    if first:
        return [space.values(point) for point in first[:count]]
    if sampler == "auto" and len(space) == 1:
        axis = space.axes[0]
        points = sampler_1d.propose(
            axis,
            line_points(axis, finished),
            [x for (x,) in taken],
            spacing=space.spacing,
            count=count,
            total=total,
        )
        return [space.values((x,)) for x in points]
    if finished and all(trial.state is TrialState.DIVERGED for trial in finished):
        count = min(count, min(total, _HOPELESS * len(space)) - len(finished))
        if count < 1:
            return []
    if sampler == "auto":
        from hptransfer.search import sampler_gp  # its libraries take a second to import

        chosen = sampler_gp.propose(space, finished, taken, count=count, total=total, seed=seed)
    elif sampler == "sobol":
        chosen = first_untaken(sobol(space, len(taken) + count, seed), taken, count)
    elif sampler == "grid":
        chosen = first_untaken(grid(space, total, seed), taken, count)
    else:
        from hptransfer.search import optuna_samplers

        chosen = optuna_samplers.propose(sampler, space, finished, taken, count=count, seed=seed)
    return [space.values(point) for point in chosen]


def search_settings(space: Space, sampler: SamplerName, *, total: int) -> dict[str, Any]:
    """The sampler with every argument, JSON-able; `total` as for `propose`."""
    arguments: dict[str, Any]
    if sampler == "auto" and len(space) == 1:
        arguments = {"design": "line", "coarse_step": sampler_1d.coarse_step(space.axes[0], space.spacing, total)}
    elif sampler == "auto":
        from hptransfer.search.sampler_gp import SETTINGS, start_count

        arguments = {"design": "volume", "start": start_count(len(space), total), "lattice": LATTICE, **SETTINGS}
    elif sampler == "sobol":
        arguments = {"scramble": True, "lattice": LATTICE}
    elif sampler == "grid":
        arguments = {"values": dict(zip(space.names, grid_shape(len(space), total), strict=True))}
    else:
        from hptransfer.search.optuna_samplers import ARGUMENTS

        arguments = dict(ARGUMENTS[sampler])
    return {"sampler": sampler, "arguments": arguments, "exploring": total}


def _enqueued(space: Space, enqueued: Sequence[Mapping[str, float]]) -> list[tuple[float, ...]]:
    for values in enqueued:
        if not space.contains(values):
            received = ", ".join(f"{name}={value:g}" for name, value in values.items())
            bounds = ", ".join(f"{axis.name} from {axis.low:g} to {axis.high:g}" for axis in space)
            raise UsageError(
                "enqueued values must lie within `tune.space`, one for each of its hyperparameters",
                received=received,
                hint=f"the space is {bounds}",
            )
    return [space.point(values) for values in enqueued]


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
        # a value comes once, however many of its seeds are among the best
        distinct = dict.fromkeys(tuple(trial.hyperparameters[name] for name in space.names) for trial in best)
        return [dict(zip(space.names, values, strict=True)) for values in list(distinct)[:count]]
    axis = space.axes[0]
    points = line_points(axis, finished)
    centre = sampler_1d.running_minimum(points)
    wall = min((point.x for point in points if point.diverged and point.x > centre), default=math.inf)
    lattice = [x for x in axis.lattice(space.spacing) if x < wall - 1e-6]
    return [space.values((x,)) for x in sorted(lattice, key=lambda x: (abs(x - centre), x))[:count]]
