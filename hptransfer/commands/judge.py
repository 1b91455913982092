"""`hptransfer judge`: the verdict over a table of finished runs, or over a coordinate check of any training."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hptransfer.cli.options import Json, Quiet
from hptransfer.cli.table_options import TableOptions
from hptransfer.errors import UsageError
from hptransfer.execution.collector import collector_paused

if TYPE_CHECKING:
    from rich.console import Console


def judge_command(
    results: Annotated[
        list[Path],
        typer.Argument(metavar="FILE...", help="Tables of finished runs: CSV, Markdown, JSON, parquet, Optuna."),
    ],
    *,
    coordinates: Annotated[
        bool, typer.Option("--coordinates", help="FILEs of hptransfer.watch, or a table of mup's get_coord_data.")
    ] = False,
    tolerance: Annotated[
        float | None, typer.Option(help="Of coordinates: allowed slope. Default: 0.15.", show_default=False)
    ] = None,
    table: TableOptions,
    as_json: Json = False,
    quiet: Quiet = False,
) -> int:
    """Judge tables of finished runs as one, or a coordinate check; nothing is trained.

    Groups are judged apart, each value column on its own slice. What was inferred is said on stderr.

    Returns:
        The exit status of the overall verdict: 0 TRANSFERS or HOLDS, 1 DRIFTS or FAILS, 3 INCONCLUSIVE, or a
        target that the table does not cover.

    Raises:
        UsageError: a file cannot be read or understood.
        InconclusiveError: a size diverged at every value; a coordinate check has too few sizes or seeds.
    """
    if coordinates:
        if table.given:
            raise UsageError("`judge --coordinates` takes no options but --tolerance, --json and --quiet")
        from hptransfer.checking.judge_coordinates import judge_coordinate_files
        from hptransfer.report.coordinates import coordinates_document, describe_coordinates, print_coordinates

        found = judge_coordinate_files(results, tolerance=tolerance)
        document = partial(coordinates_document, found)
        _show(describe_coordinates(found), document, partial(print_coordinates, found), as_json, quiet)
        return found.exit_status
    if tolerance is not None:
        hint = f"hptransfer judge --coordinates {(named := shlex.join(map(str, results)))}"[:200]
        raise UsageError("`judge` takes --tolerance with --coordinates alone", received=named, hint=hint)
    from hptransfer.checking.judge_table import judge_table
    from hptransfer.report.results import describe_table, table_document

    with collector_paused():
        judgement = judge_table(results, table.question())

    def draw(console: Console) -> None:
        from hptransfer.report.results_terminal import print_table_judgement

        print_table_judgement(judgement, console)

    _show(describe_table(judgement), partial(table_document, judgement), draw, as_json, quiet)
    return judgement.exit_status


def _show(
    notes: Iterable[str], document: Callable[[], object], draw: Callable[[Console], None], as_json: bool, quiet: bool
) -> None:
    for line in () if quiet else notes:
        print(line, file=sys.stderr)
    if as_json:
        print(json.dumps(document(), indent=2, allow_nan=False))
    else:
        from rich.console import Console

        draw(Console(highlight=False))
