"""`hptransfer check --results`: judges a table of finished runs, whoever trained them."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from hptransfer.commands.predicted import describe_forecast
from hptransfer.errors import UsageError
from hptransfer.evidence.columns import Asked, Roles, infer_roles
from hptransfer.evidence.exponents import Exponents, measure_exponents
from hptransfer.evidence.group import judge_group
from hptransfer.evidence.prediction import Prediction, facts_of, predict
from hptransfer.evidence.results import Group, gather
from hptransfer.evidence.slices import Axis
from hptransfer.evidence.transfer import AxisReport
from hptransfer.report.findings import printable
from hptransfer.report.results import overall, print_results, results_document, understood
from hptransfer.storage.tables import read_table


def check_results_command(
    results: Path,
    *,
    size_column: str | None,
    value_column: str | None,
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
        value_column: column of the hyperparameter.
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
    table = read_table(results)
    roles = infer_roles(table, Asked(size_column, value_column, loss_column, seed_column, group_column))
    found = gather(table, roles, dict(_condition(text) for text in where))
    if not quiet:
        for line in understood(roles, found):
            print(line, file=sys.stderr)
    judged = [(group.name, judge_group(group, roles, found.axis, transferred=transferred)) for group in found.groups]
    predictions = {} if target is None else {name: _predicted(report, target) for name, report in judged}
    moves = {group.name: moved for group in found.groups if (moved := _exponents(group, roles, found.axis)) is not None}
    if as_json:
        document = results_document(str(results), roles, found, judged, predictions, moves)
        print(json.dumps(document, indent=2, allow_nan=False))
    else:
        print_results(judged, roles, Console(highlight=False))
        for name, moved in moves.items():
            print("\nmeasured" + _of(name), moved.sentence)
        for name, prediction in predictions.items():
            print("\nprediction" + _of(name), describe_forecast(prediction))
    return overall(judged)[0].exit_status


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
