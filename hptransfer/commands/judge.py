"""`hptransfer judge`: the verdict over a table of finished runs."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from hptransfer.cli.options import Column, Json, Quiet
from hptransfer.errors import UsageError


def judge_command(
    results: Annotated[
        Path, typer.Argument(metavar="FILE", help="A table of finished runs: .csv, .tsv, .jsonl, .json or .parquet.")
    ],
    *,
    size_column: Column = None,
    value_column: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Repeatable: a slice and a verdict each.", show_default=False),
    ] = None,
    loss_column: Column = None,
    seed_column: Column = None,
    group_column: Column = None,
    where: Annotated[
        list[str] | None,
        typer.Option(metavar="COLUMN=VALUE", help="Keep such rows; repeatable.", show_default=False),
    ] = None,
    transferred: Annotated[
        float | None, typer.Option(help="The value carried over. Default: smallest size's.", show_default=False)
    ] = None,
    target: Annotated[int | None, typer.Option(min=1, help="A size to predict for.", show_default=False)] = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> int:
    """Judge a table of finished runs; nothing is trained.

    Groups are judged apart, and each value column on its own slice. What was inferred is said on stderr.

    Returns:
        The exit status of the overall verdict: 0 TRANSFERS, 1 DRIFTS, 3 INCONCLUSIVE.

    Raises:
        UsageError: the table cannot be read or understood.
        InconclusiveError: a size diverged at every value.
    """
    from rich.console import Console

    from hptransfer.checking.judge_table import TableQuestion, judge_table
    from hptransfer.report.results import describe_table, print_table_judgement, table_document
    from hptransfer.results_table.columns import NamedColumns

    columns = NamedColumns(size_column, None, loss_column, seed_column, group_column)
    conditions = dict(_condition(text) for text in where or ())
    judgement = judge_table(results, TableQuestion(columns, tuple(value_column or ()), conditions, transferred, target))
    if not quiet:
        for line in describe_table(judgement):
            print(line, file=sys.stderr)
    if as_json:
        print(json.dumps(table_document(judgement), indent=2, allow_nan=False))
    else:
        print_table_judgement(judgement, Console(highlight=False))
    return judgement.verdict.exit_status


def _condition(text: str) -> tuple[str, str]:
    column, equals, value = text.partition("=")
    if not (equals and column.strip() and value.strip()):
        raise UsageError("`--where` takes COLUMN=VALUE", received=text)
    return column.strip(), value.strip()
