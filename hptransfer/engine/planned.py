"""The plan of a recipe at a size: what `hptransfer plan` prints, and what the level `shapes` of `validate` asks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from hptransfer.engine.durations import with_durations
from hptransfer.errors import Finding, MachineError, UsageError
from hptransfer.parameterization.decay_timescale import timescale_notes
from hptransfer.parameterization.gauge import Gauge
from hptransfer.parameterization.plan import Plan
from hptransfer.recipe.defaults import defaults
from hptransfer.recipe.load import LoadedRecipe
from hptransfer.recipe.schema import Recipe
from hptransfer.recipe.yaml.gate import KeyPath
from hptransfer.registry import look_in
from hptransfer.sizes import AXES, LADDERS, MODEL_AXES, Size


def planned(loaded: LoadedRecipe, size: Size, gauge: Gauge | None = None) -> Plan:
    """The plan at a size, with everything that is printed about it.

    Whoever must know whether there is one asks this, so that no two commands can disagree.

    Args:
        loaded: the recipe, with the durations of its sizes; its model's code runs.
        size: width, depth, examples per step and tokens to plan for.
        gauge: where multipliers live; None takes the recipe's.

    Raises:
        UsageError: the model cannot be built or read at this size, or no rule is known for one of its parameters.
        MachineError: what the model needs is not installed.
    """
    from hptransfer.models.planning import plan_recipe, recipe_timescales

    recipe, values = loaded.recipe, defaults(loaded.recipe.training)
    look_in(loaded.root)
    result = plan_recipe(recipe, size, values, gauge)
    held = recipe.parameterization.decay_timescale == "held"
    timescales = timescale_notes(recipe_timescales(recipe, result, values), held=held)
    return replace(result, notes=(*result.notes, *timescales))


def plan_faults(loaded: LoadedRecipe) -> Iterator[tuple[KeyPath, Finding]]:
    """Why the recipe cannot be planned at one of its sizes, with the key that is nearest to it; nothing where it can.

    What is wrong at every size is said once, of the model; anything else at the key of the first size that shows it.

    Args:
        loaded: the recipe as it was read; its model's code runs where it may.
    """
    look_in(loaded.root)
    try:
        loaded = with_durations(loaded)
    except (UsageError, MachineError) as error:
        yield from ((("model",), finding) for finding in error.findings)
        return
    sizes = recipe_sizes(loaded.recipe)
    found: dict[Finding, list[KeyPath]] = {}
    for size, path in sizes.items():
        try:
            planned(loaded, size)
        except (UsageError, MachineError) as error:
            for finding in error.findings:
                found.setdefault(finding, []).append(path)
    for finding, paths in found.items():
        yield ("model",) if len(paths) == len(sizes) else paths[0], finding


def recipe_sizes(recipe: Recipe) -> dict[Size, KeyPath]:
    """Every size that a recipe names -> the key that names it: base, proxy, the ladders', corner, target.

    Args:
        recipe: with the durations of its sizes.
    """
    sizes, proxy = recipe.sizes, recipe.proxy
    found: dict[Size, KeyPath] = {recipe.base_size: ("sizes", "base")}
    found.setdefault(recipe.proxy_size, ("sizes", "proxy"))
    for axis in AXES:
        for index, value in enumerate(getattr(sizes, LADDERS[axis])):
            shape = {"width": proxy.width, "depth": proxy.depth}
            if axis in MODEL_AXES:
                size = recipe.size(**(shape | {axis: value}))
            else:
                size = replace(recipe.proxy_size, **{axis: value})
            found.setdefault(size, ("sizes", LADDERS[axis], index))
    if sizes.corner:
        found.setdefault(recipe.size(sizes.widths[-1], sizes.depths[-1]), ("sizes", "corner"))
    found.setdefault(recipe.target_size(), ("sizes", "target"))
    return found
