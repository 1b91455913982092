"""The words around a verdict: what was found, what the evidence cannot show, what would decide it."""

from __future__ import annotations

import math
from collections.abc import Sequence

from hptransfer.sizes import size_text, size_word
from hptransfer.statistics.interval import Interval
from hptransfer.statistics.path import Path
from hptransfer.transfer.cost import COMPUTE, DEVIATIONS, CostUnit
from hptransfer.transfer.cost_text import amount, describe_bound, describe_cost, signed
from hptransfer.transfer.criteria import FEWEST_SIZES, SHORTEST_LADDER, Bound, Ladder, SizeEvidence
from hptransfer.transfer.one_seed import ONE_SEED_LADDER, ONE_SEED_SIZES, ONE_SEED_VALUES, one_seed_lacks
from hptransfer.transfer.path_text import moving_limits, path_limits
from hptransfer.verdict import Verdict

#: below these, published and own measurements mislead (shared experience: ladders under 8x, bases under 64)
LADDER = 8.0
_BASE_WIDTH = 64
#: the cost of being an octave off may grow by this factor, less 1, per doubling (robustness should not worsen by more)
_FORGIVING = 0.2
#: a largest size whose loss is below this share of the smallest's has learned its data by heart
_MEMORISED = 0.1
#: fewest octaves to the smallest diverged value that leave room for a step up
ROOM = 1.0
#: log2 values closer than this are the same
_SAME = 1e-6
#: an end of an interval this close to its bound, as a share of it, may lie on its other side in a nonlinear unit
_CLOSE = 0.2
#: along these nothing says that a larger size must train to a lower loss, at its optimum or at a fixed value
NOT_OF_THE_MODEL = frozenset({"batch_size", "tokens"})
#: values that blew up are named one by one up to this many
_MOST_NAMED = 3


def sentence_of(ladder: Ladder) -> str:
    """The verdict's sentence with its numbers.

    Args:
        ladder: all sizes of one axis with the drift between them.
    """
    verdict, largest = ladder.verdict, ladder.largest
    if verdict is Verdict.TRANSFERS:
        reason = _costs_at_most(ladder)
    elif verdict is Verdict.DRIFTS:
        reason = _violation(ladder)
        largest = largest if ladder.broken is None else ladder.broken[1]
    else:
        reason = "; ".join(_open_questions(ladder))
    return verdict.sentence(
        subject=f"{ladder.hyperparameter} {ladder.transferred:.4g}",
        axis=ladder.axis,
        reference=size_text(ladder.reference),
        largest=largest.label,
        reason=reason,
    )


def describe_drift(drift: Interval) -> str:
    """The drift in words, for example "the optimum moves +0.02 octaves per doubling (-0.03 to +0.07)"."""
    if drift.bounded:
        moved, low, high = (signed(each, ".2f") for each in (drift.estimate, drift.low, drift.high))
        return f"the optimum moves {moved} octaves per doubling ({low} to {high})"
    if math.isfinite(drift.high):
        return f"the optimum moves at most {signed(drift.high, '.2f')} octaves per doubling"
    if math.isfinite(drift.low):
        return f"the optimum moves at least {signed(drift.low, '.2f')} octaves per doubling"
    return "how far the optimum moves per doubling is open"


def describe_growth(growth: Interval) -> str:
    """How the cost of being an octave off changes with size, in words."""
    middle, low, high = (signed(each, ".0%") for each in (growth.estimate, growth.low, growth.high))
    return f"{middle} per doubling ({low} to {high})"


def _costs_at_most(ladder: Ladder) -> str:
    """What a TRANSFERS rests on: each bound with the largest upper end, and the cost at the largest size."""
    sizes, largest, parts = ladder.sizes, ladder.largest, []
    for bound in ladder.bounds:
        highest = max(bound.of(size).high for size in sizes)
        here, allowed = bound.of(largest), describe_bound(ladder.unit, bound)
        if bound.name == "regret":
            parts.append(
                f"{highest:.2%} of the loss ({here.estimate:.2%} at {largest.label}; allowed {bound.most:.2%})"
            )
            continue
        unit = ladder.unit.doublings if bound.name == "cost" else DEVIATIONS
        at_most = amount(highest, bound.most)
        parts.append(f"{at_most} {unit} ({amount(here.estimate, bound.most)} at {largest.label}; allowed {allowed})")
    where = f"at {ladder.axis} {sizes[0].label} to {largest.label}" if len(sizes) > 1 else f"at {largest.label}"
    said = f"costs at most {' and '.join(parts)} {where}"
    if len(parts) == 1:  # "... of compute at width 64 to 1024 (...)" reads better with a single number
        number, _, rest = parts[0].partition(" (")
        said = f"costs at most {number} {where} ({rest}"
    if ladder.criteria.drift is not None and not ladder.regret_alone:
        said += f"; {describe_drift(ladder.drift)} (allowed {ladder.criteria.drift:g})"
    return said


