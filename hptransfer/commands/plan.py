"""`hptransfer plan`: every parameter at a size, with its values and the rule behind each."""

from __future__ import annotations

import json
import sys
from typing import Annotated

import typer

from hptransfer.cli.options import DEFAULT_RUNS, Depth, Json, RecipeArgument, Runs, Width, target_options
from hptransfer.errors import UsageError
from hptransfer.parameterization.gauge import GAUGES, gauge_named

#: columns of a table that goes into a file or a pipe, where nothing wraps
_PIPE_WIDTH = 240


def plan_command(
    recipe: RecipeArgument,
    width: Width = None,
    depth: Depth = None,
    full: Annotated[bool, typer.Option("--full", help="One row per parameter, repeated blocks included.")] = False,
    as_json: Json = False,
    as_markdown: Annotated[bool, typer.Option("--markdown", help="Print the result as Markdown.")] = False,
    gauge: Annotated[
        str | None,
        typer.Option(
            help="Where multipliers live, by default where the recipe has them. "
            + "; ".join(map(": ".join, GAUGES.items()))
            + ".",
            show_default=False,
        ),
    ] = None,
    diff: Annotated[
        tuple[str, str] | None,
        typer.Option(metavar="A B", help="What changes between two parameterizations.", show_default=False),
    ] = None,
    runs: Runs = DEFAULT_RUNS,
) -> int:
    """Show what every parameter gets at a size, and by which rule.

    The hyperparameters are those of the recipe's `training` section, also where others were tuned; `scale` uses those.

    Returns:
        0.

    Raises:
        RecipeError: the recipe has faults.
        UsageError: the model does not exist at this size, or an option does not apply to it.
    """
    from rich.console import Console

    from hptransfer.engine.durations import with_durations
    from hptransfer.engine.planned import planned
    from hptransfer.models.planning import plan_recipe
    from hptransfer.recipe.defaults import defaults
    from hptransfer.recipe.load import load_recipe
    from hptransfer.registry import look_in
    from hptransfer.report.plan_diff import diff_document, diff_markdown, print_diff
    from hptransfer.report.plan_table import describe_tuned, plan_as_markdown, plan_document, print_plan
    from hptransfer.storage.run_folder import RunFolder

    if as_json and as_markdown:
        raise UsageError("only one of `--json` and `--markdown` can be printed", received="both")
    loaded = load_recipe(recipe)
    look_in(loaded.root)
    shape = (width or loaded.recipe.sizes.target.width, depth or loaded.recipe.sizes.target.depth)
    loaded = with_durations(loaded, further=[shape])
    size = loaded.recipe.target_size(width, depth)
    chosen = None if gauge is None else gauge_named(gauge)
    console = Console(file=sys.stdout)
    if not console.is_terminal:
        console.width = _PIPE_WIDTH
    if diff is not None:
        values = defaults(loaded.recipe.training)
        before, after = (plan_recipe(loaded.recipe, size, values, chosen, name) for name in diff)
        if as_json:
            print(json.dumps(diff_document(before, after), indent=2, allow_nan=False))
        elif as_markdown:
            print(diff_markdown(before, after), end="")
        else:
            print_diff(before, after, console)
        return 0
    tuned = RunFolder(runs / loaded.recipe.name).tuned
    if tuned.exists():
        print(describe_tuned(tuned, recipe, target_options(runs, width=width, depth=depth)), file=sys.stderr)
    result = planned(loaded, size, chosen)
    if as_json:
        print(json.dumps(plan_document(result, full=full), indent=2, allow_nan=False))
    elif as_markdown:
        print(plan_as_markdown(result, full=full), end="")
    else:
        print_plan(result, console, full=full)
    return 0
