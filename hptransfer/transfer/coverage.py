"""How a target stands: axis by axis, over all of them, and in words."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from hptransfer.sizes import size_text, times_text
from hptransfer.statistics.interval import Interval

#: how an axis of the target stands: as at the proxy; covered by the ladder; not covered; not covered, and accepted
Standing = Literal["unchanged", "covered", "not covered", "accepted"]

#: tokens per parameter that differ by less than this share count as the same
SAME_HORIZON = 0.05
HORIZON = "tokens_per_parameter"


@dataclass(frozen=True, slots=True)
class AxisCoverage:
    """One axis of the target, or one hyperparameter that was tuned and never checked.

    Attributes:
        axis: "width", "depth", "batch_size", "tokens", "tokens_per_parameter", or a hyperparameter's name.
        value: the target's; None for a hyperparameter.
        largest: the largest that was checked; None where nothing was.
        standing: whether the ladder speaks of it.
        cost: extrapolated cost there in the axis's unit, with its 95% interval; None where none can be given.
        reason: why it stands so, a clause that follows its name.
    """

    axis: str
    value: float | None
    largest: float | None
    standing: Standing
    cost: Interval | None
    reason: str

    @property
    def named(self) -> str:
        """The axis with its value, for example "width 8192"."""
        name = self.axis.replace("_", " ")
        return name if self.value is None else f"{name} {size_text(self.value)}"


@dataclass(frozen=True, slots=True)
class TargetReport:
    """The judgement of a target.

    Attributes:
        axes: every axis that differs from the proxy, and every hyperparameter that was tuned and not checked.
        cost: of the carried value over all axes together; None where an axis leaves it open.
        unit: of the cost, in the plural.
        optimum: the best value expected there, own unit; open where a path is open.
        gain: what using that value instead would gain, in the same unit; None where it cannot be said.
        sentence: the headline's second half, for a person.
        hyperparameter: that optimum and gain are of.
        value: what it is carried as.
        turns: whether the optimum's path turns along an axis of the target.
        tuned: what was tuned, where another value is used instead; the gain is then over this one. None elsewhere.
        together: cost of all values that are carried along with it, over all axes together, in the same unit; None
            where it is carried alone, or that is open.
    """

    axes: tuple[AxisCoverage, ...]
    cost: Interval | None
    unit: str
    optimum: Interval
    gain: Interval | None
    sentence: str
    hyperparameter: str
    value: float
    turns: bool = False
    tuned: float | None = None
    together: Interval | None = None

    def worded(self) -> TargetReport:
        """The same with the sentence that its facts give."""
        return replace(self, sentence=_sentence(self))

    @property
    def covered(self) -> bool:
        """Whether every axis is unchanged or covered."""
        return all(axis.standing in ("unchanged", "covered") for axis in self.axes)

    @property
    def settled(self) -> bool:
        """Whether every axis is unchanged, covered or accepted: nothing is left to be decided."""
        return all(axis.standing != "not covered" for axis in self.axes)

    @property
    def accepted(self) -> bool:
        """Whether something is not covered, and all that is not is accepted."""
        return self.settled and not self.covered

    @property
    def standings(self) -> dict[str, bool]:
        """The three answers over all axes, as documents hold them."""
        return {"covered": self.covered, "accepted": self.accepted, "settled": self.settled}


@dataclass(frozen=True, slots=True)
class Ray:
    """A quantity that is given by the size in all checked runs, for example tokens by the number of parameters.

    Attributes:
        axis: what follows the size; it is no axis of its own.
        named: what tells whether a target does as the runs did, for example "tokens_per_parameter".
        proxy: of that at the proxy.
        target: of that at the target; as the checked runs have it where it is the proxy's to 5%.
        along: what the checked runs grew along, for example "20 tokens per parameter".
        than: what `proxy` is, in words.
    """

    axis: str
    named: str
    proxy: float
    target: float
    along: str
    than: str = "that of the proxy"

    @property
    def coverage(self) -> AxisCoverage:
        """How it stands."""
        factor = self.target / self.proxy
        if abs(factor - 1) <= SAME_HORIZON:
            return AxisCoverage(self.named, self.target, self.proxy, "unchanged", None, "is that of the checked runs")
        reason = f"is {times_text(factor)} times {self.than}, and the checked runs grew along {self.along} alone"
        return AxisCoverage(self.named, self.target, self.proxy, "not covered", None, reason)


#: what may go without cover: axis or hyperparameter -> the least and the most that is accepted
Accepted = Mapping[str, tuple[float, float]]

#: a value that lies so little beyond the accepted ones, as a share, is one of them
_SLACK = 1e-9


def accepting(report: TargetReport, accepted: Accepted) -> TargetReport:
    """The judgement of a recipe that accepts some axes without cover.

    Args:
        report: the judgement of a target.
        accepted: the target's values that the recipe accepts; of tokens per parameter how many times those of the
            proxy. A hyperparameter's are not looked at.
    """
    axes = tuple(_accepted(each, accepted) for each in report.axes)
    missing = [each.axis for each in axes if each.standing == "not covered"]
    if missing == [HORIZON] and HORIZON not in accepted and {"tokens", "width", "depth"} & accepted.keys():
        hint = f"; to accept that as well, add `{HORIZON}` to the recipe's `sizes.target.accept`"
        axes = tuple(replace(each, reason=each.reason + hint) if each.axis == HORIZON else each for each in axes)
    return replace(report, axes=axes).worded()


def _accepted(each: AxisCoverage, accepted: Accepted) -> AxisCoverage:
    if each.standing != "not covered" or each.axis not in accepted:
        return each
    low, high = accepted[each.axis]
    value, slack = each.value, _SLACK
    if value is not None and each.axis == HORIZON and each.largest:
        value, slack = value / each.largest, SAME_HORIZON
    if value is None or low * (1 - slack) <= value <= high * (1 + slack):
        return replace(each, standing="accepted")
    above = value > high
    bound = size_text(high if above else low)
    times = " times that of the proxy" if each.axis == HORIZON else ""
    key = "tokens" if each.axis == HORIZON else each.axis
    reason = (
        f"{each.reason}; the recipe accepts {_said(each.axis)} {'up' if above else 'down'} to {bound}{times} only, its "
        f"own target's: to accept this, {'raise' if above else 'lower'} its `sizes.target.{key}`"
    )
    return replace(each, reason=reason)


def _said(axis: str) -> str:
    return axis.replace("_", " ")


def describe_price(cost: Interval, unit: str) -> str:
    """A cost in words, for example "0.04 (0.00 to 0.31) doublings of compute".

    Args:
        cost: with its interval, open above where it is not known.
        unit: its name in the plural.
    """
    if unit == "of the loss":
        return f"{cost.estimate:.2%} ({cost.low:.2%} to {cost.high:.2%}) {unit}"
    if math.isinf(cost.low):
        return "everything: training diverges"
    if math.isinf(cost.high):
        return f"at least {cost.low:.2f} {unit}" if cost.low > 0 else f"an unknown number of {unit}"
    middle, low, high = (f"{end:.2f}".replace("-0.00", "0.00") for end in (cost.estimate, cost.low, cost.high))
    return f"{middle} ({low} to {high}) {unit}"


#: standing -> how a sentence about it begins
_LEADS = {
    "not covered": "The target is NOT COVERED:",
    "accepted": "The target is not covered, and the recipe accepts that:",
    "covered": "The target is covered:",
}
#: the same where a sentence with more weight stands before it
_FURTHER = {
    "accepted": "Not covered either, but accepted by the recipe:",
    "covered": "What else differs from the proxy is covered:",
}
#: verbs that reasons begin with, for subjects in the plural
_PLURAL = {"is": "are", "was": "were", "lies": "lie"}


def _sentence(report: TargetReport) -> str:
    """The headline's second half."""
    moved = [each for each in report.axes if each.standing != "unchanged"]
    if not moved:
        return "The target has the proxy's size: nothing is carried."
    parts: list[str] = []
    for standing in ("not covered", "accepted", "covered"):
        clauses = [_clause(each) for each in moved if each.standing == standing]
        if clauses:
            lead = _FURTHER[standing] if parts else _LEADS[standing]
            parts.append(f"{lead} {'; '.join(clauses)}.")
    return " ".join([*parts, *_best(report)])


def _clause(each: AxisCoverage) -> str:
    """An axis and why it stands as it does."""
    verb, _, rest = each.reason.partition(" ")
    noun = each.axis.partition("_per_")[0]
    plural = noun.endswith("s") and not noun.endswith("ss")
    return f"{each.named} {_PLURAL.get(verb, verb) if plural else verb} {rest}"


def _best(report: TargetReport) -> Iterator[str]:
    """What would be best there, where that is bounded."""
    best, name = report.optimum, report.hyperparameter
    if not (best.low > 0 and math.isfinite(best.high)):
        if report.turns:
            yield f"No best {name} is named: along a path that turns, none was foreseen beyond the next size."
        return
    said = f"Best {name} expected there: {best.estimate:.3g} ({best.low:.3g} to {best.high:.3g})"
    gain = None if report.gain is None else describe_price(report.gain, report.unit)
    if report.tuned is not None:
        said += (
            ", which is used" if gain is None else f", which is used: it gains {gain} over the tuned {report.tuned:.3g}"
        )
    elif gain is not None:
        said += f"; instead of {report.value:.3g} it would gain {gain}"
    if report.turns:
        said += ". Its path turns, and such intervals were seen to be too narrow"
    yield f"{said}."
