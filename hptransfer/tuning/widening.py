"""What to do where the best values lie at an end of what was searched: a wider range, and trials to search it with."""

from __future__ import annotations

import math
from collections.abc import Sequence

from hptransfer.search.base import End
from hptransfer.search.space import Axis
from hptransfer.trials.trial import Trial

#: octaves between the outermost trial and the bound within which the range counts as searched to its end
_REACHED = 1.0
#: fewest trials that are worth adding
_FEWEST = 2


def edge_warning(axis: Axis, end: End, searched: Sequence[Trial], trials: int) -> str:
    """What to change in the recipe where the optimum lies at an end, one sentence.

    The number of trials is a total: a wider range alone trains nothing. More are asked for in proportion to the range.

    Args:
        axis: the searched hyperparameter and its range.
        end: the end at which its optimum lies.
        searched: trials of the search, at least one.
        trials: their total in the recipe, `tune.trials`.
    """
    tried = [axis.x(trial.hyperparameters[axis.name]) for trial in searched]
    low, high = min(tried), max(tried)
    outermost, bound = (low, axis.x(axis.low)) if end == "low" else (high, axis.x(axis.high))
    key = f"tune.space.{axis.name}.{end}"
    if abs(bound - outermost) > _REACHED:
        more = _in_proportion(trials, high - low, abs(bound - outermost))
        untried = axis.low if end == "low" else axis.high
        return (
            f"the best values of {axis.name} lie at the {end} end of what was tried, {axis.value(outermost):.3g}, and "
            f"the range goes on to {untried:.3g} untried: raise `tune.trials` to {more} and run again"
        )
    wider = axis.wider(end)
    more = _in_proportion(trials, high - low, abs(axis.x(wider) - outermost))
    return (
        f"the optimum of {axis.name} lies at the {end} end of its range: widen `{key}` to {wider:.3g}, raise "
        f"`tune.trials` to {more} (a total: the trials so far count) and run again"
    )


def _in_proportion(trials: int, searched: float, further: float) -> int:
    return trials + max(_FEWEST, math.ceil(trials * further / max(searched, 1.0)))
