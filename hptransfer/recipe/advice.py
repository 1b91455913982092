"""What is allowed in a recipe but weakens what it can show; warnings, never errors."""

from __future__ import annotations

from collections.abc import Iterator

from hptransfer.errors import Finding, Place
from hptransfer.recipe.load import LoadedRecipe
from hptransfer.recipe.registered import unread
from hptransfer.recipe.schema import Recipe
from hptransfer.recipe.yaml.gate import KeyPath

LADDER_SPAN = 8
"""a width ladder that spans less shows little: drift hides in the noise of the optima"""
SMALL_BASE = 64
"""below it, widths are far from the limit the rules come from"""
_LEARNING_RATES = ("embedding_learning_rate", "input_learning_rate", "hidden_learning_rate", "readout_learning_rate")


def advice(loaded: LoadedRecipe) -> tuple[Finding, ...]:
    """Warnings on a valid recipe, each at the entry it is about, or at the section that leaves that entry out."""
    return tuple(
        Finding(rule, received, hint, _place(loaded, path), code) for path, code, rule, received, hint in _all(loaded)
    )


def _all(loaded: LoadedRecipe) -> Iterator[tuple[KeyPath, str, str, str, str]]:
    recipe = loaded.recipe
    sizes = recipe.sizes
    for name in ("widths", "depths", "batch_sizes", "tokens"):
        values: tuple[int, ...] = getattr(sizes, name)
        if name == "widths" and values[-1] < LADDER_SPAN * values[0]:
            rule = f"a ladder of widths should span at least a factor of {LADDER_SPAN}"
            received = f"{values[0]} to {values[-1]}, a factor of {values[-1] / values[0]:.3g}"
            hint = f"add a width of {LADDER_SPAN * values[0]} or more"
            yield ("sizes", name), "advice/short-ladder", rule, received, hint
        elif name != "widths" and len(values) == 2:
            what = name.replace("_", " ")
            rule, received = f"a ladder of {what} should have at least 3 entries", f"{values[0]} and {values[1]}"
            hint = f"add {'more tokens' if name == 'tokens' else f'a {what[:-1]}'}: two points cannot show curvature"
            yield ("sizes", name), "advice/short-ladder", rule, received, hint
    if recipe.sizes.base.width < SMALL_BASE:
        rule = f"the base width should be at least {SMALL_BASE}"
        hint = "small widths are far from the limit the rules come from, so their optimum misleads"
        yield ("sizes", "base", "width"), "advice/small-base", rule, str(recipe.sizes.base.width), hint
    if recipe.check.seeds < 2:
        rule, hint = "the check should use at least 2 seeds", "one seed cannot tell drift from noise"
        yield ("check", "seeds"), "advice/single-seed", rule, str(recipe.check.seeds), hint
    for key in unread(recipe.training.optimizer):
        if key in recipe.training.model_fields_set:
            rule = f"`training.{key}` has no effect with {recipe.training.optimizer}"
            yield ("training", key), "advice/no-effect", rule, f"{getattr(recipe.training, key):g}", "delete the line"
    yield from _redundant(recipe)


def _redundant(recipe: Recipe) -> Iterator[tuple[KeyPath, str, str, str, str]]:
    """Searched hyperparameters that can be traded against each other without changing training."""
    space = recipe.tune.space.keys()
    absent = {"gpt": {"input_learning_rate"}}.get(recipe.model.kind, set())
    every = {"learning_rate", *_LEARNING_RATES} - absent
    readout = {"output_multiplier", "readout_init", "readout_learning_rate"}
    for together, left_out, why in (
        (every, "hidden_learning_rate", "`learning_rate` times c is all learning-rate multipliers times c"),
        (readout, "output_multiplier", "its c is `readout_init` times c and `readout_learning_rate` times c (adamw)"),
    ):
        if together <= space:
            rule, names = "searched hyperparameters should not be redundant", ", ".join(sorted(together))
            yield ("tune", "space", left_out), "advice/redundant", rule, names, f"leave `{left_out}` out: {why}"


def _place(loaded: LoadedRecipe, path: KeyPath) -> Place:
    for end in range(len(path), -1, -1):
        if path[:end] in loaded.positions:
            return Place(str(loaded.path), *loaded.positions[path[:end]].key)
    return Place(str(loaded.path))
