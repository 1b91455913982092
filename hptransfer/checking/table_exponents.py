"""How the optimum of a table moves with batch or tokens: no rule is assumed for those, so exponents count."""

from __future__ import annotations

from collections.abc import Collection

from hptransfer.results_table.columns import TableColumns
from hptransfer.results_table.results import Group
from hptransfer.sizes import AXES, MODEL_AXES, Size, SizeAxis
from hptransfer.transfer.exponents import AxisExponents, measure_exponents, reported_exponents
from hptransfer.transfer.judge import AxisReport
from hptransfer.trials.trial import Trial, TrialState


def exponents_of(group: Group, roles: TableColumns) -> AxisExponents | None:
    """The local exponents along batch or tokens; None along other axes.

    Args:
        group: the runs that are judged together.
        roles: which column means what.
    """
    axis = _measured_axis(roles.axis, group.points)
    if axis is None:
        return None
    others = dict.fromkeys(AXES, 1)
    trials = [
        Trial(
            key=f"{size:g}:{index}",
            size=Size(**(others | {axis: int(size)})),
            hyperparameters={roles.hyperparameter: 2.0**point.x},
            seed=point.seed,
            state=TrialState.DIVERGED if point.diverged else TrialState.COMPLETE,
            loss=point.loss,
        )
        for size, points in group.points.items()
        for index, point in enumerate(points)
    ]
    return measure_exponents(trials, axis=axis, hyperparameter=roles.hyperparameter)


def exponents_of_joint(report: AxisReport) -> AxisExponents | None:
    """The local exponents of a hyperparameter with the others at their best; None along axes that have none.

    Args:
        report: the judgement of its profiles, whose draws are those of one surface.
    """
    sizes = [size.value for size in report.sizes]
    return None if _measured_axis(report.axis, sizes) is None else reported_exponents(report)


def _measured_axis(name: str, sizes: Collection[float]) -> SizeAxis | None:
    """The axis along which exponents count: batch or tokens, of two whole sizes or more."""
    axis = next((known for known in AXES if known == name and known not in MODEL_AXES), None)
    whole = all(size >= 1 and float(size).is_integer() for size in sizes)
    return axis if len(sizes) > 1 and whole else None
