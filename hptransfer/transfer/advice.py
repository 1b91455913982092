"""What would decide an open verdict, most effective first."""

from __future__ import annotations

import math

import numpy as np

from hptransfer.statistics.interval import Interval
from hptransfer.transfer.criteria import FEWEST_SIZES, SHORTEST_LADDER, Bound, Ladder, SizeEvidence
from hptransfer.transfer.one_seed import ONE_SEED_LADDER, ONE_SEED_SIZES, ONE_SEED_VALUES, values_near
from hptransfer.transfer.verdict_text import ROOM, count_of

#: seeds shrink an interval with their square root; beyond this ratio other means are cheaper
_MOST_SHRINKING = 3.0
#: octaves within which values are the same
_SAME = 1e-6


def next_steps(ladder: Ladder) -> str:
    """What would decide an INCONCLUSIVE verdict, most effective first."""
    proxy = ladder.at_reference
    if proxy is not None and any(bound.of(proxy).low > bound.most for bound in ladder.bounds):
        return (
            f"Carry another value: {ladder.hyperparameter} {ladder.transferred:.3g} costs more than is allowed at "
            f"{ladder.axis} {proxy.label} itself, and more runs do not change that."
        )
    steps = []
    short = not ladder.regret_alone and (len(ladder.sizes) < FEWEST_SIZES or ladder.ratio < SHORTEST_LADDER)
    if short:
        steps.append(_sizes_wanted(ladder))
    low = [s.label for s in ladder.sizes if s.optimum.edge == "low"]
    high = [s.label for s in ladder.sizes if s.optimum.edge == "high" and math.isinf(s.optimum.high)]
    if low:
        steps.append(f"extend the grid to smaller values at {ladder.axis} {', '.join(low)}")
    if high:
        steps.append(f"extend the grid to larger values at {ladder.axis} {', '.join(high)}")
    near = [s.label for s in ladder.sizes if s.optimum.cliff_distance < ROOM]
    if near:
        steps.append(f"refine the grid below the divergence at {ladder.axis} {', '.join(near)}")
    unseen = [s.label for s in ladder.sizes if math.isinf(s.regret.estimate) and math.isfinite(s.regret.low)]
    if unseen:
        steps.append(
            f"run {ladder.hyperparameter} {ladder.transferred:.3g} itself at {ladder.axis} {', '.join(unseen)}"
        )
    carried = math.log2(ladder.transferred)
    wrong = [s.label for s in ladder.sizes if any(abs(x - carried) < _SAME for x in s.spiked)]
    if wrong:
        steps.append(
            f"run {ladder.hyperparameter} {ladder.transferred:.3g} with another seed at {ladder.axis} "
            f"{', '.join(wrong)}, where a run went wrong"
        )
    if not ladder.seeds_settle:
        steps.append(_second_seed(ladder))
    elif not (low or high) and (wanted := _seeds_wanted(ladder)):
        steps.append(wanted)
    return _capitalised("; ".join(steps or ["run more seeds at the largest and smallest size"])) + "."


def _sizes_wanted(ladder: Ladder) -> str:
    """The fewest sizes with which the ladder is long enough for TRANSFERS."""
    missing = max(1, FEWEST_SIZES - len(ladder.sizes))
    few = f"has {FEWEST_SIZES} over" if len(ladder.sizes) < FEWEST_SIZES else "spans"
    return f"add {count_of(missing, 'size')} so that the ladder {few} at least {SHORTEST_LADDER:g}x in {ladder.axis}"


def _second_seed(ladder: Ladder) -> str:
    """What a single seed lacks: another one, or the longer and denser ladder with which one is heard."""
    second = "run a second seed at every value"
    if len(ladder.sizes) < FEWEST_SIZES or ladder.ratio < SHORTEST_LADDER:
        return second
    lacks = []
    missing = max(ONE_SEED_SIZES - len(ladder.sizes), 1 if ladder.ratio < ONE_SEED_LADDER else 0)
    if missing:
        lacks.append(f"add {count_of(missing, 'size')} so that at least {ONE_SEED_SIZES} span {ONE_SEED_LADDER:g}x")
    sparse = [size.label for size in ladder.sizes if values_near(size) < ONE_SEED_VALUES]
    if sparse:
        lacks.append(f"have {ONE_SEED_VALUES} values near the optimum at {ladder.axis} {', '.join(sparse)}")
    return f"{second}, or with this one {' and '.join(lacks)}" if lacks else second


