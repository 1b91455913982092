"""What the command line says to the commands that train, as one value; a field here is an option of all of them.

An option is written once: its name, type, default and help stand at the field, and `cli.registration` makes a parameter
of every such command of it. Nothing heavy is imported, for a fast help.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from hptransfer.registry import Registry

#: how many processors this process may use
PROCESSORS = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
#: the folder of run folders
DEFAULT_RUNS = Path("runs")
#: what trials and results are logged to; `report.tracking` says what an entry is
TRACKERS: Registry[object] = Registry("tracker", "hptransfer.report.trackers", "open_sink")


class TrainingCommand(StrEnum):
    """Commands that train trials, and so can coordinate a shared study."""

    TUNE = "tune"
    CHECK = "check"
    RUN = "run"


class Launcher(StrEnum):
    """What starts the processes of one trial: the worker trains in itself, or starts several of them."""

    NONE = "none"
    TORCHRUN = "torchrun"


class OnChange(StrEnum):
    """Which recipe holds where finished trials would not be used any more: as it is now, or as it was."""

    NEW = "new"
    KEEP = "keep"


# typer takes choices as enumerations; this one is made of the registry's names
if TYPE_CHECKING:
    TrackerName: TypeAlias = str
else:
    TrackerName = StrEnum("Tracker", {name: name for name in TRACKERS.names})


RecipeArgument = Annotated[
    str, typer.Argument(metavar="RECIPE", help="A recipe's file, or the name of a shipped recipe.", show_default=False)
]
Runs = Annotated[Path, typer.Option(metavar="DIR", help="Folder of run folders; results go to DIR/<name>/.")]
Storage = Annotated[
    str | None,
    typer.Option(
        metavar="URL",
        help="PostgreSQL database where `hptransfer worker`s train; password from the environment (docs/cluster.md).",
        show_default=False,
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress, only the result.")]


@dataclass(frozen=True, slots=True)
class BudgetOptions:
    """What the command line says about the budget, as written; each overrides its key of the recipe's `budget`.

    Attributes:
        max_trials: finished trials of the recipe in all, at least 1.
        max_flops: floating point operations of its trials in all.
        max_time: wall time of the command as text, "30m" or "2h".
        trial_time: wall time of a trial as text, "90s" or "10m".
        trial_memory: resident memory of a trial as text, "4GB".
    """

    max_trials: Annotated[
        int | None, typer.Option(min=1, help="Finished trials of this recipe in all. Overrides `budget.trials`.")
    ] = None
    max_flops: Annotated[
        float | None, typer.Option(help="FLOPs of this recipe's trials in all. Overrides `budget.flops`.")
    ] = None
    max_time: Annotated[
        str | None, typer.Option(metavar="30m|2h", help="Wall time of this command. Overrides `budget.time`.")
    ] = None
    trial_time: Annotated[
        str | None, typer.Option(metavar="90s|10m", help="Wall time of a trial. Overrides `budget.trial_time`.")
    ] = None
    trial_memory: Annotated[
        str | None, typer.Option(metavar="4GB", help="Memory of a trial. Overrides `budget.trial_memory`.")
    ] = None


@dataclass(frozen=True, slots=True)
class Launch:
    """How the processes of one trial are started; each attribute overrides the recipe's `training.processes`.

    Attributes:
        launcher: what starts them; None starts several with torchrun.
        processes: number of processes that train one trial together, at least 1.
        per_gpu: trials that share a GPU, at least 1.
    """

    launcher: Annotated[
        Launcher | None,
        typer.Option(
            help="What starts a trial's processes. Default: torchrun where there are several.", show_default=False
        ),
    ] = None
    processes: Annotated[
        int | None,
        typer.Option(
            min=1, max=1024, help="Processes that train one trial. Overrides `training.processes`.", show_default=False
        ),
    ] = None
    per_gpu: Annotated[
        int | None,
        typer.Option(
            min=1, max=64, help="Trials that share a GPU. Overrides `training.trials_per_device`.", show_default=False
        ),
    ] = None


@dataclass(frozen=True, slots=True)
class TrainingOptions:
    """What `tune`, `check` and `run` have in common.

    Attributes:
        recipe: path or name of a recipe.
        runs: the folder of run folders.
        workers: trials at a time, at least 1.
        budget: limits of the command and of each trial.
        launch: how the processes of each trial are started.
        on_change: which recipe holds where finished trials do not belong to it as it is now; None refuses.
        storage: address of a database whose workers train; None to train here.
        log: names of trackers that trials and results are logged to; None for no tracker.
        as_json: print the result as JSON.
        quiet: print no progress to stderr, only the result.
    """

    recipe: RecipeArgument
    runs: Runs = DEFAULT_RUNS
    workers: Annotated[
        int, typer.Option(min=1, max=1024, help="Trials at a time, each in a process with one thread.")
    ] = PROCESSORS
    budget: BudgetOptions = BudgetOptions()
    launch: Launch = Launch()
    on_change: Annotated[
        OnChange | None,
        typer.Option(help="Where trials do not belong to the changed recipe: go on with it, or as before."),
    ] = None
    storage: Storage = None
    log: Annotated[
        list[TrackerName] | None,
        typer.Option(metavar="TRACKER", help="Log trials and results to it too; repeatable.", show_default=False),
    ] = None
    as_json: Json = False
    quiet: Quiet = False
