"""The words around a verdict: what was found, what the evidence cannot show, what would decide it."""

from __future__ import annotations

import math

from hptransfer.sizes import size_text
from hptransfer.statistics.interval import Interval
from hptransfer.transfer.criteria import FEWEST_SIZES, SHORTEST_LADDER, Ladder, SizeEvidence
from hptransfer.transfer.one_seed import ONE_SEED_LADDER, ONE_SEED_SIZES, ONE_SEED_VALUES
from hptransfer.verdict import Verdict

#: below these, published and own measurements mislead (shared experience: ladders under 8x, bases under 64)
_LADDER = 8.0
_BASE_WIDTH = 64
#: the cost of being an octave off may grow by this factor, less 1, per doubling (robustness should not worsen by more)
_FORGIVING = 0.2
#: a largest size whose loss is below this share of the smallest's has learned its data by heart
_MEMORISED = 0.1
#: fewest octaves to the smallest diverged value that leave room for a step up
_ROOM = 1.0
#: values that blew up are named one by one up to this many
_MOST_NAMED = 3
#: seeds shrink an interval with their square root; beyond this ratio other means are cheaper
_MOST_SHRINKING = 3.0


def sentence_of(ladder: Ladder, verdict: Verdict) -> str:
    """The verdict's sentence with its numbers.

    Args:
        ladder: all sizes of one axis with the drift between them.
        verdict: the outcome that the sentence is for.
    """
    return verdict.sentence(
        subject=f"{ladder.hyperparameter} {ladder.transferred:.4g}",
        axis=ladder.axis,
        reference=size_text(ladder.reference),
        largest=ladder.largest.label,
        drift=describe_drift(ladder.drift),
        regret=describe_regret(ladder.largest),
        reason=_reason(ladder, verdict),
    )


def describe_drift(drift: Interval) -> str:
    """The drift in words, for example "the optimum moves +0.02 octaves per doubling (-0.03 to +0.07)"."""
    if drift.bounded:
        return f"the optimum moves {drift.estimate:+.2f} octaves per doubling ({drift.low:+.2f} to {drift.high:+.2f})"
    if math.isfinite(drift.high):
        return f"the optimum moves at most {drift.high:+.2f} octaves per doubling"
    if math.isfinite(drift.low):
        return f"the optimum moves at least {drift.low:+.2f} octaves per doubling"
    return "how far the optimum moves per doubling is open"


def describe_regret(size: SizeEvidence) -> str:
    """The relative regret in words."""
    regret = size.relative_regret
    if math.isinf(regret.low):
        return "training diverges at the proxy's value there"
    if math.isinf(regret.high):
        at_least = f" (at least {regret.low:.2%})" if regret.low > 0 else ""
        return f"what the proxy's value costs there is open{at_least}"
    return f"the proxy's value costs {regret.estimate:.2%} of the loss there ({regret.low:.2%} to {regret.high:.2%})"


def describe_growth(growth: Interval) -> str:
    """How the cost of being an octave off changes with size, in words."""
    return f"{growth.estimate:+.0%} per doubling ({growth.low:+.0%} to {growth.high:+.0%})"


def _reason(ladder: Ladder, verdict: Verdict) -> str:
    asked = ladder.criteria
    if verdict is Verdict.DRIFTS:
        parts = []
        if ladder.drift.outside(asked.drift) and not ladder.regret_alone:
            parts.append(f"{describe_drift(ladder.drift)}, beyond the allowed {asked.drift:g}")
        if ladder.regret_grew:
            parts.append(f"{describe_regret(ladder.largest)}, more than the allowed {asked.regret:.2%}")
        return " and ".join(parts)
    return "; ".join(_open_questions(ladder))


def _open_questions(ladder: Ladder) -> list[str]:
    """Each condition of TRANSFERS that is not met."""
    asked, regret = ladder.criteria, ladder.largest.relative_regret
    questions = []
    short = len(ladder.sizes) < FEWEST_SIZES or ladder.ratio < SHORTEST_LADDER
    if short and not ladder.regret_alone:
        questions.append(f"{_count(len(ladder.sizes), 'size')} over {ladder.ratio:.3g}x are too few to tell")
    if not ladder.seeds_settle:
        questions.append(
            f"a single seed can tell only with {ONE_SEED_SIZES} sizes over {ONE_SEED_LADDER:g}x and {ONE_SEED_VALUES} "
            "values near each optimum"
        )
    if not ladder.drift.inside(asked.drift) and not ladder.regret_alone:
        questions.append(f"{describe_drift(ladder.drift)}, allowed is {asked.drift:g}")
    if not regret.high <= asked.regret:
        questions.append(f"{describe_regret(ladder.largest)}, allowed is {asked.regret:.2%}")
    return questions


