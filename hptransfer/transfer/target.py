"""What a ladder says of a target: which axes are covered, what the carried value costs there, what would be best.

The loss curve of the largest size is moved along with the optimum's path to the target, draw by draw, and what the
value loses on it is bought back at the largest size's rate. Both change on the way: what a wrong value loses, and more
so what growing gains. Their ratio goes on as the ladder shows it to (`AxisFacts.ratio_change`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from hptransfer.sizes import size_text
from hptransfer.statistics.arrays import Array
from hptransfer.statistics.interval import Interval
from hptransfer.statistics.optimum import quantiles
from hptransfer.transfer.axis_facts import AxisFacts, Price
from hptransfer.transfer.cost import DEVIATIONS
from hptransfer.transfer.prediction import lost_off, optimum_draws

#: how an axis of the target stands: as at the proxy; covered by the ladder; not covered; not covered, and accepted
Standing = Literal["unchanged", "covered", "not covered", "accepted"]

#: doublings beyond the largest size over those that the ladder spans, up to which intervals were seen to cover
#: (docs/verdicts.md, benchmarks/backtest.py): real ladders were predicted no further than their own span
SUPPORTED_REACH = 1.0
#: share of the draws that an end of an interval leaves outside
_TAIL = 0.025
#: values of an axis that differ by less are the same
_SAME = 1e-9
#: tokens per parameter that differ by less than this share count as the same
_SAME_HORIZON = 0.05
_HORIZON = "tokens_per_parameter"


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
    together: Interval | None = None

    def worded(self) -> TargetReport:
        """The same with the sentence that its facts give."""
        return replace(self, sentence=_sentence(self))

    @property
    def covered(self) -> bool:
        """Whether every axis is unchanged, covered or accepted."""
        return all(axis.standing != "not covered" for axis in self.axes)


@dataclass(frozen=True, slots=True)
class Checked:
    """One checked hyperparameter.

    Attributes:
        name: as octaves are counted of it.
        value: carried to the target, own unit.
        axes: what was found along every axis, at least one.
        moves: axis -> octaves by which the value is moved on the way to the target; none for axes that are left out.
    """

    name: str
    value: float
    axes: Sequence[AxisFacts]
    moves: Mapping[str, float] = field(default_factory=dict)

    def at(self, target: Mapping[str, float]) -> float:
        """Log2 of the value as it is used at sizes on some axes."""
        return math.log2(self.value) + math.fsum(self.moves.get(axis, 0.0) for axis in target)

    def lost(self, target: Mapping[str, float]) -> tuple[Array, Array] | None:
        """(least, most) loss at sizes on some axes, on the curves of the largest checked one; None where open.

        Args:
            target: size by axis, at least one of them checked.
        """
        moved = [facts for facts in self.axes if facts.axis in target]
        draws = optimum_draws(moved, target)
        if draws is None:
            return None
        off = self.at(target) - draws
        found = lost_off(moved[0], off)
        return None if found is None else (at_least(found[0], [off]), found[1])


def at_least(least: Array, offs: Sequence[Array]) -> Array:
    """(DRAWS,) the least that values lose: nothing, where none of them is off its optimum for sure.

    Args:
        least: (DRAWS,) losses on drawn curves, which are never 0 for chance puts every optimum beside the value.
        offs: (DRAWS,) octaves above the optimum, per hyperparameter.
    """
    sides = [np.quantile(off, (_TAIL, 1 - _TAIL)) for off in offs]
    return least if any(low > 0 or high < 0 for low, high in sides) else np.zeros_like(least)


#: what values lose at sizes on some axes, (least, most) draw by draw; None where that is open
Lost = Callable[[Mapping[str, float]], tuple[Array, Array] | None]


@dataclass(frozen=True, slots=True)
class _Cost:
    """What values cost at a target, in every unit in which something was asked.

    Attributes:
        in_units: pairs of a cost and its price, the headline's first; a cost is None where it is open.
        joint: whether it is that of all carried values, known as a whole.
    """

    in_units: tuple[tuple[Interval | None, Price], ...]
    joint: bool = False

    @classmethod
    def of(cls, checked: Sequence[Checked], target: Mapping[str, float], together: Lost | None = None) -> _Cost:
        """The costs of all hyperparameters at sizes on some axes: their sum, or of a loss that is known as a whole."""
        lead = next(facts for facts in checked[0].axes if facts.axis in target)
        if together is not None:
            whole = together(target)
            counted = [_counted(whole, [lead], target, place) for place in range(len(lead.prices))]
            found = [(_summed([each]), price) for each, price in zip(counted, lead.prices, strict=True)]
            return cls(tuple(found), joint=True)
        lost = [each.lost(target) for each in checked]
        moved = [[facts for facts in each.axes if facts.axis in target] for each in checked]
        return cls(
            tuple(
                (_summed([_counted(one, axes, target, place) for one, axes in zip(lost, moved, strict=True)]), price)
                for place, price in enumerate(lead.prices)
            )
        )

    @property
    def first(self) -> Interval | None:
        """In the headline's unit."""
        return self.in_units[0][0] if self.in_units else None

    @property
    def over(self) -> str | None:
        """Why it is not inside what is allowed, a clause; None where it is."""
        for cost, price in self.in_units:
            if cost is None:
                if self.joint:
                    return "what all carried values cost together there is open"
                return "where the optimum lies there is open"
            said = f"{self._subject} {describe_cost(cost, price.unit)} there"
            if price.most is None:
                return f"{said}, and what growing buys is not known, which the bound is counted in"
            if not cost.high <= price.most:
                return f"{said}, allowed is {price.most:g}"
        return None if self.in_units else "what it costs there is not known"

    @property
    def inside(self) -> str:
        """What it costs, a clause, where it is known in the headline's unit."""
        cost, price = self.in_units[0]
        said = "an unknown amount" if cost is None else describe_cost(cost, price.unit)
        return f"{self._subject} {said} there"

    @property
    def _subject(self) -> str:
        return "all carried values together cost" if self.joint else "the value costs"


