"""The commands and their options; each command's module is imported when it is called, so that help stays fast."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from hptransfer.cli.cluster import cluster
from hptransfer.cli.options import (
    DEFAULT_RUNS,
    PROCESSORS,
    Cause,
    Column,
    Depth,
    DryRun,
    Force,
    Format,
    Json,
    LauncherOption,
    LintRules,
    Log,
    MaxFlops,
    MaxTime,
    MaxTrials,
    OnChangeOption,
    OptionalRecipe,
    Processes,
    Quiet,
    RecipeArgument,
    Reference,
    Runs,
    Storage,
    Template,
    TrialMemory,
    TrialTime,
    Width,
    Workers,
    change_of,
    dispatch,
    launch_of,
)
from hptransfer.engine.options import BudgetOptions, TrainingOptions

app = typer.Typer(
    name="hptransfer",
    help="Tune hyperparameters on a small proxy, check that the optimum transfers across width and depth, "
    "and write the configuration of the large run.",
    epilog="Exit status: 0 it holds, 1 it does not hold, 2 it could not be run, 3 no answer, 4 machine or storage.",
    no_args_is_help=True,
    rich_markup_mode=None,  # plain help: fast, and the same in a terminal and a log
    pretty_exceptions_enable=False,  # the boundary prints errors; a traceback with locals could show secrets
    pretty_exceptions_show_locals=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(asked: bool) -> None:
    if asked:
        from hptransfer import __version__

        typer.echo(f"hptransfer {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Options that need no command."""


@app.command()
def init(
    path: Annotated[Path, typer.Argument(metavar="PATH", help="File to write.")] = Path("recipe.yaml"),
    template: Template = "quickstart",
    force: Annotated[bool, typer.Option("--force", help="Overwrite an existing file.")] = False,
) -> None:
    """Write a commented recipe."""
    dispatch("init", path=path, template=str(template), force=force)


@app.command()
def validate(
    recipes: Annotated[
        list[str], typer.Argument(metavar="RECIPE...", help="Files, or names of shipped recipes.", show_default=False)
    ],
    output_format: Format = "text",
    trust: Annotated[
        bool, typer.Option("--trust", help="Build the models too; runs the code that the recipes name.")
    ] = False,
    rules: LintRules = None,
) -> None:
    """Check recipes without training."""
    dispatch("validate", recipes=recipes, output_format=str(output_format), trust=trust, rules=rules or [])


@app.command()
def plan(
    recipe: RecipeArgument,
    width: Width = None,
    depth: Depth = None,
    full: Annotated[bool, typer.Option("--full", help="One row per parameter, repeated blocks included.")] = False,
    as_json: Json = False,
    as_markdown: Annotated[bool, typer.Option("--markdown", help="Print the result as Markdown.")] = False,
    gauge: Annotated[
        str,
        typer.Option(
            help="Where multipliers live: plain (none in forward), multipliers (Table 8 of Tensor Programs V), unit."
        ),
    ] = "plain",
    diff: Annotated[
        tuple[str, str] | None,
        typer.Option(metavar="A B", help="What changes between two parameterizations.", show_default=False),
    ] = None,
) -> None:
    """Show what every parameter gets at a size, and by which rule."""
    dispatch(
        "plan",
        recipe=recipe,
        width=width,
        depth=depth,
        full=full,
        as_json=as_json,
        as_markdown=as_markdown,
        gauge=gauge,
        diff=diff,
    )