def _violation(ladder: Ladder) -> str:
    """What a DRIFTS rests on."""
    parts = []
    if ladder.broken is not None:
        bound, size = ladder.broken
        parts.append(describe_cost(ladder.unit, size, bound))
        if math.isfinite(size.regret.low):
            parts[-1] += f", allowed is {describe_bound(ladder.unit, bound)}"
        if bound.name == "cost" and not ladder.unit.known and math.isfinite(size.deviations.high):
            parts[-1] += f"; that is {describe_cost(ladder.unit, size).removeprefix('it costs ').replace(' there', '')}"
    if ladder.moves:
        parts.append(f"{describe_drift(ladder.drift)}, beyond the allowed {ladder.criteria.drift:g}")
    return " and ".join(parts)


def _open_questions(ladder: Ladder) -> list[str]:
    """Each condition of TRANSFERS that is not met."""
    questions = []
    short = len(ladder.sizes) < FEWEST_SIZES or ladder.ratio < SHORTEST_LADDER
    if short and not ladder.regret_alone:
        questions.append(f"{count_of(len(ladder.sizes), 'size')} over {ladder.ratio:.3g}x are too few to tell")
    if not ladder.seeds_settle:
        alone = [size.label for size in ladder.sizes if size.optimum.noise_from == "scatter"]
        where = f" at {ladder.axis} {', '.join(alone)}" if len(alone) < len(ladder.sizes) else ""
        questions.append(
            f"a single seed{where} can tell only with {ONE_SEED_SIZES} sizes over {ONE_SEED_LADDER:g}x and "
            f"{ONE_SEED_VALUES} values near each optimum, and {one_seed_lacks(ladder.sizes)}"
        )
    if not ladder.stays:
        questions.append(f"{describe_drift(ladder.drift)}, allowed is {ladder.criteria.drift:g}")
    for bound in ladder.open_bounds:
        if bound.name == "cost" and not ladder.unit.known:
            questions.append(_no_rate(ladder))
            continue
        size = max(ladder.sizes, key=lambda size: (bound.of(size).high, bound.of(size).low, size.value))
        said = describe_cost(ladder.unit, size, bound).replace(" there", f" at {ladder.axis} {size.label}", 1)
        questions.append(f"{said}, allowed is {describe_bound(ladder.unit, bound)}")
    return questions


def _no_rate(ladder: Ladder) -> str:
    """Why a cost has no upper end in doublings, and what it is in deviations between seeds."""
    size = ladder.dearest
    said = describe_cost(ladder.unit, size).replace(" there", f" at {ladder.axis} {size.label}", 1)
    return f"{ladder.unit.without_rate}, so doublings bound no cost; {said}"


def evidence_limits(
    ladder: Ladder,
    *,
    worse: bool = False,
    growth: Interval | None = None,
    path: Path | None = None,
    instead: Sequence[SizeEvidence] | None = None,
) -> tuple[str, ...]:
    """What this evidence cannot show even where the verdict is clear, one sentence each.

    Args:
        ladder: all sizes of one axis with the drift between them.
        worse: a larger size clearly trains worse at its own optimum.
        growth: factor, less 1, by which the cost of being an octave off grows per doubling; None where not known.
        path: of the optima from size to size; None where it is not known.
        instead: the sizes with what the proxy's own optimum would cost at them if it were carried; None where that was
            not asked.
    """
    sizes, axis = ladder.sizes, ladder.axis
    limits = [] if path is None else list(moving_limits(path, ladder))
    if ladder.ratio < LADDER and not ladder.regret_alone:
        limits.append(f"The ladder spans {ladder.ratio:.3g}x in {axis}; less than 8x says little about larger sizes.")
    if len(sizes) < FEWEST_SIZES and not ladder.regret_alone:
        limits.append(
            f"{count_of(len(sizes), 'size')} cannot show whether the optimum moves; at least {FEWEST_SIZES} can."
        )
    if ladder.seeds < 2:
        limits.append(
            "One seed: noise is guessed from the scatter about smooth curves; how far the seed itself displaces optima "
            "is assumed as measured on the ladders of other recipes (0.1 octaves, within a factor of 4)."
        )
    if axis == "width" and sizes[0].value < _BASE_WIDTH:
        limits.append(f"Width {sizes[0].label} is under 64, where finite-width effects exceed what is measured.")
    if ladder.at_reference is None:
        limits.append(f"The ladder has no runs at the proxy's own {axis} {size_text(ladder.reference)}.")
    limits.extend(
        _limit_of_size(axis, size) for size in sizes if size.optimum.edge or math.isnan(size.optimum.curvature)
    )
    limits.extend(_spiked_limit(axis, ladder.hyperparameter, size, x) for size in sizes for x in size.spiked)
    limits.extend(_blown_limit(axis, ladder.hyperparameter, size) for size in sizes if size.blown)
    limits.extend(
        f"At {axis} {size.label} divergence begins {size.optimum.cliff_distance:.2g} octaves above the optimum."
        for size in sizes
        if size.optimum.cliff_distance < ROOM
    )
    limits.extend(() if path is None else path_limits(path, ladder))
    if worse:
        limits.append(_worse(axis))
    if growth is not None and growth.low > _FORGIVING:
        limits.append(
            f"The larger the {size_word(axis)}, the more a wrong {ladder.hyperparameter} costs: "
            f"{describe_growth(growth)}."
        )
    if 0 < sizes[-1].best_loss < _MEMORISED * sizes[0].best_loss:  # below zero nothing is memorised
        limits.append(
            f"The loss at {axis} {sizes[-1].label} is {sizes[-1].best_loss / sizes[0].best_loss:.1%} of that at "
            f"{sizes[0].label}: where training data are memorised, the gain from {axis} and what is relative to the "
            "loss say little. Judge held-out losses, or fewer epochs."
        )
    return (*limits, *_limits_of_unit(ladder), *_limits_of_proxy(ladder, instead))