def _counted(
    lost: tuple[Array, Array] | None, moved: Sequence[AxisFacts], target: Mapping[str, float], place: int
) -> tuple[Array, Array] | None:
    """What a loss counts for at a target, in one of the units of the first axis.

    Args:
        lost: (least, most) on the curves of the first axis's largest size.
        moved: the axes on which the target differs from the proxy; the first gives the curves.
        target: size by axis, of what is asked about.
        place: index of the price.
    """
    lead, *others = moved
    if lost is None or place >= len(lead.prices):
        return None
    change = lead.ratio_change(target[lead.axis], place)
    for stream, facts in enumerate(others, start=1):
        if place < len(facts.prices):
            change = change * facts.ratio_change(target[facts.axis], place, since=facts.reference, stream=stream)
    return lead.prices[place].of(lost[0] * change), lead.prices[place].of(lost[1] * change)


def judge_target(
    checked: Sequence[Checked],
    *,
    proxy: Mapping[str, float],
    target: Mapping[str, float],
    unchecked: Collection[str] = (),
    accepted: Collection[str] = (),
    horizon: tuple[float, float] | None = None,
    ray: str | None = None,
    together: Lost | None = None,
) -> TargetReport:
    """Judge a target: per axis whether the ladder covers it, and what the carried value costs there.

    Args:
        checked: hyperparameters that were checked, the first of which is the one that is spoken of; at least one.
        proxy: size by axis, of every axis of the target; nan where it is not known, which no target equals.
        target: size by axis, of what is asked about.
        unchecked: hyperparameters that were tuned on the proxy and never checked.
        accepted: axes and hyperparameters that may go without cover.
        horizon: tokens per parameter of proxy and target, up to a common factor; None where they are not known.
        ray: what tokens grow in proportion to in the checked sizes, for example "20 tokens per parameter"; tokens are
            then no axis of their own. None where they do not grow with the model.
        together: what all values that are carried along with the first one lose, where one fit shows that; None where
            the checked ones are all that is known of.
    """
    moved = {axis: value for axis, value in target.items() if not math.isclose(value, proxy[axis], rel_tol=_SAME)}
    known = {facts.axis for facts in checked[0].axes}
    along = [(axis, value) for axis, value in moved.items() if ray is None or axis != "tokens"]
    coverage = [_coverage(axis, value, checked, together) for axis, value in along]
    coverage += _horizon(moved, horizon, ray)
    if moved:
        reason = "was tuned at the proxy and its optimum never checked at another size"
        coverage += [AxisCoverage(name, None, None, "not covered", None, reason) for name in unchecked]
    reached = {axis: value for axis, value in moved.items() if axis in known}
    total = _Cost.of(checked, reached) if reached else None
    joint = _Cost.of(checked, reached, together) if reached and together is not None else None
    complete = all(each.axis in reached or each.standing == "unchanged" for each in coverage if each.value is not None)
    coverage = [_accepted(_together(_together(each, total), joint), accepted) for each in coverage]
    optimum, gain = _better(checked[0], reached)
    prices = checked[0].axes[0].prices
    return TargetReport(
        axes=tuple(coverage),
        cost=total.first if total is not None and complete else None,
        unit=prices[0].unit if prices else DEVIATIONS,
        optimum=optimum,
        gain=gain,
        sentence="",
        hyperparameter=checked[0].name,
        value=2.0 ** checked[0].at(reached),
        together=joint.first if joint is not None and complete else None,
    ).worded()


