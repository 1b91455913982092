"""Options and arguments that several commands share; those of every command that trains are in `engine.options`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hptransfer.engine.options import DEFAULT_RUNS, Json, Quiet, RecipeArgument, Runs, Storage

if TYPE_CHECKING:
    from hptransfer.report.findings.base import Checked

__all__ = [
    "DEFAULT_RUNS",
    "Column",
    "Depth",
    "DryRun",
    "Force",
    "Json",
    "Lease",
    "Quiet",
    "RecipeArgument",
    "Reference",
    "Runs",
    "SharedStorage",
    "Storage",
    "Summary",
    "TimeSteps",
    "UseChoice",
    "Width",
    "format_names",
    "target_options",
    "write_summary",
]


class UseChoice(StrEnum):
    """What a target is trained with."""

    TUNED = "tuned"
    PREDICTED = "predicted"


Reference = Annotated[
    str, typer.Argument(metavar="RECIPE|RUN", help="A recipe, or a run folder's path or name.", show_default=False)
]
SharedStorage = Annotated[
    str | None,
    typer.Option(
        metavar="URL",
        help="postgresql://USER@HOST:PORT/DATABASE, without a password. Default: HPTRANSFER_STORAGE.",
        show_default=False,
    ),
]
Lease = Annotated[
    float, typer.Option(min=1, max=86400, metavar="SECONDS", help="A worker silent for longer loses its trial.")
]
Column = Annotated[
    str | None, typer.Option(metavar="NAME", help="Default: inferred where obvious.", show_default=False)
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Print what it would take, train nothing else.")]
TimeSteps = Annotated[bool, typer.Option("--time-steps", help="Dry run that trains 20 real steps for time and memory.")]
Force = Annotated[bool, typer.Option("--force", help="Write even when the check failed or is missing.")]
Overwrite = Annotated[
    bool, typer.Option("--overwrite", help="Replace files in export/ that were edited, or that no export wrote.")
]
Use = Annotated[UseChoice, typer.Option(help="`predicted`: the optimum that the ladder's path predicts there.")]
Width = Annotated[int | None, typer.Option(min=1, max=2**20, help="Default: the recipe's target.", show_default=False)]
Depth = Annotated[int | None, typer.Option(min=1, max=2**12, help="Default: the recipe's target.", show_default=False)]

Summary = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Append a summary in Markdown; default: GITHUB_STEP_SUMMARY with `--format github`.",
        show_default=False,
    ),
]


def write_summary(results: Sequence[Checked], given: Path | None, output_format: str) -> None:
    """Appends the summary of a check where one was asked for, or where GitHub says that it shows one.

    Args:
        results: one per file, in the order in which the files were named.
        given: value of `--summary`, if there is one.
        output_format: in which findings are printed; with `github` the summary goes where the runner says.

    Raises:
        UsageError: the file cannot be written.
        MachineError: the disk is full.
    """
    said = os.environ.get("GITHUB_STEP_SUMMARY") if output_format == "github" else None
    path = given or (Path(said) if said else None)
    if path is not None:
        from hptransfer.report.summary import append_summary

        append_summary(results, path)


def format_names(given: Sequence[str] | None) -> tuple[str, ...]:
    """Names of exporters, each once, in the order in which they were given.

    Args:
        given: values of `--format`, each perhaps several names with commas between them.
    """
    return tuple(dict.fromkeys(name.strip() for each in given or () for name in each.split(",")))


def target_options(
    runs: Path, output: Path | None = None, formats: Sequence[str] = (), **sizes: int | None
) -> list[str]:
    """The options of `scale` that name a target, as a user writes them.

    Args:
        runs: the folder of run folders.
        output: where the target's file goes; None for the run folder.
        formats: names of further exporters.
        sizes: axis -> the target's size on it; None for the recipe's.
    """
    found = [("--runs", str(runs))] if runs != DEFAULT_RUNS else []
    found += [(f"--{name.replace('_', '-')}", str(size)) for name, size in sizes.items() if size is not None]
    found += [("--output", str(output))] if output is not None else []
    found += [("--format", ",".join(formats))] if formats else []
    return [word for pair in found for word in pair]
