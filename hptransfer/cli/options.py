"""What several commands have in common: their options, and the way to the module that does the work."""

from __future__ import annotations

import os
from collections.abc import Callable
from enum import StrEnum
from importlib import import_module
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias

import typer

from hptransfer.cli.boundary import guarded
from hptransfer.engine.options import Launch, OnChange, TrainingOptions
from hptransfer.recipe.library import templates
from hptransfer.report.findings import FORMATS

# typer takes choices as enumerations; these are made of names that are known without importing what they name
if TYPE_CHECKING:
    _FormatName: TypeAlias = str
    _TemplateName: TypeAlias = str
else:
    _FormatName = StrEnum("Format", {name: name for name in FORMATS.names})
    _TemplateName = StrEnum("Template", {name: name for name in templates()})


class Tracker(StrEnum):
    """Where `--log` can log to."""

    TENSORBOARD = "tensorboard"
    WANDB = "wandb"
    MLFLOW = "mlflow"


class Launcher(StrEnum):
    """What starts the processes of one trial."""

    NONE = "none"
    TORCHRUN = "torchrun"


class Leading(StrEnum):
    """Commands with which a worker can coordinate a study."""

    TUNE = "tune"
    CHECK = "check"
    RUN = "run"


class Cause(StrEnum):
    """Why trials failed that would fail again."""

    ERROR = "error"
    OUT_OF_MEMORY = "out-of-memory"
    TIMEOUT = "timeout"


class Change(StrEnum):
    """Which recipe holds where finished trials belong to another version of it."""

    NEW = "new"
    KEEP = "keep"


#: how many processors this process may use
PROCESSORS = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
DEFAULT_RUNS = Path("runs")

RecipeArgument = Annotated[
    str, typer.Argument(metavar="RECIPE", help="A recipe's file, or the name of a shipped recipe.", show_default=False)
]
OptionalRecipe = Annotated[
    str | None,
    typer.Argument(metavar="RECIPE", help="A recipe's file, or the name of a shipped recipe.", show_default=False),
]
Column = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="With --results. Default: inferred where obvious.", show_default=False),
]
Runs = Annotated[Path, typer.Option(metavar="DIR", help="Folder of run folders; results go to DIR/<name>/.")]
Workers = Annotated[int, typer.Option(min=1, max=1024, help="Trials at a time, each in a process with one thread.")]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress, only the result.")]
Template = Annotated[_TemplateName, typer.Option(help="What to start from.")]
Format = Annotated[_FormatName, typer.Option("--format", help="How to print findings.")]
LintRules = Annotated[
    list[str] | None,
    typer.Option(
        "--rules",
        metavar="MODULE:ATTRIBUTE",
        help="Lint rules of your own; repeatable (docs/lint.md).",
        show_default=False,
    ),
]
Storage = Annotated[
    str | None,
    typer.Option(
        metavar="URL",
        help="PostgreSQL database where `hptransfer worker`s train; password from the environment (docs/cluster.md).",
        show_default=False,
    ),
]
Log = Annotated[
    list[Tracker] | None,
    typer.Option(metavar="TRACKER", help="Log trials and results to it too; repeatable.", show_default=False),
]
SharedStorage = Annotated[
    str | None,
    typer.Option(
        metavar="URL",
        help="postgresql://USER@HOST:PORT/DATABASE, without a password. Default: HPTRANSFER_STORAGE.",
        show_default=False,
    ),
]
MaxTrials = Annotated[
    int | None, typer.Option(min=1, help="Finished trials of this recipe in all. Overrides `budget.trials`.")
]
MaxFlops = Annotated[float | None, typer.Option(help="FLOPs of this recipe's trials in all. Overrides `budget.flops`.")]
MaxTime = Annotated[
    str | None, typer.Option(metavar="30m|2h", help="Wall time of this command. Overrides `budget.time`.")
]
TrialTime = Annotated[
    str | None, typer.Option(metavar="90s|10m", help="Wall time of a trial. Overrides `budget.trial_time`.")
]
TrialMemory = Annotated[
    str | None, typer.Option(metavar="4GB", help="Memory of a trial. Overrides `budget.trial_memory`.")
]
LauncherOption = Annotated[
    Launcher | None,
    typer.Option(
        help="What starts a trial's processes. Default: torchrun where there are several.", show_default=False
    ),
]
Processes = Annotated[
    int | None,
    typer.Option(
        min=1, max=1024, help="Processes that train one trial. Overrides `training.processes`.", show_default=False
    ),
]
OnChangeOption = Annotated[
    Change | None,
    typer.Option(help="Where trials do not belong to the changed recipe: go on with it, or as before."),
]
Reference = Annotated[
    str, typer.Argument(metavar="RECIPE|RUN", help="A recipe, or a run folder's path or name.", show_default=False)
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Print what it would take, train nothing else.")]
Force = Annotated[bool, typer.Option("--force", help="Write even when the check failed or is missing.")]
Width = Annotated[int | None, typer.Option(min=1, max=2**20, help="Default: the recipe's target.", show_default=False)]
Depth = Annotated[int | None, typer.Option(min=1, max=2**12, help="Default: the recipe's target.", show_default=False)]


def launch_of(launcher: Launcher | None, processes: int | None) -> Launch:
    """What the command line says about a trial's processes."""
    named: Literal["none", "torchrun"] = "torchrun" if launcher is Launcher.TORCHRUN else "none"
    return Launch(None if launcher is None else named, processes)


def change_of(change: Change | None) -> OnChange | None:
    """What the command line says about a changed recipe."""
    named: OnChange = "new" if change is Change.NEW else "keep"
    return None if change is None else named


def dispatch(command: str, options: TrainingOptions | None = None, **further: object) -> None:
    """Import `hptransfer.commands.<command>`, call `<command>_command`, exit with the status it returns.

    Args:
        command: its name.
        options: the first argument of a command that trains; None for the others.
        further: arguments by name.
    """

    def call() -> int:
        if options is not None and options.storage is None and not further.get("dry_run"):
            # before the command's modules: its workers load theirs, torch among them, at the same time
            start: Callable[..., None] = import_module("hptransfer.engine.prestart").start_workers
            start(command, options.recipe, options.runs, options.workers)
        function: Callable[..., int] = getattr(import_module(f"hptransfer.commands.{command}"), f"{command}_command")
        if options is None:
            return function(**further)
        if options.storage is None:
            return function(options, **further)
        from hptransfer.cluster.queue_pool import run_through_restarts

        return run_through_restarts(lambda: function(options, **further))

    raise typer.Exit(guarded(call, "the same command" if options is None else _named(command, options)))


def _named(command: str, options: TrainingOptions) -> str:
    """The command as one would type it, without what may hold a secret."""
    runs = "" if options.runs == DEFAULT_RUNS else f" --runs {quote(str(options.runs))}"
    return f"`hptransfer {command} {quote(options.recipe)}{runs}`, with its other options,"
