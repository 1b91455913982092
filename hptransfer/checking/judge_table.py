"""`hptransfer check --results`: judges a table of finished runs, whoever trained them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.text import Text

from hptransfer.errors import UsageError, printable
from hptransfer.report.results import (
    print_results,
    results_document,
)
from hptransfer.results_table.columns import NamedColumns, TableColumns, infer_columns
from hptransfer.results_table.group import judge_group
from hptransfer.results_table.results import Group, Results, trials_from_table
from hptransfer.results_table.table_slices import TableSlice
from hptransfer.scaling.registered_prediction import describe_forecast
from hptransfer.transfer.exponents import AxisExponents, measure_exponents
from hptransfer.transfer.judge import AxisReport
from hptransfer.transfer.prediction import Prediction, axis_facts_from_report, predict
from hptransfer.transfer.slices import SizeAxis


@dataclass(frozen=True, slots=True)
class _Judged:
    """One slice of the table with its judgement."""

    part: TableSlice
    roles: TableColumns
    results: Results
    judged: list[tuple[str | None, AxisReport]]

    @property
    def moves(self) -> dict[str | None, AxisExponents]:
        """Local exponents by group, where the size is batch or tokens."""
        groups = self.results.groups
        found = {group.name: _exponents(group, self.roles, self.results.axis) for group in groups}
        return {name: moved for name, moved in found.items() if moved is not None}

    def predictions(self, target: int | None) -> dict[str | None, Prediction]:
        """By group, where a target was given."""
        return {} if target is None else {name: _predicted(report, target) for name, report in self.judged}


def _judge(part: TableSlice, asked: NamedColumns, conditions: Mapping[str, str], transferred: float | None) -> _Judged:
    roles = infer_columns(part.table, asked)
    found = trials_from_table(part.table, roles, conditions)
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
        [axis_facts_from_report(report)],
        {report.axis: target},
        hyperparameter=report.hyperparameter,
        value=report.transferred,
    )


def _exponents(group: Group, roles: TableColumns, axis: SizeAxis) -> AxisExponents | None:
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
