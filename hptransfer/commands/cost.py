"""`hptransfer cost`: what tuning, checking and the target take, from arithmetic alone."""

from __future__ import annotations

from typing import Annotated

import typer

from hptransfer.cli.options import DEFAULT_RUNS, Json, RecipeArgument, Runs


def cost_command(
    recipe: RecipeArgument,
    runs: Runs = DEFAULT_RUNS,
    flops_per_second: Annotated[
        float | None,
        typer.Option(
            metavar="4e14", help="Speed of a run. Default: what finished trials achieved.", show_default=False
        ),
    ] = None,
    examples_at_once: Annotated[
        int | None,
        typer.Option(
            min=1, help="Of a batch, for the memory of activations. Default: the whole batch.", show_default=False
        ),
    ] = None,
    parameters: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SIZE=N",
            help="Of a model that the trainer builds: its parameters at a size, as w64-d2=41000; repeatable.",
            show_default=False,
        ),
    ] = None,
    as_json: Json = False,
) -> int:
    """Show what tuning, checking and the target take, as shares of the target and of tuning there; nothing is trained.

    Returns:
        0.

    Raises:
        RecipeError: the recipe has faults.
        UsageError: an option cannot be used, or the model does not exist at one of the sizes.
        MachineError: the run folder cannot be read.
    """
    from hptransfer.costing.estimate import estimate_costs, parse_parameters
    from hptransfer.engine.durations import with_durations
    from hptransfer.recipe.load import load_recipe
    from hptransfer.report.cost import show_cost
    from hptransfer.storage.run_folder import RunFolder

    loaded = load_recipe(recipe)
    loaded = with_durations(loaded, cache=RunFolder(runs / loaded.recipe.name).readings)
    found = estimate_costs(
        loaded,
        runs,
        flops_per_second=flops_per_second,
        examples=examples_at_once,
        parameters=parse_parameters(parameters or ()),
    )
    return show_cost(found, as_json=as_json)
