"""One group of runs of a table, judged: its report, local exponents, and the prediction that was asked for."""

from __future__ import annotations

from dataclasses import dataclass

from hptransfer.errors import UsageError
from hptransfer.hyperparameters import AVERAGES, log_coordinate
from hptransfer.results_table.column_names import hyperparameter_name
from hptransfer.results_table.columns import TableColumns
from hptransfer.results_table.group import judge_group
from hptransfer.results_table.results import Group
from hptransfer.sizes import AXES, MODEL_AXES, Size
from hptransfer.transfer.criteria import TransferCriteria
from hptransfer.transfer.exponents import AxisExponents, measure_exponents
from hptransfer.transfer.judge import AxisReport
from hptransfer.transfer.prediction import Prediction, axis_facts_from_report, predict
from hptransfer.trials.trial import Trial, TrialState


@dataclass(frozen=True, slots=True)
class JudgedGroup:
    """The runs of one group, judged.

    Attributes:
        name: value of the group column; None where all rows are one group.
        report: the judgement along the table's size.
        exponents: local exponents of the optimum, where the size is batch or tokens; None elsewhere.
        prediction: at the wanted target; None where none was asked for.
    """

    name: str | None
    report: AxisReport
    exponents: AxisExponents | None
    prediction: Prediction | None


def judge_alone(
    group: Group,
    roles: TableColumns,
    *,
    transferred: float | None,
    target: float | None,
    criteria: TransferCriteria | None,
) -> JudgedGroup:
    """One group of runs at values of one hyperparameter.

    Args:
        group: the runs that are judged together.
        roles: which column means what.
        transferred: value that is carried over, as the column has it; None for the smallest size's optimum.
        target: size to predict optimum and loss for; None for no prediction.
        criteria: what counts as transfer; None for the defaults of `TransferCriteria`.

    Raises:
        UsageError: the value that is carried over is none of this hyperparameter.
        InconclusiveError: a size diverged at every value.
    """
    report = judge_group(group, roles, transferred=_transferred(roles, transferred), criteria=criteria)
    return JudgedGroup(group.name, report, _exponents(group, roles), predict_at(report, target))


def predict_at(report: AxisReport, target: float | None) -> Prediction | None:
    """What a report's ladder says of a target; None without one.

    Args:
        report: the judgement along the table's size.
        target: size to predict optimum and loss for, positive.
    """
    if target is None:
        return None
    return predict(
        [axis_facts_from_report(report)],
        {report.axis: target},
        hyperparameter=report.hyperparameter,
        value=report.transferred,
    )


def _transferred(roles: TableColumns, value: float | None) -> float | None:
    """The value that is carried over in the unit that is judged: of a beta or momentum its horizon."""
    name = hyperparameter_name(roles.value)
    if value is None or name not in AVERAGES:
        return value
    if not value < 1:
        raise UsageError(f"`--transferred` of {roles.value} must be below 1", received=f"{value:g}")
    return float(2.0 ** log_coordinate(name, value))


def _exponents(group: Group, roles: TableColumns) -> AxisExponents | None:
    """How the optimum moves with batch or tokens: no rule is assumed for those, so the exponent itself is wanted."""
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
