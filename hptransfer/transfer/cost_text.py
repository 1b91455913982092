"""Costs and their bounds in words, and numbers with a sign."""

from __future__ import annotations

import math

from hptransfer.statistics.interval import Interval
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


def amounts(cost: Interval, *beside: float) -> tuple[str, str]:
    """A cost and the ends of its interval, for example ("0.06", "0.00 to 0.42").

    Args:
        cost: doublings, or deviations between seeds; at least 0.
        beside: what is printed next to it.
    """
    low, high = amount(cost.low, *beside), amount(cost.high, *beside)
    if cost.low == 0 and math.isfinite(cost.high):  # with the digits of what it is read beside
        low = f"{0:.{len(high.partition('.')[2])}f}"
    return amount(cost.estimate, *beside), f"{low} to {high}"


def signed(number: float, form: str) -> str:
    """A number with its sign, and zero without one.

    Args:
        number: finite, of any sign and size.
        form: its format without the sign, for example ".2f" or ".0%".
    """
    text = f"{number:+{form}}"
    return text if any(digit in "123456789" for digit in text) else text[1:]


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
    in_doublings = unit.known if bound is None else bound.name == "cost"
    if in_doublings and math.isinf(cost.low):
        return f"no number of {unit.doublings} buys back what it costs there"
    if math.isinf(cost.high) and cost.low < _LEAST and (bound is None or bound.name != "regret"):
        return "what it costs there is open"
    number, ends = cost_parts(unit, size, bound)
    return f"it costs {number} there{f' ({ends})' if ends else ''}"


def cost_parts(unit: CostUnit, size: SizeEvidence, bound: Bound | None = None) -> tuple[str, str]:
    """What the transferred value costs at one size without a verb: the number with its unit, and its interval.

    Args:
        unit: what costs are counted in along its axis.
        size: one of the sizes.
        bound: what it is compared with; None for the cost in the unit of the axis.

    Returns:
        For example ("0.06 doublings of compute", "0.00 to 0.42"); the interval is empty where the number is one end.
    """
    cost = size.cost if bound is None else bound.of(size)
    if math.isinf(size.regret.low):
        return "training diverges at the proxy's value", ""
    in_doublings = unit.known if bound is None else bound.name == "cost"
    if in_doublings and math.isinf(cost.low):
        return f"more than {unit.doublings} buy back", ""
    if bound is not None and bound.name == "regret":
        if math.isinf(cost.high):
            return f"at least {cost.low:.2%} of the loss", ""
        return f"{cost.estimate:.2%} of the loss", f"{cost.low:.2%} to {cost.high:.2%}"
    name, most = unit.doublings if in_doublings else DEVIATIONS, () if bound is None else (bound.most,)
    if math.isinf(cost.high):
        return ("open" if cost.low < _LEAST else f"at least {amount(cost.low, *most)} {name}"), ""
    estimate, ends = amounts(cost, *most)
    return f"{estimate} {name}", ends


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
    text = f"{bound.most:g} deviation{'' if bound.most == 1 else 's'}"
    if unit.known and math.isfinite(unit.deviation.high):
        here = unit.doublings_of(bound.most * unit.deviation.estimate)
        return f"{text}, which is {amount(here)} {unit.doublings} here"
    return text
