"""Judging one group of finished runs from a table: no recipe, any name of the size."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from hptransfer.errors import InconclusiveError, Place, UsageError
from hptransfer.results_table.cells import Cell, ResultTable, cell_text, is_missing
from hptransfer.results_table.columns import TableColumns
from hptransfer.results_table.results import Group
from hptransfer.sizes import size_text
from hptransfer.statistics.optimum import estimate_optima
from hptransfer.statistics.seed_means import Point
from hptransfer.transfer.criteria import TransferCriteria
from hptransfer.transfer.judge import AxisReport, judge_ladder


def judge_group(
    group: Group,
    roles: TableColumns,
    *,
    transferred: float | None = None,
    criteria: TransferCriteria | None = None,
) -> AxisReport:
    """Judge transfer from the group's smallest size to its largest.

    Args:
        group: the runs that are judged together, at two sizes or more.
        roles: names of the size and the hyperparameter.
        transferred: the value that is carried over; default: the estimated optimum of the smallest size.
        criteria: what counts as transfer; None for the defaults of `TransferCriteria`.

    Raises:
        InconclusiveError: a size diverged at every value.
    """
    points = group.points
    _require_finite(points, group, roles)
    if transferred is None:
        transferred = estimate_optima(list(points.values()))[0].value
    report = judge_ladder(
        points,
        axis=roles.axis,
        hyperparameter=roles.hyperparameter,
        transferred=transferred,
        reference=min(points),
        criteria=criteria,
        limits=group.limits,
    )
    return replace(report, would_decide=_advice(report, group.unread))


def _advice(report: AxisReport, unread: Mapping[float, Sequence[float]]) -> str | None:
    """What would decide, runs first that the table already names beyond the ends of what counts."""
    if report.would_decide is None:
        return None
    open_ends = []
    for size in report.sizes:
        tried = [point.x for point in size.points]
        beyond = {
            "low": any(x < min(tried) for x in unread.get(size.value, ())),
            "high": any(x > max(tried) for x in unread.get(size.value, ())),
        }
        if size.optimum.edge is not None and beyond[size.optimum.edge]:
            open_ends.append(size.label)
    if not open_ends:
        return report.would_decide
    return (
        f"First finish the runs without a result at {report.axis} {', '.join(open_ends)}, or write nan where they "
        f"diverged: they lie where the grid seems to end. Then: {report.would_decide}"
    )


def _require_finite(points: Mapping[float, Sequence[Point]], group: Group, roles: TableColumns) -> None:
    """A value counts as diverged where any seed diverged; some value must be left at every size."""
    for size, found in points.items():
        if {point.x for point in found} == {point.x for point in found if point.diverged}:
            where = f"{roles.axis} {size_text(size)}" + (
                f" of {roles.group} {group.name}" if group.name is not None else ""
            )
            raise InconclusiveError(
                "every size must train at some value without diverging",
                received=f"divergence at all values of {where}",
                hint=f"add runs at smaller values, or leave this {roles.axis} out of the table",
            )


# Several hyperparameters in one table of finished runs: the slice of each, with the others held still.
#
# A slice varies one hyperparameter while the others keep one combination of values; rows off every slice are left out.
# A table without such lines, as a random search makes it, cannot be judged by slices and is refused.

#: values that a slice must vary over at some size; fewer have no curve
_FEWEST_VALUES = 3

Key = float | str


@dataclass(frozen=True, slots=True)
class TableSlice:
    """The rows that bear on one hyperparameter.

    Attributes:
        value: its column; None where it is to be inferred.
        table: the table as it was read, one row per run.
        held: column of each other hyperparameter -> the value it has in these rows; one per group, in order.
        left_out: rows of the table that are off this slice.
    """

    value: str | None
    table: ResultTable
    held: Mapping[str, str]
    left_out: int


def slice_table(table: ResultTable, columns: Sequence[str], group: str | None = None) -> list[TableSlice]:
    """One slice per column, through the combination of the others with the most rows that have different values.

    Args:
        table: the table as it was read, one row per run.
        columns: names of the hyperparameters' columns; with fewer than two the whole table is the slice.
        group: column of groups, each of which has slices of its own.

    Raises:
        UsageError: a column is named twice or does not exist, or no combination makes a slice.
    """
    if len(columns) < 2:
        return [TableSlice(columns[0] if columns else None, table, {}, 0)]
    for column in [*columns, *([] if group is None else [group])]:
        if columns.count(column) > 1 or column not in table.columns:
            rule = "each --value-column, and the --group-column, must name a column of its own of the table"
            raise UsageError(rule, received=column, place=Place(table.name, 1), code="results/no-column")
    groups: dict[Key, list[int]] = defaultdict(list)
    for row in range(len(table)):
        groups["" if group is None else _key(table.columns[group][row])].append(row)
    return [
        _slice(table, column, [other for other in columns if other != column], groups.values()) for column in columns
    ]


def _slice(table: ResultTable, column: str, others: Sequence[str], groups: Iterable[Sequence[int]]) -> TableSlice:
    lines = [_line(table, column, others, rows) for rows in groups]
    held = {
        other: ", ".join(dict.fromkeys(cell_text(table.columns[other][rows[0]]) for rows in lines)) for other in others
    }
    kept = sorted(row for rows in lines for row in rows)
    return TableSlice(column, table.take(kept), held, len(table) - len(kept))


def _line(table: ResultTable, column: str, others: Sequence[str], candidates: Sequence[int]) -> list[int]:
    """The rows of the best slice of one group."""
    rows: dict[tuple[Key, ...], list[int]] = defaultdict(list)
    for row in candidates:
        held = tuple(_key(table.columns[other][row]) for other in others)
        if not is_missing(table.columns[column][row]) and "" not in held:
            rows[held].append(row)
    varied = {held: len({_key(table.columns[column][row]) for row in of}) for held, of in rows.items()}
    best = max(rows, key=lambda held: (varied[held], len(rows[held])), default=None)
    if best is None or varied[best] < _FEWEST_VALUES:
        raise UsageError(
            f"the table must hold a slice for `{column}`: at least {_FEWEST_VALUES} values of it while "
            f"{' and '.join(others)} keep theirs",
            received=f"at most {varied[best] if best else 0} values at any combination of the others",
            hint="runs that vary everything at once show no optimum along one column; judge slices, or name one "
            "--value-column and select with --where",
            place=Place(table.name),
            code="results/no-slice",
        )
    return rows[best]


def _key(cell: Cell) -> Key:
    """A value to compare by: 0.10 and 1e-1 are the same."""
    if is_missing(cell):
        return ""
    try:
        number = float(cell or 0)
    except ValueError:
        return cell_text(cell)
    return cell_text(cell) if math.isnan(number) else number