@app.command()
def tune(
    recipe: RecipeArgument,
    runs: Runs = DEFAULT_RUNS,
    workers: Workers = PROCESSORS,
    *,
    max_trials: MaxTrials = None,
    max_flops: MaxFlops = None,
    max_time: MaxTime = None,
    trial_time: TrialTime = None,
    trial_memory: TrialMemory = None,
    launcher: LauncherOption = None,
    processes: Processes = None,
    on_change: OnChangeOption = None,
    dry_run: DryRun = False,
    storage: Storage = None,
    log: Log = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Search hyperparameters on the proxy."""
    budget = BudgetOptions(max_trials, max_flops, max_time, trial_time, trial_memory)
    launch, change = launch_of(launcher, processes), change_of(on_change)
    options = TrainingOptions(recipe, runs, workers, budget, launch, change, storage, tuple(log or ()), as_json, quiet)
    dispatch("tune", options=options, dry_run=dry_run)


# over 80 lines: one parameter per option, and three uses (a recipe, a table, a finished run) share the command
@app.command()
def check(
    recipe: OptionalRecipe = None,
    runs: Runs = DEFAULT_RUNS,
    workers: Workers = PROCESSORS,
    *,
    results: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Judge finished runs: .csv, .tsv, .jsonl or .parquet.", show_default=False),
    ] = None,
    size_column: Column = None,
    value_column: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME", help="With --results; repeatable: a slice and a verdict each.", show_default=False
        ),
    ] = None,
    loss_column: Column = None,
    seed_column: Column = None,
    group_column: Column = None,
    where: Annotated[
        list[str] | None,
        typer.Option(metavar="COLUMN=VALUE", help="With --results: keep such rows; repeatable.", show_default=False),
    ] = None,
    transferred: Annotated[
        float | None,
        typer.Option(help="With --results: the value carried over. Default: smallest size's.", show_default=False),
    ] = None,
    target: Annotated[
        int | None, typer.Option(min=1, help="With --results: a size to predict for.", show_default=False)
    ] = None,
    verify: Annotated[
        str | None,
        typer.Option(metavar="LOSS|FILE", help="Compare the target's finished run with the prediction of scale."),
    ] = None,
    sharpness: Annotated[
        bool, typer.Option("--sharpness", help="Also the Hessian's top eigenvalue at every width, trained once more.")
    ] = False,
    noise_scale: Annotated[
        bool, typer.Option("--noise-scale", help="Also the gradient noise scale at the proxy, trained once more.")
    ] = False,
    max_trials: MaxTrials = None,
    max_flops: MaxFlops = None,
    max_time: MaxTime = None,
    trial_time: TrialTime = None,
    trial_memory: TrialMemory = None,
    launcher: LauncherOption = None,
    processes: Processes = None,
    on_change: OnChangeOption = None,
    dry_run: DryRun = False,
    storage: Storage = None,
    log: Log = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Check that the optimum transfers across width and depth: of a recipe, or of a table of finished runs."""
    columns = {
        "size_column": size_column,
        "value_column": value_column or [],
        "loss_column": loss_column,
        "seed_column": seed_column,
        "group_column": group_column,
    }
    table: dict[str, Any] = {**columns, "where": where or [], "transferred": transferred, "target": target}
    if (recipe is None) == (results is None):
        raise typer.BadParameter("give either a RECIPE or --results FILE")
    if (results is not None or verify is not None) and (storage is not None or log):
        raise typer.BadParameter("--storage and --log are for training; --results and --verify train nothing")
    if results is not None and verify is not None:
        raise typer.BadParameter("--verify compares with a RECIPE's prediction, not with --results")
    budget = BudgetOptions(max_trials, max_flops, max_time, trial_time, trial_memory)
    training = {
        **asdict(budget),
        "launcher": launcher,
        "processes": processes,
        "on_change": on_change,
        "sharpness": sharpness,
        "noise_scale": noise_scale,
        "dry_run": dry_run,
    }
    trained = [f"--{name.replace('_', '-')}" for name, value in training.items() if value not in (None, False)]
    if trained and (results is not None or verify is not None):
        raise typer.BadParameter(f"{', '.join(trained)} can be used only where a RECIPE's trials are trained")
    if results is not None:
        dispatch("check_results", results=results, **table, as_json=as_json, quiet=quiet)
    if given := [f"--{name.replace('_', '-')}" for name, value in table.items() if value not in (None, [])]:
        raise typer.BadParameter(f"{', '.join(given)} can be used with --results only")
    if verify is not None:
        dispatch("verify", recipe=recipe, verify=verify, runs=runs, as_json=as_json)
    launch, change = launch_of(launcher, processes), change_of(on_change)
    options = TrainingOptions(
        str(recipe), runs, workers, budget, launch, change, storage, tuple(log or ()), as_json, quiet
    )
    dispatch("check", options=options, sharpness=sharpness, noise_scale=noise_scale, dry_run=dry_run)


@app.command()
def scale(
    recipe: RecipeArgument,
    runs: Runs = DEFAULT_RUNS,
    width: Width = None,
    depth: Depth = None,
    batch_size: Annotated[int | None, typer.Option(min=1, help="Examples per step.", show_default=False)] = None,
    tokens: Annotated[
        int | None, typer.Option(min=1, help="Predicted positions over the whole run.", show_default=False)
    ] = None,
    output: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Default: target.yaml in the run folder.", show_default=False)
    ] = None,
    formats: Annotated[
        list[str] | None,
        typer.Option(
            "--format",
            metavar="NAME[,NAME]",
            help="Write it for other frameworks too, under export/; repeatable (docs/export.md).",
            show_default=False,
        ),
    ] = None,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Write the configuration of the large run."""
    dispatch(
        "scale",
        recipe=recipe,
        runs=runs,
        width=width,
        depth=depth,
        batch_size=batch_size,
        tokens=tokens,
        output=output,
        force=force,
        as_json=as_json,
        formats=formats or [],
    )


@app.command()
def run(
    recipe: RecipeArgument,
    runs: Runs = DEFAULT_RUNS,
    workers: Workers = PROCESSORS,
    *,
    max_trials: MaxTrials = None,
    max_flops: MaxFlops = None,
    max_time: MaxTime = None,
    trial_time: TrialTime = None,
    trial_memory: TrialMemory = None,
    launcher: LauncherOption = None,
    processes: Processes = None,
    on_change: OnChangeOption = None,
    force: Force = False,
    storage: Storage = None,
    log: Log = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Tune, check and scale in one go; run again, it continues."""
    budget = BudgetOptions(max_trials, max_flops, max_time, trial_time, trial_memory)
    launch, change = launch_of(launcher, processes), change_of(on_change)
    options = TrainingOptions(recipe, runs, workers, budget, launch, change, storage, tuple(log or ()), as_json, quiet)
    dispatch("run", options=options, force=force)


@app.command()
def status(
    reference: Reference,
    runs: Runs = DEFAULT_RUNS,
    watch: Annotated[bool, typer.Option("--watch", help="Look again until nobody works there.")] = False,
    as_json: Json = False,
) -> None:
    """Show how far a run is, who works on it and what failed."""
    dispatch("status", reference=reference, runs=runs, watch=watch, as_json=as_json)


@app.command()
def retry(
    reference: Reference,
    runs: Runs = DEFAULT_RUNS,
    cause: Annotated[
        list[Cause] | None, typer.Option(help="Only these; repeatable. Default: all.", show_default=False)
    ] = None,
    storage: Storage = None,
    as_json: Json = False,
) -> None:
    """Requeue failed trials; the next tune, check or run trains them."""
    causes = [each.value.replace("-", " ") for each in cause or []]
    dispatch("retry", reference=reference, runs=runs, cause=causes, storage=storage, as_json=as_json)


@app.command()
def stop(
    reference: Reference,
    runs: Runs = DEFAULT_RUNS,
    now: Annotated[bool, typer.Option("--now", help="Interrupt running trials.")] = False,
    wait: Annotated[bool, typer.Option("--wait", help="Return when it has ended.")] = False,
    quiet: Quiet = False,
) -> None:
    """Ask the process that works in a run folder to finish; the same command continues later."""
    dispatch("stop", reference=reference, runs=runs, now=now, wait=wait, quiet=quiet)


app.add_typer(cluster)
