"""What the lines of a one-at-a-time search are, by the recipe: their order, their trials and their seeds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from hptransfer.recipe.defaults import defaults
from hptransfer.recipe.schema import Recipe
from hptransfer.search.space import Axis, Space
from hptransfer.tuning.search import Part

#: searched before all others, because their optimum depends on it most
_FIRST = "learning_rate"


def in_order(space: Space) -> list[Axis]:
    """The axes in the order in which they are searched.

    Args:
        space: every searched hyperparameter with its bounds.
    """
    return sorted(space, key=lambda axis: axis.name != _FIRST)


def line_seeds(recipe: Recipe) -> range:
    """Seeds of every line: the first explores, the others are for the values around each optimum.

    Args:
        recipe: gives the first seed and how many there are.
    """
    first = recipe.tune.seed
    return range(first, first + (recipe.tune.seeds or 1))


def line_part(recipe: Recipe, space: Space, axis: Axis, held: Mapping[str, float]) -> Part:
    """The search along one line.

    Args:
        recipe: whose search it is.
        space: every searched hyperparameter with its bounds.
        axis: the line's, one of `space`.
        held: the value of the first line's hyperparameter on the others; nothing where that line gave none.
    """
    line, trials, seeds = replace(space, axes=(axis,)), recipe.tune.trials, len(line_seeds(recipe))
    first, *others = in_order(space)
    share = (trials - 1) // len(space)  # the last trial is the combination's
    if axis.name == first.name:
        return Part(line, trials - 1 - share * len(others), seeds)
    own = defaults(recipe.training)[axis.name]
    # the middle of the line was trained on the first one
    shared = bool(held) and axis.low <= own <= axis.high
    return Part(line, share + shared, seeds, held)


def lines_settings(lines: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """The search with every argument, JSON-able.

    Args:
        lines: hyperparameter -> the settings of its line, in the order in which they were searched.
    """
    return {"order": "one-at-a-time", "lines": dict(lines)}
