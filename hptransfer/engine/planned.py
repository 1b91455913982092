"""The plan of a recipe at a size: what `hptransfer plan` prints, and what the level `shapes` of `validate` asks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

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
        yield cause(loaded, next(iter(sizes))) if len(paths) == len(sizes) else paths[0], finding


def cause(loaded: LoadedRecipe, size: Size) -> KeyPath:
    """The key without which a recipe that cannot be planned could be; the model where no single one is the cause.

    Args:
        loaded: a recipe that cannot be planned at any size, with the durations of its sizes.
        size: one of them, for example the base.
    """
    for group, tries in _without_one_key(loaded.recipe):
        mended = [path for path, recipe in tries if _plans(replace(loaded, recipe=recipe), size)]
        if mended:
            return mended[0] if len(mended) == 1 else group
    return ("model",)


def _plans(loaded: LoadedRecipe, size: Size) -> bool:
    try:
        planned(loaded, size)
    except (UsageError, MachineError):
        return False
    return True


def _without_one_key(recipe: Recipe) -> Iterator[tuple[KeyPath, list[tuple[KeyPath, Recipe]]]]:
    """Groups of keys that decide how a model is built and read, each with the recipe as it is without the key."""

    def changed(section: str, **values: Any) -> Recipe:
        return recipe.model_copy(update={section: getattr(recipe, section).model_copy(update=values)})

    for name in ("arguments", "settings", "roles"):
        entries: dict[str, Any] = getattr(recipe.model, name, {})
        fewer = {key: {each: value for each, value in entries.items() if each != key} for key in entries}
        tries = [(("model", name, key), changed("model", **{name: rest})) for key, rest in fewer.items()]
        yield ("model", name), [*tries[:_MOST_TRIED]]
    for section in ("parameterization", "model"):
        present = getattr(recipe, section)
        optional = [name for name, field in type(present).model_fields.items() if not field.is_required()]
        for name in optional:
            if name in present.model_fields_set:
                default = type(present).model_fields[name].get_default(call_default_factory=True)
                yield (section, name), [((section, name), changed(section, **{name: default}))]
    if recipe.training.optimizer != "adamw":
        path = ("training", "optimizer")
        yield path, [(path, changed("training", optimizer="adamw"))]


#: entries of a mapping that are left out one by one to find the one that keeps a model from being planned
_MOST_TRIED = 16


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
