"""What a ladder says of a target: which axes are covered, what the carried value costs there, what would be best.

The loss curve of the largest size is moved along with the optimum's path to the target, draw by draw, and what the
value loses on it is bought back at the largest size's rate. Both change on the way: what a wrong value loses, and more
so what growing gains. Their ratio goes on as the ladder shows it to (`AxisFacts.ratio_change`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from hptransfer.sizes import size_text, times_text
from hptransfer.statistics.arrays import Array
from hptransfer.statistics.interval import Interval
from hptransfer.statistics.optimum import quantiles
from hptransfer.transfer.axis_facts import AxisFacts, Price
from hptransfer.transfer.cost import DEVIATIONS
from hptransfer.transfer.coverage import (
    HORIZON,
    SAME_HORIZON,
    AxisCoverage,
    Ray,
    Standing,
    TargetReport,
    describe_price,
)
from hptransfer.transfer.prediction import lost_off, optimum_draws

#: doublings beyond the largest size over those that the ladder spans, up to which intervals were seen to cover
#: (docs/verdicts.md, benchmarks/backtest.py): real ladders were predicted no further than their own span
SUPPORTED_REACH = 1.0
#: share of the draws that an end of an interval leaves outside
_TAIL = 0.025
#: values of an axis that differ by less are the same
_SAME = 1e-9


@dataclass(frozen=True, slots=True)
class Checked:
    """One checked hyperparameter.

    Attributes:
        name: as octaves are counted of it.
        value: carried to the target, own unit.
        axes: what was found along every axis, at least one.
        moves: axis -> octaves by which the value is moved on the way to the target; none for axes that are left out.
        tuned: what would be used at the target if this value were not used instead; None where it is what was tuned.
    """

    name: str
    value: float
    axes: Sequence[AxisFacts]
    moves: Mapping[str, float] = field(default_factory=dict)
    tuned: float | None = None

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
            said = f"{self._subject} {describe_price(cost, price.unit)} there"
            if price.most is None:
                return f"{said}, and what growing buys is not known, which the bound is counted in"
            if not cost.high <= price.most:
                return f"{said}, allowed is {price.most:g}"
        return None if self.in_units else "what it costs there is not known"

    @property
    def inside(self) -> str:
        """What it costs, a clause, where it is known in the headline's unit."""
        cost, price = self.in_units[0]
        said = "an unknown amount" if cost is None else describe_price(cost, price.unit)
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
    horizon: tuple[float, float] | None = None,
    rays: Sequence[Ray] = (),
    together: Lost | None = None,
) -> TargetReport:
    """Judge a target: per axis whether the ladder covers it, and what the carried value costs there.

    Args:
        checked: hyperparameters that were checked, the first of which is the one that is spoken of; at least one.
        proxy: size by axis, of every axis of the target; nan where it is not known, which no target equals.
        target: size by axis, of what is asked about.
        unchecked: hyperparameters that were tuned on the proxy and never checked.
        horizon: tokens per parameter of proxy and target, up to a common factor; None where they are not known, or
            tokens follow the size.
        rays: what follows the size in all checked runs.
        together: what all values that are carried along with the first one lose, where one fit shows that; None where
            the checked ones are all that is known of.
    """
    moved = {axis: value for axis, value in target.items() if not math.isclose(value, proxy[axis], rel_tol=_SAME)}
    known = {facts.axis for facts in checked[0].axes}
    following = {ray.axis for ray in rays}
    along = [(axis, value) for axis, value in moved.items() if axis not in following]
    coverage = [_coverage(axis, value, checked, together) for axis, value in along]
    coverage += [ray.coverage for ray in rays if moved] + _horizon(moved, horizon)
    if moved:
        reason = "was tuned at the proxy and its optimum never checked at another size"
        coverage += [AxisCoverage(name, None, None, "not covered", None, reason) for name in unchecked]
    reached = {axis: value for axis, value in moved.items() if axis in known}
    total = _Cost.of(checked, reached) if reached else None
    joint = _Cost.of(checked, reached, together) if reached and together is not None else None
    complete = all(each.axis in reached or each.standing == "unchanged" for each in coverage if each.value is not None)
    coverage = [_together(_together(each, total), joint) for each in coverage]
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
        turns=any(facts.shape == "turns" for facts in checked[0].axes if facts.axis in reached),
        tuned=checked[0].tuned,
        together=joint.first if joint is not None and complete else None,
    ).worded()


