"""`hptransfer check --results`: judges a table of finished runs, whoever trained them."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from hptransfer.errors import UsageError
from hptransfer.report.findings import printable
from hptransfer.report.results import (
    overall,
    print_results,
    results_document,
    sliced,
    slices_document,
    understood,
)
from hptransfer.results_table.columns import Asked, Roles, infer_roles
from hptransfer.results_table.group import judge_group
from hptransfer.results_table.readers import read_table
from hptransfer.results_table.results import Group, Results, gather, selected
from hptransfer.results_table.table_slices import TableSlice, slice_table
from hptransfer.scaling.registered_prediction import describe_forecast
from hptransfer.transfer.exponents import Exponents, measure_exponents
from hptransfer.transfer.judge import AxisReport
from hptransfer.transfer.prediction import Prediction, facts_of, predict
from hptransfer.transfer.slices import Axis
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
    kept = table if len(value_column) < 2 else selected(table, conditions)
    found = [
        _judge(part, Asked(size_column, part.value, loss_column, seed_column, group_column), conditions, transferred)
        for part in slice_table(kept, value_column, group_column)
    ]
    if not quiet:
        for each in found:
            for line in (*sliced(each.part), *understood(each.roles, each.results)):
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


@dataclass(frozen=True, slots=True)
class _Judged:
    """One slice of the table with its judgement."""

    part: TableSlice
    roles: Roles
    results: Results
    judged: list[tuple[str | None, AxisReport]]

    @property
    def moves(self) -> dict[str | None, Exponents]:
        """Local exponents by group, where the size is batch or tokens."""
        groups = self.results.groups
        found = {group.name: _exponents(group, self.roles, self.results.axis) for group in groups}
        return {name: moved for name, moved in found.items() if moved is not None}

    def predictions(self, target: int | None) -> dict[str | None, Prediction]:
        """By group, where a target was given."""
        return {} if target is None else {name: _predicted(report, target) for name, report in self.judged}


def _judge(part: TableSlice, asked: Asked, conditions: Mapping[str, str], transferred: float | None) -> _Judged:
    roles = infer_roles(part.table, asked)
    found = gather(part.table, roles, conditions)
    judged = [(group.name, judge_group(group, roles, found.axis, transferred=transferred)) for group in found.groups]
    return _Judged(part, roles, found, judged)


def _document(source: str, each: _Judged, target: int | None) -> dict[str, Any]:
    document = results_document(source, each.roles, each.results, each.judged, each.predictions(target), each.moves)
    return document | ({"held": dict(each.part.held)} if each.part.held else {})


def _print(each: _Judged, target: int | None, *, several: bool) -> None:
    console = Console(highlight=False)
    if several:
        held = ", ".join(f"{name} {value}" for name, value in each.part.held.items())
        console.print(Text(printable(f"{each.roles.hyperparameter}, with {held}"), "bold underline"))
    print_results(each.judged, each.roles, console)
    for name, moved in each.moves.items():
        print("\nmeasured" + _of(name), moved.sentence)
    for name, prediction in each.predictions(target).items():
        print("\nprediction" + _of(name), describe_forecast(prediction))


def _predicted(report: AxisReport, target: int) -> Prediction:
    return predict(
        [facts_of(report)],
        {report.axis: target},
        hyperparameter=report.hyperparameter,
        value=report.transferred,
    )


def _exponents(group: Group, roles: Roles, axis: Axis) -> Exponents | None:
    """How the optimum moves with batch or tokens: no rule is assumed for those, so the exponent itself is wanted."""
    if roles.axis not in ("batch_size", "tokens") or len({getattr(trial.size, axis) for trial in group.trials}) < 2:
        return None
    return measure_exponents(group.trials, axis=axis, hyperparameter=roles.hyperparameter)


def _of(group: str | None) -> str:
    return ":" if group is None else f", {printable(group)}:"


def _condition(text: str) -> tuple[str, str]:
    column, equals, value = text.partition("=")
    if not (equals and column.strip() and value.strip()):
        raise UsageError("`--where` takes COLUMN=VALUE", received=text)
    return column.strip(), value.strip()