def _seeds_wanted(ladder: Ladder) -> str:
    """How many seeds would shrink the deciding intervals enough, or what else to do when no number would."""
    rate = next((bound for bound in ladder.open_bounds if bound.name == "cost" and not ladder.unit.known), None)
    if rate is not None:
        if ladder.unit.gain is not None and ladder.unit.gain.high <= 0:
            return f"{ladder.unit.without_rate}: choose a bound in deviations between seeds"
        return (
            f"whether a doubling of {ladder.unit.of} gains anything decides it, not the regret: add a larger size, "
            f"or seeds at the smallest and the largest {ladder.axis}, or choose a bound in deviations between seeds"
        )
    shrinks, wanted = [], set()
    if not ladder.stays:
        shrinks.append(_shrinking_of_drift(ladder))
        wanted |= {size.value for size in ladder.sizes}
    for bound in ladder.open_bounds:
        for size in ladder.sizes:
            if bound.of(size).high > bound.most:
                if bound.name == "cost" and _rate_is_the_limit(ladder, size, bound.most):
                    return _better_rate(ladder)
                shrinks.append(_shrinking(bound.of(size), bound))
                wanted.add(size.value)
    if not shrinks or any(math.isnan(each) for each in shrinks):  # an end is open: seeds do not close it
        return ""
    shrink = max(1.0, *shrinks)
    if not shrink <= _MOST_SHRINKING:
        wider = "" if ladder.regret_alone else "widen the ladder, or "
        return f"more seeds alone will not do: {wider}halve the spacing of the grid around the optima"
    return _seeds_in_words(ladder, [size for size in ladder.sizes if size.value in wanted], shrink)


def _shrinking_of_drift(ladder: Ladder) -> float:
    """By how much the drift's interval is to shrink; nan where it is open."""
    drift, asked = ladder.drift, ladder.criteria.drift
    if asked is None or not drift.bounded:
        return math.nan
    return _ratio((drift.high - drift.low) / 2, abs(asked - abs(drift.estimate)))


def _shrinking(found: Interval, bound: Bound) -> float:
    """By how much an interval is to shrink: to below its bound, or out of it where the estimate lies above."""
    if math.isinf(found.high):
        return math.nan
    over = found.estimate > bound.most
    reach = found.estimate - found.low if over else found.high - found.estimate
    return _ratio(reach, abs(bound.most - found.estimate))


def _better_rate(ladder: Ladder) -> str:
    gain, unit = ladder.unit.gain, ladder.unit
    buys = "" if gain is None else f" ({gain.low:.2g} to {gain.high:.2g} of loss at the largest)"
    return (
        f"what a doubling of {unit.of} buys{buys} is less well known than the regret: add a size, or seeds at the "
        f"smallest and the largest {ladder.axis}, around their optima"
    )


def _seeds_in_words(ladder: Ladder, wanted: list[SizeEvidence], shrink: float) -> str:
    """So many seeds at these sizes, with what they take."""
    extra = max(1, math.ceil(ladder.seeds * shrink**2) - ladder.seeds)
    values = [len({p.x for p in size.points}) for size in wanted]
    each = [math.fsum(p.flops for p in size.points) / max(1, len(size.points)) for size in wanted]
    flops = extra * math.fsum(count * cost for count, cost in zip(values, each, strict=True))
    cost = f"{extra * sum(values)} more trials" + (f", {flops:.2g} FLOPs" if flops else "")
    some = len(wanted) < len(ladder.sizes)
    where = f" at {ladder.axis} {', '.join(size.label for size in wanted)}" if some else ""
    return f"about {ladder.seeds + extra} seeds per value instead of {ladder.seeds}{where} ({cost})"


def _rate_is_the_limit(ladder: Ladder, size: SizeEvidence, most: float) -> bool:
    """Whether the cost would hold if the rate were known, and would not if the regret were."""
    curved = [each for each in ladder.sizes if not math.isnan(each.optimum.curvature)]
    rate, place = ladder.unit.rate, curved.index(size) if size in curved else -1
    if rate is None or place < 0 or math.isinf(size.regret.high):
        return False
    costs = rate.doublings(place, np.full_like(rate.exponent, size.regret.estimate))
    by_rate = float(np.quantile(costs, 0.975, method="nearest"))
    return ladder.unit.doublings_of(size.regret.high, place) <= most < by_rate


def _ratio(numerator: float, denominator: float) -> float:
    return numerator / denominator if denominator > 0 else math.inf


def _capitalised(text: str) -> str:
    return text[:1].upper() + text[1:]
