"""`hptransfer plan`: every parameter at a size, with its values and the rule behind each."""

from __future__ import annotations

import json
import sys

from rich.console import Console

from hptransfer.errors import UsageError
from hptransfer.parameterization.gauge import GAUGES, Gauge
from hptransfer.parameterization.plan import Plan
from hptransfer.parameterization.tables import Parameterization, ParameterizationSpec
from hptransfer.recipe.hyperparameters import defaults
from hptransfer.recipe.load import load_recipe
from hptransfer.recipe.schema import Recipe
from hptransfer.report.plan_diff import diff_document, diff_markdown, print_diff
from hptransfer.report.plan_table import plan_as_markdown, plan_document, print_plan
from hptransfer.sizes import Size

#: columns of a table that goes into a file or a pipe, where nothing wraps
_PIPE_WIDTH = 240


def plan_command(
    recipe: str,
    width: int | None,
    depth: int | None,
    full: bool,
    as_json: bool,
    as_markdown: bool = False,
    gauge: str = "plain",
    diff: tuple[str, str] | None = None,
) -> int:
    """Print the plan of a recipe with the hyperparameters of its `training` section.

    Args:
        recipe: path or name of a recipe.
        width: default: the recipe's target.
        depth: default: the recipe's target.
        full: one row per parameter, instead of one per group of equal layers.
        as_json: print JSON instead of a table.
        as_markdown: print Markdown instead of a table.
        gauge: where multipliers live, one of `gauge.GAUGES`; the column `forward` says what must stay there.
        diff: names of two parameterizations to compare, instead of the recipe's plan.

    Returns:
        0.

    Raises:
        RecipeError: the recipe has faults.
        UsageError: the model does not exist at this size, or an option is not possible.
    """
    if as_json and as_markdown:
        raise UsageError("only one of `--json` and `--markdown` can be printed", received="both")
    loaded = load_recipe(recipe)
    size = wanted_size(loaded.recipe, width, depth)
    values = defaults(loaded.recipe.training)
    chosen: Gauge | None = next((known for known in GAUGES if known == gauge), None)
    if chosen is None:
        raise UsageError(f"the gauge must be one of {', '.join(GAUGES)}", received=gauge)
    console = Console(file=sys.stdout)
    if not console.is_terminal:
        console.width = _PIPE_WIDTH
    if diff is not None:
        before, after = (_with(loaded.recipe, name, size, values, chosen) for name in diff)
        if as_json:
            print(json.dumps(diff_document(before, after), indent=2, allow_nan=False))
        elif as_markdown:
            print(diff_markdown(before, after), end="")
        else:
            print_diff(before, after, console)
        return 0
    result = plan_recipe(loaded.recipe, size, values, chosen)
    if as_json:
        print(json.dumps(plan_document(result, full=full), indent=2, allow_nan=False))
    elif as_markdown:
        print(plan_as_markdown(result, full=full), end="")
    else:
        print_plan(result, console, full=full)
    return 0


def _with(recipe: Recipe, name: str, size: Size, values: dict[str, float], gauge: Gauge) -> Plan:
    """The plan under a parameterization; the recipe's own keeps its alpha and its options, others have defaults."""
    other = None if recipe.parameterization.name == name else Parameterization(name)
    return plan_recipe(recipe, size, values, gauge, other)


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


def plan_recipe(
    recipe: Recipe,
    size: Size,
    hyperparameters: dict[str, float],
    gauge: Gauge = "plain",
    parameterization: ParameterizationSpec | None = None,
) -> Plan:
    """The plan of a recipe's model at a size, for base-size hyperparameters; the model is built on the meta device.

    Args:
        recipe: gives model, base, optimizer and, where none is named, the parameterization.
        size: planned for.
        hyperparameters: base values.
        gauge: where multipliers live.
        parameterization: another than the recipe's, with its default options.

    Raises:
        UsageError: the model cannot be read, or a rule is not known.
    """
    from hptransfer.models.api import options_of, plan_reading
    from hptransfer.models.shape_reading import read_recipe_model

    base = recipe.size(recipe.sizes.base.width, recipe.sizes.base.depth)
    reading = read_recipe_model(recipe.model, base, size)
    applied = plan_reading(
        parameterization or recipe.parameterization,
        base,
        size,
        reading,
        hyperparameters,
        optimizer=recipe.training.optimizer,
        gauge=gauge,
        options=options_of(recipe.parameterization) if parameterization is None else None,
    )
    return applied.whole_plan
