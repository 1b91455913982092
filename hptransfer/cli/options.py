"""Options and arguments that several commands share; those of every command that trains are in `engine.options`."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from hptransfer.engine.options import DEFAULT_RUNS, Json, Quiet, RecipeArgument, Runs, Storage

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
    "TimeSteps",
    "UseChoice",
    "Width",
    "format_names",
    "target_options",
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
