"""Search spaces of one and two axes, with trials at given points."""

from __future__ import annotations

import math
from collections.abc import Callable

from hptransfer.recipe.schema import Range
from hptransfer.search.base import Recommendation
from hptransfer.search.recommendation import recommend
from hptransfer.search.rounds import propose
from hptransfer.search.space import Space
from hptransfer.sizes import Size
from hptransfer.trials.trial import Trial, TrialState

LINE = Space.of({"learning_rate": Range(low=2**-10, high=2**-2)})
PLANE = Space.of({"learning_rate": Range(low=2**-10, high=2**-2), "init_scale": Range(low=0.125, high=8.0)})


def trial(space: Space, point: tuple[float, ...], loss: float) -> Trial:
    """A finished trial; an infinite loss diverged."""
    values = space.values(point)
    state = TrialState.COMPLETE if math.isfinite(loss) else TrialState.DIVERGED
    return Trial(str(point), Size(64, 2, 32, 100), values, 0, state, loss)


def searched(space: Space, loss: Callable[[tuple[float, ...]], float], total: int, seed: int = 0) -> list[Trial]:
    """A whole search in rounds of four."""
    finished: list[Trial] = []
    while len(finished) < total:
        asked = [done.hyperparameters for done in finished]
        new = propose(space, finished, asked, count=min(4, total - len(finished)), total=total, seed=seed)
        assert new
        finished += [trial(space, space.point(values), loss(space.point(values))) for values in new]
    return finished


def recommended(space: Space, trials: list[Trial]) -> Recommendation:
    """The recommendation, which must exist."""
    found = recommend(space, trials)
    assert found is not None
    return found


def bowl(point: tuple[float, ...]) -> float:
    """A parabola with its minimum at 2^-6 and 1."""
    return 2 + 0.1 * (point[0] + 6) ** 2 + sum(0.05 * x**2 for x in point[1:])
