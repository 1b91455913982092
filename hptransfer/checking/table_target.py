"""`judge --target`: what a table says of one target, for every axis that the user names."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from hptransfer.checking.table_rays import ray_of
from hptransfer.errors import UsageError
from hptransfer.results_table.cells import ResultTable, column_numbers, distinct
from hptransfer.results_table.columns import TableColumns
from hptransfer.transfer.axis_facts import AxisFacts, axis_facts_from_report
from hptransfer.transfer.coverage import TargetReport
from hptransfer.transfer.judge import AxisReport
from hptransfer.transfer.prediction import Prediction, predict
from hptransfer.transfer.target import Checked, Lost, judge_target

#: the table's own size, where a target is a number without a name
OWN_SIZE = ""


def parse_target(text: str) -> dict[str, float]:
    """Axis -> the target's value on it; a number alone is the table's size.

    Args:
        text: as a user writes it: 8192, or width=8192,tokens=2e11.

    Raises:
        UsageError: it has another form, or a size is not positive.
    """
    found: dict[str, float] = {}
    for part in text.split(","):
        name, equals, value = part.rpartition("=")
        try:
            number = float(value.replace("_", ""))
        except ValueError:
            number = math.nan
        named = name.strip()
        if not (number > 0 and math.isfinite(number)) or bool(equals) != bool(named) or named in found:
            raise UsageError(
                "`--target` takes a size, or NAME=SIZE for each axis, separated by commas",
                received=text,
                hint="for example `--target width=8192,tokens=2e11`",
            )
        found[named] = number
    return found


@dataclass(frozen=True, slots=True)
class TableTarget:
    """What a table says of one target.

    Attributes:
        prediction: of optimum and loss there.
        scope: whether the table covers it, axis by axis.
    """

    prediction: Prediction
    scope: TargetReport


def answer_target(
    target: float | Mapping[str, float],
    table: ResultTable,
    roles: TableColumns,
    report: AxisReport,
    *,
    facts: AxisFacts | None = None,
    together: Lost | None = None,
) -> TableTarget:
    """Predict for a target and judge it.

    An axis that is not the table's size was never varied by itself: it is unchanged where a column of that name holds
    one value, the target's, or where the size gives it in all rows and at the target alike; else it is not covered.

    Args:
        target: a size, or sizes by the name of their axis as `parse_target` has them.
        table: rows that were judged.
        roles: which column means what.
        report: the judgement along the table's size.
        facts: what is known along it, where that is more than the report's runs say; None reads it off these.
        together: what all values lose that are carried along with this one; None where it is carried alone.

    Raises:
        UsageError: the table's own size is not among the target's.
    """
    wanted = target if isinstance(target, Mapping) else {OWN_SIZE: target}
    facts = axis_facts_from_report(report) if facts is None else facts
    named = _by_own_names(wanted, roles, report)
    size, rays = named[report.axis], {}
    for name, value in named.items():
        ray = (
            None if name == report.axis else ray_of(table, roles.size, name, axis=report.axis, target=size, value=value)
        )
        if ray is not None:
            rays[name] = ray
    scope = judge_target(
        [Checked(report.hyperparameter, report.transferred, [facts])],
        proxy={name: report.reference if name == report.axis else _held(table, name) for name in named},
        target=named,
        rays=list(rays.values()),
        together=together,
    )
    standings = {each.axis: each.standing for each in scope.axes}
    names = {name: rays[name].named if name in rays else name for name in named}
    moved = {name: value for name, value in named.items() if standings.get(names[name], "unchanged") != "unchanged"}
    return TableTarget(predict([facts], moved, hyperparameter=report.hyperparameter, value=report.transferred), scope)


def _by_own_names(target: Mapping[str, float], roles: TableColumns, report: AxisReport) -> dict[str, float]:
    """The target by the axis's own name."""
    own = {OWN_SIZE, roles.size, report.axis}
    named = {report.axis if name in own else name: value for name, value in target.items()}
    if report.axis not in named or len(named) < len(target):
        raise UsageError(
            "`--target` gives the table's own size once",
            received=", ".join(f"{name}={value:g}" if name else f"{value:g}" for name, value in target.items()),
            hint=f"add `{report.axis}=`, what the table calls its size",
        )
    return named


def _held(table: ResultTable, name: str) -> float:
    """The one value of a column, nan where the table has none or several."""
    if name not in table.columns or len(distinct(table.columns[name])) != 1:
        return math.nan
    values, missing = column_numbers(table, name, sizes=True)
    return math.nan if missing.any() else float(values[0])
