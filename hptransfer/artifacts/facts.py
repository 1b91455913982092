"""What predictions need of `transfer.json`: its curves are drawn again from its runs, as when it was judged."""

from __future__ import annotations

import math

from hptransfer.artifacts.transfer import AxisRecord, TransferFile
from hptransfer.statistics.interval import Interval
from hptransfer.statistics.seed_means import Point
from hptransfer.transfer.axis_facts import AxisFacts, Rung, facts_of_ladder
from hptransfer.transfer.cost import LentRate
from hptransfer.transfer.criteria import TransferCriteria
from hptransfer.transfer.evidence import MeasuredLadder
from hptransfer.transfer.slices import CORNER


def facts_of_file(checked: TransferFile) -> dict[str, list[AxisFacts]]:
    """Hyperparameter -> what was found along each axis; a corner is no axis.

    Args:
        checked: the content of `transfer.json`.
    """
    found: dict[str, list[AxisFacts]] = {}
    for axis in checked.axes:
        if axis.axis != CORNER:
            lends = (each for each in checked.axes if each.hyperparameter == axis.hyperparameter)
            lender = next((each for each in lends if each.axis == axis.unit.borrowed), None)
            lent = None if lender is None else _lend(lender)
            found.setdefault(axis.hyperparameter, []).append(facts_of_record(axis, lent))
    return found


def facts_of_record(axis: AxisRecord, lent: LentRate | None = None) -> AxisFacts:
    """What was found along one axis.

    Args:
        axis: its record in the file.
        lent: what the axis that the gain was borrowed from says of compute.
    """
    rungs = tuple(
        Rung(
            size=float(size.value),
            optimum=size.optimum.log2_value,
            spread=_or(size.optimum.standard_error, math.inf),
            best=_or(size.optimum.loss.estimate, math.nan),
            loss=size.transferred_loss.estimate,
            curvature=_or(size.optimum.curvature, math.nan),
        )
        for size in axis.sizes
    )
    drift = axis.drift
    moves = Interval(_or(drift.estimate, 0.0), _or(drift.low, -math.inf), _or(drift.high, math.inf))
    measured = _measured(axis)
    criteria = TransferCriteria(**axis.criteria.model_dump())
    return facts_of_ladder(measured, axis.reference, rungs, moves, measured.unit(None, lent), criteria)


def _measured(axis: AxisRecord) -> MeasuredLadder:
    groups = {
        float(size.value): [Point(p.x, p.seed, _or(p.loss, math.inf), p.diverged, p.flops) for p in size.points]
        for size in axis.sizes
    }
    given = axis.sizes[0].optimum
    noise = given.noise if given.noise_from == "given" else None
    return MeasuredLadder.of(groups, axis.axis, math.log2(axis.transferred), noise)


def _lend(axis: AxisRecord) -> LentRate | None:
    """What an axis says of compute, for those that do not show it; None where it has nothing to lend."""
    values = [size.value for size in axis.sizes]
    if axis.unit.borrowed is not None or axis.reference not in values:
        return None
    return LentRate.of(axis.axis, _measured(axis).unit(None, None), values.index(axis.reference))


def _or(value: float | None, otherwise: float) -> float:
    return otherwise if value is None else value
