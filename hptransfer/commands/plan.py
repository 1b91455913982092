"""`hptransfer plan`: every parameter at a size, with its values and the rule behind each."""

from __future__ import annotations

import json
import sys

from rich.console import Console

from hptransfer.errors import UsageError
from hptransfer.parameterization.plan import Plan, plan
from hptransfer.recipe.hyperparameters import defaults
from hptransfer.recipe.load import load_recipe
from hptransfer.recipe.schema import Recipe
from hptransfer.report.plan_table import plan_document, print_plan
from hptransfer.sizes import Size

#: columns of a table that goes into a file or a pipe, where nothing wraps
_PIPE_WIDTH = 240


def plan_command(recipe: str, width: int | None, depth: int | None, full: bool, as_json: bool) -> int:
    """Print the plan of a recipe with the hyperparameters of its `training` section.

    Args:
        recipe: path or name of a recipe.
        width: default: the recipe's target.
        depth: default: the recipe's target.
        full: one row per parameter, instead of one per group of equal layers.
        as_json: print JSON instead of a table.

    Returns:
        0.

    Raises:
        RecipeError: the recipe has faults.
        UsageError: the model does not exist at this size.
    """
    loaded = load_recipe(recipe)
    size = wanted_size(loaded.recipe, width, depth)
    result = plan_recipe(loaded.recipe, size, defaults(loaded.recipe.training))
    if as_json:
        print(json.dumps(plan_document(result, full=full), indent=2, allow_nan=False))
        return 0
    console = Console(file=sys.stdout)
    if not console.is_terminal:
        console.width = _PIPE_WIDTH
    print_plan(result, console, full=full)
    return 0


def wanted_size(
    recipe: Recipe, width: int | None, depth: int | None, batch_size: int | None = None, tokens: int | None = None
) -> Size:
    """The recipe's target with what the caller changes.

    Raises:
        UsageError: a value below 1.
    """
    target = recipe.sizes.target
    changed = {"width": width, "depth": depth, "batch_size": batch_size, "tokens": tokens}
    for name, value in changed.items():
        if value is not None and value < 1:
            raise UsageError(f"`{name} >= 1` must hold", received=f"{name}={value}")
    return recipe.size(
        width or target.width,
        depth or target.depth,
        batch_size=batch_size or target.batch_size,
        tokens=tokens or target.tokens,
    )


def plan_recipe(recipe: Recipe, size: Size, hyperparameters: dict[str, float]) -> Plan:
    """The plan of a recipe's model at a size, for base-size hyperparameters; the model is built on the meta device."""
    from hptransfer.models.reading import read_parameters

    base = recipe.size(recipe.sizes.base.width, recipe.sizes.base.depth)
    parameters = read_parameters(recipe.model, base, size)
    return plan(recipe.parameterization, base, size, parameters, hyperparameters, optimizer=recipe.training.optimizer)