def _coverage(axis: str, value: float, checked: Sequence[Checked], together: Lost | None) -> AxisCoverage:
    """How one axis stands: every checked hyperparameter must be covered along it."""
    ladders = [facts for each in checked for facts in each.axes if facts.axis == axis]
    if len(ladders) < len(checked) or any(len(facts.rungs) < 2 for facts in ladders):
        return AxisCoverage(axis, value, None, "not covered", None, "was never varied in a check")
    _, largest = ladders[0].span
    cost = _Cost.of(checked, {axis: value})
    reach = max(facts.reach(value) for facts in ladders)
    turning = [each.name for each, facts in zip(checked, ladders, strict=True) if facts.shape == "turns"]
    beyond = f"{value / largest:.3g} times the largest checked ({size_text(largest)})"
    where = f"is {beyond}" if value > largest else f"lies within what was checked (up to {size_text(largest)})"
    standing: Standing = "not covered"
    if turning:
        reason = f"{where}, and the optimum of {turning[0]} turns round along it"
    elif reach > SUPPORTED_REACH:
        reason = f"{where}: {reach:.3g} of the ladder's own spans beyond it, and backtests reach {SUPPORTED_REACH:g}"
    elif cost.over is not None:
        reason = f"{where}: {cost.over}"
    elif together is not None and (joint := _Cost.of(checked, {axis: value}, together)).over is not None:
        reason = f"{where}: {cost.inside}, but {joint.over}"
    else:
        standing = "covered"
        reason = f"{where}: {cost.inside}"
        if together is not None:
            reason += f", {joint.inside}"
    return AxisCoverage(axis, value, largest, standing, cost.first, reason)


def _horizon(moved: Mapping[str, float], horizon: tuple[float, float] | None, ray: str | None) -> list[AxisCoverage]:
    """Tokens per parameter, where neither a ladder nor an axis of its own says it: shape and tokens both move."""
    both = "tokens" in moved and any(axis in moved for axis in ("width", "depth"))
    if horizon is None or not (both or ray is not None):
        return []
    before, after = horizon
    if abs(after / before - 1) <= _SAME_HORIZON:
        return [AxisCoverage(_HORIZON, after, before, "unchanged", None, "is that of the proxy")] if both else []
    along = f"the checked runs grew along {ray} alone" if ray else "no check varied shape and tokens together"
    reason = f"is {after / before:.3g} times that of the proxy, and {along}"
    return [AxisCoverage(_HORIZON, after, before, "not covered", None, reason)]