def _coverage(axis: str, value: float, checked: Sequence[Checked], together: Lost | None) -> AxisCoverage:
    """How one axis stands: every checked hyperparameter must be covered along it."""
    ladders = [facts for each in checked for facts in each.axes if facts.axis == axis]
    if len(ladders) < len(checked) or any(len(facts.rungs) < 2 for facts in ladders):
        return AxisCoverage(axis, value, None, "not covered", None, "was never varied in a check")
    smallest, largest = ladders[0].span
    cost = _Cost.of(checked, {axis: value})
    reach = max(facts.reach(value) for facts in ladders)
    turning = [each.name for each, facts in zip(checked, ladders, strict=True) if facts.shape == "turns"]
    beyond = f"{times_text(value / largest)} times the largest checked ({size_text(largest)})"
    within = f"lies within what was checked ({size_text(smallest)} to {size_text(largest)})"
    where = f"is {beyond}" if value > largest else within
    standing: Standing = "not covered"
    if value < smallest:
        reason = f"lies below the smallest checked ({size_text(smallest)}), and backtests look beyond the largest only"
    elif turning:
        reason = f"{where}, and the optimum of {turning[0]} turns round along it"
    elif reach > SUPPORTED_REACH:
        spans = f"{reach:.3g} of the ladder's own spans beyond it"
        reason = f"{where}, which is {spans}, and backtests reach {SUPPORTED_REACH:g}"
    elif cost.over is not None:
        reason = f"{where}, and {cost.over}"
    elif together is not None and (joint := _Cost.of(checked, {axis: value}, together)).over is not None:
        reason = f"{where}, and {cost.inside}, but {joint.over}"
    else:
        standing = "covered"
        reason = f"{where}, and {cost.inside}"
        if together is not None:
            reason += f", and {joint.inside}"
    return AxisCoverage(axis, value, largest, standing, cost.first, reason)


def _horizon(moved: Mapping[str, float], horizon: tuple[float, float] | None) -> list[AxisCoverage]:
    """Tokens per parameter, where neither a ladder nor an axis of its own says it: shape and tokens both move."""
    if horizon is None or "tokens" not in moved or not any(axis in moved for axis in ("width", "depth")):
        return []
    before, after = horizon
    if abs(after / before - 1) <= SAME_HORIZON:
        return [AxisCoverage(HORIZON, after, before, "unchanged", None, "is that of the proxy")]
    reason = f"is {times_text(after / before)} times that of the proxy, and no check varied shape and tokens together"
    return [AxisCoverage(HORIZON, after, before, "not covered", None, reason)]


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
    return replace(each, standing="not covered", reason=f"{each.reason}, but over all axes together {total.over}")


def _better(checked: Checked, reached: Mapping[str, float]) -> tuple[Interval, Interval | None]:
    """The best value expected at the target in its own unit, and what using it would gain in the unit of costs."""
    nothing = Interval(checked.value, 0.0, math.inf)
    moved = [facts for facts in checked.axes if facts.axis in reached]
    draws = optimum_draws(moved, reached) if moved else None
    if draws is None:
        return nothing, None
    found = quantiles(draws)
    optimum = Interval(2.0**found.estimate, 2.0**found.low, 2.0**found.high)
    other = checked.at(reached) if checked.tuned is None else math.log2(checked.tuned)
    here = _counted(lost_off(moved[0], other - draws), moved, reached, 0)
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
