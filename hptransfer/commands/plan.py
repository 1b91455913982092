"""`hptransfer plan`: every parameter at a size, with its values and the rule behind each."""

from __future__ import annotations

import json
import sys

from rich.console import Console

from hptransfer.errors import UsageError
from hptransfer.models.api import plan_recipe
from hptransfer.parameterization.gauge import gauge_named
from hptransfer.recipe.defaults import defaults
from hptransfer.recipe.load import load_recipe
from hptransfer.report.plan_diff import diff_document, diff_markdown, print_diff
from hptransfer.report.plan_table import plan_as_markdown, plan_document, print_plan
from hptransfer.scaling.plan import wanted_size

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
    chosen = gauge_named(gauge)
    console = Console(file=sys.stdout)
    if not console.is_terminal:
        console.width = _PIPE_WIDTH
    if diff is not None:
        before, after = (plan_recipe(loaded.recipe, size, values, chosen, name) for name in diff)
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
