"""Costs and their bounds in words."""

from __future__ import annotations

import math

from hptransfer.transfer.cost import DEVIATIONS, CostUnit
from hptransfer.transfer.criteria import Bound, SizeEvidence

#: below it two decimals would say nothing
_SMALL = 0.01
#: costs below it are not worth naming as a least cost
_LEAST = 0.005


def amount(cost: float, *beside: float) -> str:
    """A cost with two decimals, or more where it is small or would read like a number that it is compared with.

    Args:
        cost: doublings, or deviations between seeds; at least 0.
        beside: what is printed next to it.
    """
    if math.isinf(cost):
        return "open"
    for digits in range(2 if cost == 0 or cost >= _SMALL else 3, 5):
        text = f"{cost:.{digits}f}"
        if all(text != f"{other:.{digits}f}" or math.isclose(cost, other) for other in beside):
            return text
    return f"{cost:.6g}"


def describe_cost(unit: CostUnit, size: SizeEvidence, bound: Bound | None = None) -> str:
    """What the transferred value costs at one size, in words.

    Args:
        unit: what costs are counted in along its axis.
        size: one of the sizes.
        bound: what it is compared with; None for the cost in the unit of the axis.
    """
    cost = size.cost if bound is None else bound.of(size)
    if math.isinf(size.regret.low):
        return "training diverges at the proxy's value there"
    if bound is not None and bound.name == "regret":
        if math.isinf(cost.high):
            return f"it costs at least {cost.low:.2%} of the loss there"
        return f"it costs {cost.estimate:.2%} of the loss there ({cost.low:.2%} to {cost.high:.2%})"
    in_doublings = unit.known if bound is None else bound.name == "cost"
    name, most = unit.doublings if in_doublings else DEVIATIONS, () if bound is None else (bound.most,)
    if math.isinf(cost.high):
        if cost.low < _LEAST:
            return "what it costs there is open"
        return f"it costs at least {amount(cost.low, *most)} {name} there"
    ends = f"{amount(cost.low, *most)} to {amount(cost.high, *most)}"
    return f"it costs {amount(cost.estimate, *most)} {name} there ({ends})"


def describe_bound(unit: CostUnit, bound: Bound) -> str:
    """What is allowed, in words; a bound in deviations with its value in doublings.

    Args:
        unit: what costs are counted in along the axis.
        bound: one of its bounds.
    """
    if bound.name == "regret":
        return f"{bound.most:.2%}"
    if bound.name == "cost":
        return f"{bound.most:g}"
    text = f"{bound.most:g} deviations"
    if unit.known and math.isfinite(unit.deviation.high):
        here = unit.doublings_of(bound.most * unit.deviation.estimate)
        return f"{text}, which is {amount(here)} {unit.doublings} here"
    return text
