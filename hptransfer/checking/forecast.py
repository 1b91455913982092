"""Which trials `check` begins with, for a forecast of what it takes and for `status`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from hptransfer.artifacts.tuned import read_tuned
from hptransfer.checking.design import CheckDesign
from hptransfer.engine.forecast import PriorWork, WantedTrials
from hptransfer.recipe.defaults import defaults
from hptransfer.recipe.schema import Recipe
from hptransfer.sizes import Size
from hptransfer.trials.spec import TrialSpec


def first_trials(recipe: Recipe, root: Path, tuned: Mapping[str, float]) -> list[TrialSpec]:
    """The trials that a check begins with: for every checked hyperparameter the shared grid at every size.

    Args:
        recipe: whose sizes, grid and seeds are checked.
        root: the recipe's folder, where data patterns start.
        tuned: base-size value of every tuned hyperparameter.
    """
    return [
        request for name in recipe.check.checked for request in CheckDesign(recipe, root, dict(tuned), name).first()
    ]


def wanted_trials(prior: PriorWork) -> WantedTrials:
    """The trials that a check begins with; the proxy and the largest size are timed."""
    recipe, notes = prior.loaded.recipe, []
    if prior.folder.tuned.exists():
        values = read_tuned(prior.folder.tuned, str(prior.loaded.path)).hyperparameters
    else:
        values = defaults(recipe.training)
        notes.append("nothing is tuned yet: the grid is centred on the recipe's own value, and `tune` comes first")
    first = first_trials(recipe, prior.loaded.root, values)
    keys = {trial.key for trial in prior.finished}
    wanted: Counter[Size] = Counter(request.size for request in first)
    finished: Counter[Size] = Counter(request.size for request in first if prior.identity.key(request) in keys)
    design = CheckDesign(recipe, prior.loaded.root, values)
    middle = design.grid()[len(design.grid()) // 2]
    timed = dict.fromkeys((design.proxy, max(design.all_sizes(), key=work)))
    notes.append("sizes whose optimum lies on the grid's edge train more values; the coordinate check is not counted")
    if recipe.check.adaptive:
        notes.append("the check is adaptive: these are the trials it begins with")
    return WantedTrials(
        timed=tuple(design.request(size, middle, 0) for size in timed),
        counts={size: (count, finished[size]) for size, count in wanted.items()},
        notes=tuple(notes),
    )


def work(size: Size) -> float:
    """Something that grows with what a run of a size costs, to tell which size costs most.

    Args:
        size: width, depth, batch and tokens of the run.
    """
    return float(size.width**2 * size.depth * size.tokens)
