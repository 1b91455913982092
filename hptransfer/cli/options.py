"""Options and arguments that several commands share; those of every command that trains are in `engine.options`."""

from __future__ import annotations

from enum import StrEnum
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
Width = Annotated[int | None, typer.Option(min=1, max=2**20, help="Default: the recipe's target.", show_default=False)]
Depth = Annotated[int | None, typer.Option(min=1, max=2**12, help="Default: the recipe's target.", show_default=False)]
