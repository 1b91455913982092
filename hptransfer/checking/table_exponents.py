"""How the optimum of a table moves with batch or tokens: no rule is assumed for those, so exponents count."""

from __future__ import annotations

from hptransfer.results_table.columns import TableColumns
from hptransfer.results_table.results import Group
from hptransfer.sizes import AXES, MODEL_AXES, Size
from hptransfer.transfer.exponents import AxisExponents, measure_exponents
from hptransfer.trials.trial import Trial, TrialState


def exponents_of(group: Group, roles: TableColumns) -> AxisExponents | None:
    """The local exponents along batch or tokens; None along other axes.

    Args:
        group: the runs that are judged together.
        roles: which column means what.
    """
    axis = next((known for known in AXES if known == roles.axis and known not in MODEL_AXES), None)
    whole = all(size >= 1 and float(size).is_integer() for size in group.points)
    if axis is None or len(group.points) < 2 or not whole:
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
