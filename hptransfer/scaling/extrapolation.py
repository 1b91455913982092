"""How far a target lies beyond what was checked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from hptransfer.artifacts.target import ExtrapolationRecord
from hptransfer.parameterization.plan import Plan


def extrapolation(plan: Plan, checked: Mapping[str, Sequence[int]]) -> Iterator[ExtrapolationRecord]:
    """How far the target lies beyond what was checked, one entry per axis of size.

    Args:
        plan: of the target, which knows its base and the axes that have rules.
        checked: "widths", "depths", "batch_sizes" (examples per step) and "tokens" (of a run) that were trained.
    """
    base, size = plan.base, plan.size
    for axis, reached, target in (
        ("width", max(checked.get("widths", ()), default=None), size.width),
        ("depth", max(checked.get("depths", ()), default=None), size.depth),
        ("batch_size", max(checked.get("batch_sizes", ()), default=base.batch_size), size.batch_size),
        ("tokens", max(checked.get("tokens", ()), default=base.tokens), size.tokens),
    ):
        factor = None if reached is None else target / reached
        sentence = _sentence(axis, target, reached, factor, axis.removesuffix("_size") in plan.covers)
        yield ExtrapolationRecord(axis=axis, target=target, checked_up_to=reached, factor=factor, sentence=sentence)


def _sentence(axis: str, target: int, reached: int | None, factor: float | None, has_rule: bool) -> str:
    subject = f"{axis.replace('_', ' ')} {target}"
    unchecked = "by theory alone" if has_rule else "no rule and no check cover it"
    if reached is None or factor is None:
        return f"{subject} was not checked: {unchecked}"
    if axis in {"batch_size", "tokens"} and factor != 1:
        return f"{subject} is {factor:g} times that of the checked runs: {unchecked}"
    if factor <= 1:
        return f"{subject} lies within what was trained (up to {reached})"
    return f"{subject} lies {factor:g} times beyond the largest trained ({reached}): {unchecked}"
