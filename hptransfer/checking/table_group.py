"""One group of runs of a table, judged: its report, local exponents, and the prediction that was asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from hptransfer.checking.table_exponents import exponents_of
from hptransfer.checking.table_target import TableTarget, answer_target
from hptransfer.errors import UsageError
from hptransfer.hyperparameters import AVERAGES, log_coordinate
from hptransfer.results_table.cells import ResultTable
from hptransfer.results_table.column_names import hyperparameter_name
from hptransfer.results_table.columns import TableColumns
from hptransfer.results_table.group import judge_group
from hptransfer.results_table.results import Group
from hptransfer.transfer.criteria import TransferCriteria
from hptransfer.transfer.exponents import AxisExponents
from hptransfer.transfer.judge import AxisReport


@dataclass(frozen=True, slots=True)
class JudgedGroup:
    """The runs of one group, judged.

    Attributes:
        name: value of the group column; None where all rows are one group.
        report: the judgement along the table's size.
        exponents: local exponents of the optimum, where the size is batch or tokens; None elsewhere.
        target: prediction for the wanted target and its judgement; None where none was asked for.
    """

    name: str | None
    report: AxisReport
    exponents: AxisExponents | None
    target: TableTarget | None


def judge_alone(
    table: ResultTable,
    group: Group,
    roles: TableColumns,
    *,
    transferred: float | None,
    target: float | Mapping[str, float] | None,
    criteria: TransferCriteria | None,
) -> JudgedGroup:
    """One group of runs at values of one hyperparameter.

    Args:
        table: rows that are judged, those of other groups among them.
        group: the runs that are judged together.
        roles: which column means what.
        transferred: value that is carried over, as the column has it; None for the smallest size's optimum.
        target: a size, or sizes by the name of their axis, to judge and predict for; None for none.
        criteria: what counts as transfer; None for the defaults of `TransferCriteria`.

    Raises:
        UsageError: the value that is carried over is none of this hyperparameter.
        InconclusiveError: a size diverged at every value.
    """
    report = judge_group(group, roles, transferred=_transferred(roles, transferred), criteria=criteria)
    wanted = None if target is None else answer_target(target, table, roles, report)
    return JudgedGroup(group.name, report, exponents_of(group, roles), wanted)


def _transferred(roles: TableColumns, value: float | None) -> float | None:
    """The value that is carried over in the unit that is judged: of a beta or momentum its horizon."""
    name = hyperparameter_name(roles.value)
    if value is None or name not in AVERAGES:
        return value
    if not value < 1:
        raise UsageError(f"`--transferred` of {roles.value} must be below 1", received=f"{value:g}")
    return float(2.0 ** log_coordinate(name, value))
