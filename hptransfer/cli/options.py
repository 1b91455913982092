"""Options and arguments that several commands share; those of every command that trains are in `engine.options`."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from hptransfer.engine.options import DEFAULT_RUNS, Json, Quiet, RecipeArgument, Runs, Storage

__all__ = [
    "DEFAULT_RUNS",
    "Column",
    "Columns",
    "CostBound",
    "Depth",
    "DeviationsBound",
    "DriftBound",
    "DryRun",
    "Force",
    "Json",
    "Lease",
    "Noise",
    "Quiet",
    "RecipeArgument",
    "Reference",
    "RegretBound",
    "Runs",
    "SharedStorage",
    "Storage",
    "TimeSteps",
    "Transferred",
    "UseChoice",
    "Where",
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
Columns = Annotated[
    list[str] | None,
    typer.Option(metavar="NAME", help="Repeatable: a slice and a verdict each.", show_default=False),
]
Where = Annotated[
    list[str] | None,
    typer.Option(metavar="COLUMN=VALUE", help="Keep such rows; repeatable.", show_default=False),
]
Transferred = Annotated[
    float | None, typer.Option(help="The value carried over. Default: smallest size's.", show_default=False)
]
CostBound = Annotated[
    str | None,
    typer.Option(metavar="DOUBLINGS|off", help="That a value may cost. Default: 0.25.", show_default=False),
]
DeviationsBound = Annotated[
    float | None, typer.Option(help="Deviations between seeds that it may cost.", show_default=False)
]
DriftBound = Annotated[float | None, typer.Option(help="Octaves per doubling. Default: any.", show_default=False)]
RegretBound = Annotated[float | None, typer.Option(help="Fraction of the loss. Default: any.", show_default=False)]
Noise = Annotated[float | None, typer.Option(help="Of one run, where it is known.", show_default=False)]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Print what it would take, train nothing else.")]
TimeSteps = Annotated[bool, typer.Option("--time-steps", help="Dry run that trains 20 real steps for time and memory.")]
Force = Annotated[bool, typer.Option("--force", help="Write even when the check failed or is missing.")]
Width = Annotated[int | None, typer.Option(min=1, max=2**20, help="Default: the recipe's target.", show_default=False)]
Depth = Annotated[int | None, typer.Option(min=1, max=2**12, help="Default: the recipe's target.", show_default=False)]
