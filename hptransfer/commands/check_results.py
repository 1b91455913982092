"""`hptransfer check --results`: the same verdict over a table of finished runs."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Sequence
from pathlib import Path

from hptransfer.checking.judge_table import _condition, _document, _judge, _print
from hptransfer.errors import UsageError
from hptransfer.report.results import (
    describe_columns,
    describe_slice,
    overall,
    slices_document,
)
from hptransfer.results_table.columns import NamedColumns
from hptransfer.results_table.readers import read_table
from hptransfer.results_table.results import select_rows
from hptransfer.results_table.table_slices import slice_table
from hptransfer.transfer.verdict import Verdict


def check_results_command(
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
        results: a .csv, .tsv, .jsonl or .parquet file.
        size_column: column of the sizes; None is to be inferred, as for the four that follow.
        value_column: columns of hyperparameters; none is inferred; with several each is judged on its own slice, on
            which the others keep one combination of values.
        loss_column: column of the final losses.
        seed_column: column of the seeds.
        group_column: column whose values are judged apart.
        where: `COLUMN=VALUE` conditions that rows must meet.
        transferred: the value that is carried over; default: the estimated optimum of the smallest size.
        target: a size to predict the optimum and the loss for.
        as_json: print JSON instead of tables.
        quiet: do not say what was inferred.

    Returns:
        The exit status of the overall verdict: 0 TRANSFERS, 1 DRIFTS, 3 INCONCLUSIVE.

    Raises:
        UsageError: the table cannot be read or understood.
        InconclusiveError: a size diverged at every value.
    """
    if transferred is not None and not (math.isfinite(transferred) and transferred > 0):
        raise UsageError("`--transferred` must be positive and finite", received=str(transferred))
    if transferred is not None and len(value_column) > 1:
        raise UsageError("`--transferred` belongs to one --value-column", received=f"{len(value_column)} columns")
    conditions = dict(_condition(text) for text in where)
    table = read_table(results)
    kept = table if len(value_column) < 2 else select_rows(table, conditions)
    found = [
        _judge(
            part, NamedColumns(size_column, part.value, loss_column, seed_column, group_column), conditions, transferred
        )
        for part in slice_table(kept, value_column, group_column)
    ]
    if not quiet:
        for each in found:
            for line in (*describe_slice(each.part), *describe_columns(each.roles, each.results)):
                print(line, file=sys.stderr)
    documents = [_document(str(results), each, target) for each in found]
    verdict = Verdict.combine(overall(each.judged)[0] for each in found)
    if as_json:
        whole = documents[0] if len(found) == 1 else slices_document(str(results), verdict, documents)
        print(json.dumps(whole, indent=2, allow_nan=False))
        return verdict.exit_status
    for each in found:
        _print(each, target, several=len(found) > 1)
    if len(found) > 1:
        print(f"overall: {verdict}")
    return verdict.exit_status
