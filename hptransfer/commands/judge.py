"""`hptransfer judge`: the verdict over a table of finished runs."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from hptransfer.checking.judge_table import TableQuestion, judge_table
from hptransfer.errors import UsageError
from hptransfer.report.results import describe_table, print_table_judgement, table_document
from hptransfer.results_table.columns import NamedColumns


def judge_command(
    results: Path,
    *,
    size_column: str | None,
    value_column: Sequence[str],
    loss_column: str | None,
    seed_column: str | None,
    group_column: str | None,
    where: Sequence[str],
    transferred: float | None,
    target: int | None,
    as_json: bool,
    quiet: bool,
) -> int:
    """Judge a table and print the verdict per group; nothing is trained or written.

    Args:
        results: a .csv, .tsv, .jsonl, .json or .parquet file.
        size_column: column of the sizes; None is to be inferred, as for the four that follow.
        value_column: columns of hyperparameters; none is inferred; with several each is judged on its own slice.
        loss_column: column of the final losses.
        seed_column: column of the seeds.
        group_column: column whose values are judged apart.
        where: `COLUMN=VALUE` conditions that rows must meet.
        transferred: value that is carried over, own unit; None for the estimated optimum of the smallest size.
        target: size to predict the optimum and the loss for; None for no prediction.
        as_json: print JSON instead of tables.
        quiet: do not say what was inferred.

    Returns:
        The exit status of the overall verdict: 0 TRANSFERS, 1 DRIFTS, 3 INCONCLUSIVE.

    Raises:
        UsageError: the table cannot be read or understood.
        InconclusiveError: a size diverged at every value.
    """
    columns = NamedColumns(size_column, None, loss_column, seed_column, group_column)
    conditions = dict(_condition(text) for text in where)
    judgement = judge_table(results, TableQuestion(columns, tuple(value_column), conditions, transferred, target))
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
