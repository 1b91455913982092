"""What the difference of two values comes from: a rule of the plan that is missing or applied twice comes first."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

#: powers of the width's and the depth's growth that a missing or a second rule leaves
_POWERS = (-2.0, -1.5, -1.0, -0.5, 0.5, 1.0, 1.5, 2.0)
#: one factor of a rule as plans print it, "m_in^-0.5"
_FACTOR = re.compile(r"(m_\w+)(?:\^(-?[\d.]+))?")
#: which growth a factor is a power of; every axis of a weight that grows does so with the width
_AXES = {"m_in": "width", "m_out": "width", "m_max": "width", "m_N": "width", "m_L": "depth"}


@dataclass(frozen=True, slots=True)
class Growth:
    """Factors that explain a difference: how the size has grown, and what each quantity is at the base.

    Attributes:
        width: the target's width over the base's.
        depth: its depth over the base's.
        base: quantity -> value at the base, for quantities that have one.
    """

    width: float
    depth: float
    base: Mapping[str, float] = field(default_factory=dict)


#: where differences are counted, and nobody is told their causes
NOT_GROWN = Growth(1.0, 1.0)


def cause_of(
    quantity: str,
    planned: float | str,
    used: float | str,
    growth: Growth,
    rules: Mapping[str, str] | None,
    tolerance: float,
) -> str:
    """What a difference comes from; empty where nothing can be said.

    What the plan's own rule for the quantity explains comes first. A power of the size's growth is a guess, only
    of what the rule has: growths of width and depth may have powers in common.

    Args:
        quantity: name of a field of `Trained`, such as "init_std".
        planned: value of the plan.
        used: another value, which the framework would use.
        growth: of the target over the base.
        rules: per quantity what the plan's rules say, see `Trained.rules`; None where that is not known.
        tolerance: largest relative difference that is none.
    """
    if isinstance(planned, str) or isinstance(used, str) or not planned or not used:
        return ""
    ratio = used / planned
    # a multiplier is over that at the base
    base = 1.0 if quantity == "multiplier" else growth.base.get(quantity)
    if base:
        factor = planned / base
        named = _named(factor, growth, rules or {}, tolerance) if quantity == "multiplier" else ""
        which = f", {named}" if named else ""
        if not math.isclose(factor, 1.0) and math.isclose(ratio, factor, rel_tol=tolerance):
            return f"scaled twice, by {factor:.4g} each time{which}"
        if not math.isclose(factor, 1.0) and math.isclose(ratio * factor, 1.0, rel_tol=tolerance):
            return f"not scaled: that is the base's, and the rule asks for {factor:.4g} times it{which}"
    powers = _powers((rules or {}).get(quantity, ""))
    for said, power in _of_rule(powers):
        for how, sign in (("without", -1), ("with twice", 1)):
            factor = math.prod(_grown(growth, axis) ** (sign * by) for axis, by in power.items())
            if not math.isclose(factor, 1.0) and math.isclose(ratio, factor, rel_tol=tolerance):
                off = " and ".join(f"the {axis}'s growth to the power {sign * by:g}" for axis, by in power.items())
                return f"off by {off}, as {how} {said}"
    if rules is not None and not powers and base == planned and quantity != "multiplier":
        return f"off by {ratio:.6g}; the plan does not scale it with width or depth"
    # a multiplier moves between `forward` and the rest, so that texts of rules may not name it
    axes = [axis for axis in ("width", "depth") if not powers or any(axis in power for _, power in _of_rule(powers))]
    fits = [f"the {axis}'s growth to the power {power:g}" for axis, power in _fits(ratio, growth, axes, tolerance)]
    return f"off by {' or '.join(fits)}" if fits else f"off by {ratio:.6g}"


def _named(factor: float, growth: Growth, rules: Mapping[str, str], tolerance: float) -> str:
    """Which growth a forward multiplier is a power of.

    Of several that fit it is the one that the other rules of the same parameter have: what `forward` does not multiply
    by lies in them.
    """
    fits = _fits(factor, growth, ["width", "depth"], tolerance)
    has = {(axis, power) for rule in rules.values() for _, axis, power in _powers(rule)}
    depth = any(axis == "depth" for axis, _ in has)
    # only of residual branches the depth's growth is a factor, and of those it is the only one
    likely = [each for each in fits if each in has and (each[0] == "depth") == depth] or fits
    return " or ".join(f"the {axis}'s growth to the power {power:g}" for axis, power in likely)


def _fits(ratio: float, growth: Growth, axes: Sequence[str], tolerance: float) -> list[tuple[str, float]]:
    return [
        (axis, power)
        for axis in axes
        for power in _POWERS
        if _grown(growth, axis) != 1 and math.isclose(ratio, _grown(growth, axis) ** power, rel_tol=tolerance)
    ]


def _grown(growth: Growth, axis: str) -> float:
    return growth.width if axis == "width" else growth.depth


def _powers(rule: str) -> list[tuple[str, str, float]]:
    """(text, axis, power) of each factor of a rule that follows width or depth."""
    return [
        (found[0], _AXES[found[1]], float(found[2] or 1.0)) for found in _FACTOR.finditer(rule) if found[1] in _AXES
    ]


def _of_rule(powers: list[tuple[str, str, float]]) -> Iterator[tuple[str, dict[str, float]]]:
    """The whole rule, then what it has of one axis: its text, and the power by axis."""
    wanted = [("width", "depth"), ("width",), ("depth",)]
    seen: list[dict[str, float]] = []
    for axes in wanted:
        mine = [each for each in powers if each[1] in axes]
        total: dict[str, float] = {}
        for _, axis, power in mine:
            total[axis] = total.get(axis, 0.0) + power
        if total and total not in seen:
            seen.append(total)
            yield f"the rule's {' '.join(each[0] for each in mine)}", total
