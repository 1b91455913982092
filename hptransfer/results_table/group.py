"""Judging one group of finished runs from a table: no recipe, any name of the size."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

from hptransfer.errors import InconclusiveError
from hptransfer.results_table.columns import TableColumns
from hptransfer.results_table.results import Group
from hptransfer.sizes import size_text, size_word
from hptransfer.statistics.curve import fit_curves
from hptransfer.statistics.optimum import summarise
from hptransfer.statistics.seed_means import Point, average_sizes
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
    criteria = criteria or TransferCriteria()
    tables = average_sizes(list(points.values()))
    fitted = fit_curves(tables, doublings=[math.log2(size) for size in points], noise=criteria.noise)
    if transferred is None:
        # it would be tuned before there are larger sizes, so their order does not help to find it
        alone = fitted if criteria.noise is None else fit_curves(tables)
        transferred = summarise(tables[0], alone.draws(ordered=False)[0]).value
    report = judge_ladder(
        points,
        axis=roles.axis,
        hyperparameter=roles.hyperparameter,
        transferred=transferred,
        reference=min(points),
        criteria=criteria,
        compute=group.compute,
        limits=group.limits,
        tables=tables,
        drawn=fitted.draws(math.log2(transferred)),
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
                hint=f"add runs at smaller values, or leave this {size_word(roles.axis)} out of the table",
            )