def _worse(axis: str) -> str:
    """A larger size that is clearly worse at its own optimum."""
    said = f"A larger {size_word(axis)} trains to a higher loss even at its own optimum"
    if axis not in NOT_OF_THE_MODEL:
        return f"{said}: check for a scaling mistake."
    return f"{said}: growing {axis} costs loss here, whatever is carried."


def _counts_as(unit: CostUnit) -> str:
    """How many doublings of compute one of the size is, and why."""
    if unit.takes == 1:
        return "one of compute, which it may not be"
    return f"{unit.takes:g} of compute: matrices grow as the square of a width, embeddings less"


def _limits_of_unit(ladder: Ladder) -> list[str]:
    """What the unit of the cost cannot show."""
    unit, axis, limits = ladder.unit, ladder.axis, []
    if unit.borrowed is not None:
        limits.append(
            f"Runs do not differ in compute along {axis}: what a doubling of compute buys was measured over "
            f"{unit.borrowed}, at the proxy."
        )
    elif unit.of != COMPUTE and unit.known:
        limits.append(
            f"What runs took in compute is not known or does not differ: costs are in doublings of {axis}, and one of "
            f"them counts as {_counts_as(unit)}."
        )
    if not unit.known and len(ladder.sizes) > 1:
        limits.append(
            f"{unit.without_rate[:1].upper()}{unit.without_rate[1:]}, so costs are given in {DEVIATIONS}; whether they "
            "are small enough is for you to say (`deviations` among the criteria)."
        )
    if ladder.criteria.regret is not None:
        limits.append("The bound on the regret is a fraction of the loss: it depends on how the loss is written.")
    close = [bound for bound in ladder.bounds if _close(ladder, bound)]
    if close:
        ends = " and ".join(
            f"{'deviations' if bound.name == 'deviations' else 'cost'} of {describe_bound(ladder.unit, bound)}"
            for bound in close
        )
        limits.append(
            f"An interval ends close to the allowed {ends}: with the loss in a unit that is no multiple of this one "
            "(perplexity, an error rate) the verdict may be another."
        )
    return limits


def _close(ladder: Ladder, bound: Bound) -> bool:
    """Whether the end that decides, or keeps from deciding, lies close to what is allowed."""
    if ladder.broken is not None:
        broken, size = ladder.broken
        return broken == bound and bound.of(size).low <= bound.most * (1 + _CLOSE)
    highest = max(bound.of(size).high for size in ladder.sizes)
    return bound.most * (1 - _CLOSE) <= highest <= bound.most * (1 + _CLOSE)


def excluded_by_proxy(ladder: Ladder) -> float | None:
    """The proxy's own optimum, log2, where its interval excludes the carried value; None where it does not.

    Args:
        ladder: all sizes of one axis.
    """
    if ladder.at_reference is None:
        return None
    optimum = ladder.at_reference.optimum
    return None if optimum.low <= math.log2(ladder.transferred) <= optimum.high else optimum.log2_value