def evidence_limits(ladder: Ladder, *, worse: bool = False, growth: Interval | None = None) -> tuple[str, ...]:
    """What this evidence cannot show even where the verdict is clear, one sentence each.

    Args:
        ladder: all sizes of one axis with the drift between them.
        worse: a larger size clearly trains worse at its own optimum.
        growth: factor, less 1, by which the cost of being an octave off grows per doubling; None where not known.
    """
    sizes, axis = ladder.sizes, ladder.axis
    limits = []
    if ladder.ratio < _LADDER and not ladder.regret_alone:
        limits.append(f"The ladder spans {ladder.ratio:.3g}x in {axis}; less than 8x says little about larger sizes.")
    if len(sizes) < FEWEST_SIZES and not ladder.regret_alone:
        limits.append(
            f"{_count(len(sizes), 'size')} cannot show whether the optimum moves; at least {FEWEST_SIZES} can."
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
    limits.extend(
        f"At {axis} {size.label} and {ladder.hyperparameter} {math.exp2(x):.3g} seeds differ far more than at other "
        "values, so these runs count for less: check their loss curves."
        for size in sizes
        for x in size.spiked
    )
    limits.extend(_blown_limit(axis, ladder.hyperparameter, size) for size in sizes if size.blown)
    limits.extend(
        f"At {axis} {size.label} divergence begins {size.optimum.cliff_distance:.2g} octaves above the optimum."
        for size in sizes
        if size.optimum.cliff_distance < _ROOM
    )
    if worse:
        limits.append(f"A larger {axis} trains to a higher loss even at its own optimum: check for a scaling mistake.")
    if growth is not None and growth.low > _FORGIVING:
        limits.append(
            f"The larger the {axis}, the more a wrong {ladder.hyperparameter} costs: {describe_growth(growth)}."
        )
    if 0 < sizes[-1].best_loss < _MEMORISED * sizes[0].best_loss:  # below zero nothing is memorised
        limits.append(
            f"The loss at {axis} {sizes[-1].label} is {sizes[-1].best_loss / sizes[0].best_loss:.1%} of that at "
            f"{sizes[0].label}: where training data are memorised, the gain from {axis} and what is relative to the "
            "loss say little. Judge held-out losses, or fewer epochs."
        )
    proxy = ladder.at_reference
    if proxy is not None and proxy.relative_regret.low > ladder.criteria.regret:
        limits.append(
            f"At the proxy itself the transferred value costs {proxy.relative_regret.estimate:.2%} already: tune again."
        )
    return tuple(limits)


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
    if optimum.edge == "low":
        return f"{where} smallest value tried is the best: the optimum is at most about {optimum.value:.3g}."
    if math.isfinite(optimum.high):
        return f"{where} last value before divergence is the best: the cliff bounds the optimum."
    return f"{where} largest value tried is the best: the optimum is at least about {optimum.value:.3g}."


def next_steps(ladder: Ladder) -> str:
    """What would decide an INCONCLUSIVE verdict, most effective first."""
    steps = []
    if not ladder.regret_alone and (len(ladder.sizes) < FEWEST_SIZES or ladder.ratio < _LADDER):
        missing = max(1, FEWEST_SIZES + 1 - len(ladder.sizes))
        steps.append(f"add {_count(missing, 'size')} so that the ladder spans at least 8x in {ladder.axis}")
    low = [s.label for s in ladder.sizes if s.optimum.edge == "low"]
    high = [s.label for s in ladder.sizes if s.optimum.edge == "high" and math.isinf(s.optimum.high)]
    if low:
        steps.append(f"extend the grid to smaller values at {ladder.axis} {', '.join(low)}")
    if high:
        steps.append(f"extend the grid to larger values at {ladder.axis} {', '.join(high)}")
    near = [s.label for s in ladder.sizes if s.optimum.cliff_distance < _ROOM]
    if near:
        steps.append(f"refine the grid below the divergence at {ladder.axis} {', '.join(near)}")
    if math.isinf(ladder.largest.relative_regret.estimate) and math.isfinite(ladder.largest.relative_regret.low):
        steps.append(
            f"run {ladder.hyperparameter} {ladder.transferred:.3g} itself at {ladder.axis} {ladder.largest.label}"
        )
    if not ladder.noise_known:
        steps.append("run a second seed at every value")
    elif not (low or high) and (wanted := _seeds_wanted(ladder)):
        steps.append(wanted)
    return _capitalised("; ".join(steps or ["run more seeds at the largest and smallest size"])) + "."


def _seeds_wanted(ladder: Ladder) -> str:
    """How many seeds would shrink the deciding interval enough, or what else to do when no number would."""
    asked, drift, regret = ladder.criteria, ladder.drift, ladder.largest.relative_regret
    still = drift.inside(asked.drift) or ladder.regret_alone
    if not drift.bounded or (still and not asked.regret < regret.high < math.inf):
        return ""
    shrink = 1.0
    if not still:
        shrink = _ratio((drift.high - drift.low) / 2, abs(asked.drift - abs(drift.estimate)))
    if asked.regret < regret.high < math.inf:
        shrink = max(shrink, _ratio((regret.high - regret.low) / 2, abs(asked.regret - regret.estimate)))
    if not shrink <= _MOST_SHRINKING:
        wider = "" if ladder.regret_alone else "widen the ladder, or "
        return f"more seeds alone will not do: {wider}halve the spacing of the grid around the optima"
    seeds = math.ceil(ladder.seeds * shrink**2)
    extra = max(1, seeds - ladder.seeds)
    values = [len({p.x for p in size.points}) for size in ladder.sizes]
    each = [math.fsum(p.flops for p in size.points) / max(1, len(size.points)) for size in ladder.sizes]
    flops = extra * math.fsum(count * cost for count, cost in zip(values, each, strict=True))
    cost = f"{extra * sum(values)} more trials" + (f", {flops:.2g} FLOPs" if flops else "")
    return f"about {ladder.seeds + extra} seeds per value instead of {ladder.seeds} ({cost})"


def _ratio(numerator: float, denominator: float) -> float:
    return numerator / denominator if denominator > 0 else math.inf


def _count(n: int, noun: str) -> str:
    return f"{n} {noun}{'' if n == 1 else 's'}"


def _capitalised(text: str) -> str:
    return text[:1].upper() + text[1:]
