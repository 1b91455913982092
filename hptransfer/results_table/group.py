"""Judging one group of finished runs from a table: no recipe, any name of the size."""

from __future__ import annotations

from hptransfer.errors import InconclusiveError
from hptransfer.results_table.columns import TableColumns
from hptransfer.results_table.results import Group
from hptransfer.sizes import SizeAxis
from hptransfer.statistics.optimum import estimate_optima
from hptransfer.statistics.seed_means import Point
from hptransfer.transfer.criteria import TransferCriteria
from hptransfer.transfer.judge import AxisReport, judge_ladder
from hptransfer.transfer.slices import points_by_size


def judge_group(
    group: Group,
    roles: TableColumns,
    axis: SizeAxis,
    *,
    transferred: float | None = None,
    criteria: TransferCriteria | None = None,
) -> AxisReport:
    """Judge transfer from the group's smallest size to its largest.

    Args:
        group: the runs that are judged together, at two sizes or more.
        roles: names of the size and the hyperparameter.
        axis: the field of the trials' sizes that varies.
        transferred: the value that is carried over; default: the estimated optimum of the smallest size.
        criteria: what counts as transfer; None for the defaults of `TransferCriteria`.

    Raises:
        InconclusiveError: a size diverged at every value.
    """
    points = points_by_size(group.trials, axis, roles.hyperparameter)
    _require_finite(points, group, roles)
    if transferred is None:
        transferred = estimate_optima(list(points.values()))[0].value
    return judge_ladder(
        points,
        axis=roles.axis,
        hyperparameter=roles.hyperparameter,
        transferred=transferred,
        reference=min(points),
        criteria=criteria,
        limits=group.limits,
    )


def _require_finite(points: dict[int, list[Point]], group: Group, roles: TableColumns) -> None:
    """A value counts as diverged where any seed diverged; some value must be left at every size."""
    for size, found in points.items():
        if {point.x for point in found} == {point.x for point in found if point.diverged}:
            where = f"{roles.axis} {size}" + (f" of {roles.group} {group.name}" if group.name is not None else "")
            raise InconclusiveError(
                "every size must train at some value without diverging",
                received=f"divergence at all values of {where}",
                hint=f"add runs at smaller values, or leave this {roles.axis} out of the table",
            )
