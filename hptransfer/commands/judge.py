"""`hptransfer judge`: the verdict over a table of finished runs, or over a coordinate check of any training."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hptransfer.cli import options as option
from hptransfer.errors import UsageError

if TYPE_CHECKING:
    from rich.console import Console


def judge_command(
    results: Annotated[
        list[Path],
        typer.Argument(metavar="FILE...", help="A table of finished runs: .csv, .tsv, .jsonl, .json or .parquet."),
    ],
    *,
    coordinates: Annotated[
        bool, typer.Option("--coordinates", help="FILEs of hptransfer.watch, or a table of mup's get_coord_data.")
    ] = False,
    tolerance: Annotated[
        float | None, typer.Option(help="Of coordinates: allowed slope. Default: 0.15.", show_default=False)
    ] = None,
    size_column: option.Column = None,
    value_column: option.Columns = None,
    loss_column: option.Column = None,
    seed_column: option.Column = None,
    group_column: option.Column = None,
    where: option.Where = None,
    transferred: option.Transferred = None,
    target: Annotated[
        str | None,
        typer.Option(metavar="SIZE|NAME=SIZE,...", help="A target to judge and predict for.", show_default=False),
    ] = None,
    cost: option.CostBound = None,
    deviations: option.DeviationsBound = None,
    drift: option.DriftBound = None,
    regret: option.RegretBound = None,
    noise: option.Noise = None,
    as_json: option.Json = False,
    quiet: option.Quiet = False,
) -> int:
    """Judge a table of finished runs, or a coordinate check; nothing is trained.

    Groups are judged apart, each value column on its own slice. What was inferred is said on stderr.

    Returns:
        The exit status of the overall verdict: 0 TRANSFERS or HOLDS, 1 DRIFTS or FAILS, 3 INCONCLUSIVE, or a
        target that the table does not cover.

    Raises:
        UsageError: a file cannot be read or understood.
        InconclusiveError: a size diverged at every value; a coordinate check has too few sizes or seeds.
    """
    if coordinates:
        columns = (size_column, value_column, loss_column, seed_column, group_column, where, transferred, target)
        if any(each is not None for each in (*columns, cost, deviations, drift, regret, noise)):
            raise UsageError("`judge --coordinates` takes no options but --tolerance, --json and --quiet")
        from hptransfer.checking.judge_coordinates import judge_coordinate_files
        from hptransfer.report.coordinates import coordinates_document, describe_coordinates, print_coordinates

        found = judge_coordinate_files(results, tolerance=tolerance)
        document, draw = partial(coordinates_document, found), partial(print_coordinates, found)
        _show(describe_coordinates(found), document, draw, as_json, quiet)
        return found.exit_status
    if tolerance is not None or len(results) > 1:
        hint = f"hptransfer judge --coordinates {(named := ' '.join(map(str, results)))}"[:200]
        raise UsageError("without --coordinates, `judge` takes one table and no --tolerance", received=named, hint=hint)
    from hptransfer.checking.judge_table import TableQuestion, judge_table, parse_conditions, parse_criteria
    from hptransfer.checking.table_target import parse_target
    from hptransfer.report.results import describe_table, print_table_judgement, table_document
    from hptransfer.results_table.columns import NamedColumns

    roles = NamedColumns(size_column, None, loss_column, seed_column, group_column)
    asked = parse_criteria(cost, deviations=deviations, drift=drift, regret=regret, noise=noise)
    rows = parse_conditions(where or ())
    wanted = None if target is None else parse_target(target)
    question = TableQuestion(roles, tuple(value_column or ()), rows, transferred, wanted, asked)
    judgement = judge_table(results[0], question)
    document = partial(table_document, judgement)
    _show(describe_table(judgement), document, partial(print_table_judgement, judgement), as_json, quiet)
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
