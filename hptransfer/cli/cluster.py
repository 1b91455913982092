"""Commands for many machines: studies in a database, workers, a Slurm script (docs/cluster.md)."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hptransfer.cli.options import (
    DEFAULT_RUNS,
    Json,
    LauncherOption,
    Leading,
    Processes,
    Quiet,
    RecipeArgument,
    Runs,
    SharedStorage,
    dispatch,
)

#: added to the program's commands as they are
cluster = typer.Typer(rich_markup_mode=None)
study_app = typer.Typer(help="Studies that many machines share.", no_args_is_help=True, rich_markup_mode=None)
cluster.add_typer(study_app, name="study")


@study_app.command("init")
def study_init(
    recipe: RecipeArgument,
    storage: SharedStorage = None,
    update: Annotated[
        bool, typer.Option("--update", help="Let a study that exists follow this recipe and these versions.")
    ] = False,
) -> None:
    """Make a study in a PostgreSQL database, once; workers and coordinators join it."""
    dispatch("study", recipe=recipe, storage=storage, update=update)


@study_app.command("status")
def study_status(recipe: RecipeArgument, storage: SharedStorage = None, as_json: Json = False) -> None:
    """Show what waits, who works on what, and whether somebody coordinates."""
    dispatch("study_status", recipe=recipe, storage=storage, as_json=as_json)


@cluster.command()
def worker(
    recipe: RecipeArgument,
    storage: SharedStorage = None,
    runs: Runs = DEFAULT_RUNS,
    *,
    max_trials: Annotated[
        int | None, typer.Option(min=1, help="Stop after as many trials.", show_default=False)
    ] = None,
    idle_exit: Annotated[
        float | None,
        typer.Option(min=0, metavar="SECONDS", help="Stop after as long without work. Default: never."),
    ] = None,
    lease: Annotated[
        float,
        typer.Option(min=1, max=86400, metavar="SECONDS", help="A worker silent for longer loses its trial."),
    ] = 60.0,
    lead: Annotated[
        Leading | None,
        typer.Option(help="Coordinate with this command whenever nobody does; stop when it ended.", show_default=False),
    ] = None,
    workers: Annotated[int, typer.Option(min=1, max=1024, help="With --lead: trials in the queue at a time.")] = 4,
    launcher: LauncherOption = None,
    processes: Processes = None,
    quiet: Quiet = False,
) -> None:
    """Train trials of a shared study until there is nothing left to do."""
    dispatch(
        "worker",
        recipe=recipe,
        storage=storage,
        runs=runs,
        max_trials=max_trials,
        idle_exit=idle_exit,
        lease=lease,
        lead=None if lead is None else lead.value,
        workers=workers,
        launcher=None if launcher is None else launcher.value,
        processes=processes,
        quiet=quiet,
    )


@cluster.command()
def slurm(
    recipe: RecipeArgument,
    storage: SharedStorage = None,
    runs: Runs = DEFAULT_RUNS,
    workers: Annotated[int, typer.Option(min=1, max=1024, help="Workers, one per task of the array.")] = 16,
    time: Annotated[str, typer.Option(metavar="LIMIT", help="Time limit of a task; it requeues itself.")] = "04:00:00",
    cpus: Annotated[int, typer.Option(min=1, max=256, help="Processors, and threads, of a worker.")] = 1,
    lead: Annotated[Leading, typer.Option(help="What the workers work on together.")] = Leading.RUN,
    lease: Annotated[
        float, typer.Option(min=1, max=86400, metavar="SECONDS", help="A worker silent for longer loses its trial.")
    ] = 60.0,
    sbatch: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help="Further option of sbatch; repeatable.", show_default=False),
    ] = None,
    output: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Default: array.sbatch in the run folder.", show_default=False)
    ] = None,
) -> None:
    """Write a Slurm array script of workers."""
    dispatch(
        "slurm",
        recipe=recipe,
        storage=storage,
        runs=runs,
        workers=workers,
        time=time,
        cpus=cpus,
        lead=lead.value,
        lease=lease,
        sbatch=sbatch or [],
        output=output,
    )