def _limits_of_proxy(ladder: Ladder, instead: Sequence[SizeEvidence] | None) -> list[str]:
    """Whether the carried value is the proxy's best at all, and whether another one would be better carried."""
    proxy = ladder.at_reference
    if proxy is None:
        return []
    optimum, at, value = proxy.optimum, math.log2(ladder.transferred), f"{ladder.transferred:.3g}"
    dear = [bound for bound in ladder.bounds if bound.of(proxy).low > bound.most]
    if dear:
        said = describe_cost(ladder.unit, proxy, dear[0]).replace(" there", "", 1)
        allowed, better = describe_bound(ladder.unit, dear[0]), _better(ladder, instead)
        again = f"{better} Tune again." if better else ""
        return [
            f"At the proxy itself {ladder.hyperparameter} {value} costs more than is allowed: {said}, allowed is "
            f"{allowed}; its optimum there is {optimum.value:.3g}.{again}"
        ]
    if excluded_by_proxy(ladder) is None:
        return []
    near = min((point.x for point in proxy.points), key=lambda x: abs(x - at), default=math.inf)
    single = min((p for p in proxy.points if not p.diverged), key=lambda p: p.loss, default=None)
    if abs(near - at) > _SAME:
        why = ", which none of its runs has"
    elif single is not None and abs(single.x - at) <= _SAME:
        why = f": one run's luck, seed {single.seed} is best there, the mean over seeds is not"
    else:
        why = ", which its runs have and which is not the best of them"
    ends = f"{_end(optimum.low)} to {_end(optimum.high)}"
    known = math.isfinite(proxy.cost.high)
    costs = f" There {value} costs at most {amount(proxy.cost.high)} {ladder.unit.name}." if known else ""
    best = f"{optimum.value:.3g} ({ends}), excludes the carried {value}{why}"
    return [f"At the proxy another value is better: its optimum, {best}.{costs}{_better(ladder, instead)}"]


def _better(ladder: Ladder, instead: Sequence[SizeEvidence] | None) -> str:
    """That the proxy's own optimum is the better value to carry, where the checked sizes say so; else nothing.

    What is best at the proxy may cost more than another value at larger sizes, so all of them are asked: at the size
    where each of the two may cost most, the proxy's optimum must cost less by estimate and by upper end.
    """
    if instead is None or len(instead) < 2:
        return ""
    dearest, own = max(instead, key=lambda size: (size.cost.high, size.cost.low)).cost, ladder.dearest.cost
    if not (dearest.high < own.high and dearest.estimate < own.estimate):
        return ""
    carried, other = amount(own.high, dearest.high), amount(dearest.high, own.high)
    proxy = ladder.at_reference
    if proxy is None:
        return ""
    return (
        f" Carried in its place, {proxy.optimum.value:.3g} would cost at most {other} {ladder.unit.name} at the "
        f"checked sizes; {ladder.transferred:.3g} costs up to {carried}."
    )


def _end(log2_value: float) -> str:
    return "open" if math.isinf(log2_value) else f"{math.exp2(log2_value):.3g}"


def _spiked_limit(axis: str, hyperparameter: str, size: SizeEvidence, x: float) -> str:
    """A value at which a run went wrong: its seeds contradict each other, or its only run all values beside it."""
    here = f"At {axis} {size.label} and {hyperparameter} {math.exp2(x):.3g}"
    if sum(abs(point.x - x) < _SAME for point in size.points) > 1:
        return (
            f"{here} seeds differ far more than at other values, so these runs count for less: check their loss curves."
        )
    return (
        f"{here} the only run lies far off what the values beside it lead to, so it does not count: check its loss "
        "curve, or run the value with another seed."
    )


def _blown_limit(axis: str, hyperparameter: str, size: SizeEvidence) -> str:
    """Names the values at which training blew up and the losses stayed finite."""
    values = [f"{math.exp2(x):.3g}" for x in size.blown]
    which = values[0] if len(values) == 1 else f"{', '.join(values[:-1])} and {values[-1]}"
    if len(values) > _MOST_NAMED:
        which = f"{values[0]} and above"
    return (
        f"At {axis} {size.value} the losses at {hyperparameter} {which} are blow-ups, not a curve: they bound the "
        "optimum as a divergence does."
    )


def _limit_of_size(axis: str, size: SizeEvidence) -> str:
    optimum = size.optimum
    if math.isnan(optimum.curvature):
        return f"{axis} {size.label} has under three usable values: its optimum is not estimated."
    where = f"At {axis} {size.label} the"
    if math.isinf(optimum.low) and math.isinf(optimum.high):
        return f"{where} losses do not show on which side of the values tried the optimum lies."
    if optimum.edge == "low":
        return f"{where} smallest value tried is the best: the optimum is at most about {_end(optimum.high)}."
    if math.isfinite(optimum.high):
        return f"{where} last value before divergence is the best: the cliff bounds the optimum."
    return f"{where} largest value tried is the best: the optimum is at least about {_end(optimum.low)}."


def count_of(n: int, noun: str) -> str:
    """A number of things, for example "3 sizes".

    Args:
        n: how many of them.
        noun: what one of them is called.
    """
    return f"{n} {noun}{'' if n == 1 else 's'}"