def _summed(found: Sequence[tuple[Array, Array] | None]) -> Interval | None:
    """Costs of several hyperparameters add up; None where one of them is open."""
    if any(each is None for each in found):
        return None
    # draws of different ladders come from the same random numbers: they are turned against each other
    apart = [[np.roll(side, 97 * index) for side in each] for index, each in enumerate(found) if each is not None]
    least, most = (quantiles(np.sum([each[side] for each in apart], axis=0)) for side in (0, 1))
    return Interval(max(most.estimate, least.low), least.low, most.high)


def _together(each: AxisCoverage, total: _Cost | None) -> AxisCoverage:
    """Axes that are covered one by one are covered together, or not at all."""
    if each.standing != "covered" or total is None or total.over is None:
        return each
    return replace(each, standing="not covered", reason=f"{each.reason}; over all axes together {total.over}")


def _accepted(each: AxisCoverage, accepted: Collection[str]) -> AxisCoverage:
    if each.standing == "not covered" and each.axis in accepted:
        return replace(each, standing="accepted", reason=f"{each.reason}; accepted by the recipe")
    return each


def _better(checked: Checked, reached: Mapping[str, float]) -> tuple[Interval, Interval | None]:
    """The best value expected at the target in its own unit, and what using it would gain in the unit of costs."""
    nothing = Interval(checked.value, 0.0, math.inf)
    moved = [facts for facts in checked.axes if facts.axis in reached]
    draws = optimum_draws(moved, reached) if moved else None
    if draws is None:
        return nothing, None
    found = quantiles(draws)
    optimum = Interval(2.0**found.estimate, 2.0**found.low, 2.0**found.high)
    here = _counted(lost_off(moved[0], checked.at(reached) - draws), moved, reached, 0)
    there = _counted(lost_off(moved[0], found.estimate - draws), moved, reached, 0)
    if here is None or there is None or np.isinf(there[1]).mean() > _TAIL:
        return optimum, None
    dearest = np.where(np.isinf(there[1]), there[0], there[1])
    least, most = quantiles(_less(here[0], dearest)), quantiles(_less(here[1], there[0]))
    return optimum, Interval(max(least.estimate, least.low), least.low, most.high)


def _less(here: Array, there: Array) -> Array:
    """The difference of two costs; none where nothing buys either of them back."""
    both = np.isinf(here) & np.isinf(there)
    return np.asarray(np.where(both, 0.0, here) - np.where(both, 0.0, there))


def describe_cost(cost: Interval, unit: str) -> str:
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


def _sentence(report: TargetReport) -> str:
    """The headline's second half."""
    moved = [each for each in report.axes if each.standing != "unchanged"]
    if not moved:
        return "At the target, which is the proxy's size: nothing is carried."
    words = {"covered": "covered", "not covered": "NOT COVERED", "accepted": "not covered, accepted"}
    parts = [
        f"{words[standing]}: {'; '.join(f'{each.named} {each.reason}' for each in moved if each.standing == standing)}."
        for standing in ("not covered", "accepted", "covered")
        if any(each.standing == standing for each in moved)
    ]
    best = report.optimum
    if best.low > 0 and math.isfinite(best.high):
        said = f"Best {report.hyperparameter} expected there: {best.estimate:.3g} ({best.low:.3g} to {best.high:.3g})"
        if report.gain is not None:
            said += f"; instead of {report.value:.3g} it would gain {describe_cost(report.gain, report.unit)}"
        parts.append(f"{said}.")
    return f"At the target {' '.join(parts)}"
