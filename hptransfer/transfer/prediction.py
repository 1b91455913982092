"""What is expected at a size before it is trained, and how it is registered so that it cannot be edited afterwards.

A prediction is written down, dated and hashed before the run: only then does it risk anything (science of the tool:
"demand held-out predictions"). The hash shows later edits; committing the file shows the date.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from hptransfer.errors import UsageError
from hptransfer.sizes import Size
from hptransfer.statistics.interval import Interval
from hptransfer.statistics.laws import FEWEST_SIZES, predict_loss
from hptransfer.transfer.judge import AxisReport, TransferReport

#: optima scatter about a line by this many octaves on top of their own errors (grid and seeds; statistics/drift.py)
_SCATTER = 0.05
_HASH = "sha256"


@dataclass(frozen=True, slots=True)
class Rung:
    """One trained size.

    Attributes:
        size: the size along this axis, for example a width.
        optimum: log2 of the best value.
        spread: its standard error in octaves; infinite where the optimum is only bounded.
        best: loss at the optimum, nats.
        loss: at the transferred value, nats; None where that is not known or diverges.
        curvature: nats per octave squared at the optimum; nan where unknown.
    """

    size: float
    optimum: float
    spread: float
    best: float
    loss: float | None
    curvature: float


@dataclass(frozen=True, slots=True)
class SeedScatter:
    """How far runs lie apart that differ in their seed alone.

    Attributes:
        deviation: standard deviation of one run's loss between seeds, nats, pooled over sizes and values.
        seeds: how many there were, the same at every size.
    """

    deviation: float
    seeds: int


def seed_scatter(runs: Iterable[tuple[float, float, int, float]], at: float) -> SeedScatter | None:
    """The scatter between seeds within an octave of a value; None with fewer than two seeds anywhere.

    Seeds that are shared by sizes and values shift them together, so a ladder's own residuals do not show it.

    Args:
        runs: (size, log2 value, seed, loss) of runs that did not diverge.
        at: log2 of the value.
    """
    groups: dict[tuple[float, float], dict[int, float]] = {}
    for size, x, seed, loss in runs:
        if abs(x - at) <= 1:
            groups.setdefault((size, x), {})[seed] = loss
    pooled = [np.array(list(group.values())) for group in groups.values() if len(group) > 1]
    if not pooled:
        return None
    squares = sum(float(((group - group.mean()) ** 2).sum()) for group in pooled)
    freedom = sum(len(group) - 1 for group in pooled)
    seeds = {seed for group in groups.values() if len(group) > 1 for seed in group}
    return SeedScatter(math.sqrt(squares / freedom), len(seeds))


@dataclass(frozen=True, slots=True)
class AxisFacts:
    """What a check found along one axis, as a prediction needs it.

    Attributes:
        axis: name of the axis, for example "width".
        reference: the proxy's value on it.
        rungs: what is known at each trained size, in increasing order.
        drift: octaves by which the optimum moves per doubling of the size.
        scatter: by how much the ladder's seeds differ near the transferred value; None where that is not known.
    """

    axis: str
    reference: float
    rungs: tuple[Rung, ...]
    drift: Interval
    scatter: SeedScatter | None = None


@dataclass(frozen=True, slots=True)
class Prediction:
    """The best value and the loss expected at a target.

    Attributes:
        target: size of the target by name of the axis.
        hyperparameter: name of the hyperparameter that was transferred.
        value: what the target is to be trained with.
        optimum: the best value there, log2, open where a drift is open.
        loss: loss at `value` for the ladder's seeds, nats; None where no law can be fitted.
        penalty: expected loss above the target's best because `value` is not the optimum, nats, from the largest size's
            curvature (meant for values below the cliff); None where unknown.
        basis: what it rests on and what it cannot know, one sentence each.
    """

    target: Mapping[str, float]
    hyperparameter: str
    value: float
    optimum: Interval
    loss: Interval | None
    penalty: Interval | None
    basis: tuple[str, ...]


def axis_facts_from_report(report: AxisReport) -> AxisFacts:
    """The facts of a fresh report."""
    rungs = tuple(
        Rung(
            size=size.value,
            optimum=size.optimum.log2_value,
            spread=size.optimum.standard_error,
            best=size.optimum.loss.estimate,
            loss=_known(size.transferred_loss.estimate),
            curvature=size.optimum.curvature,
        )
        for size in report.sizes
    )
    runs = ((size.value, run.x, run.seed, run.loss) for size in report.sizes for run in size.points if not run.diverged)
    scatter = seed_scatter(runs, math.log2(report.transferred))
    return AxisFacts(report.axis, report.reference, rungs, report.drift, scatter)


def _known(value: float) -> float | None:
    return value if math.isfinite(value) else None


def predict(axes: Sequence[AxisFacts], target: Mapping[str, float], *, hyperparameter: str, value: float) -> Prediction:
    """Predict optimum and loss at a target that may be larger along several axes.

    Axes are taken to act one by one: shifts of the log optimum and changes of the loss add up. Along an axis that was
    not checked, and that the target does not share with the proxy, there is no law: no loss is predicted then.

    Args:
        axes: what a check found, one entry per axis that was checked.
        target: size by axis; axes that are missing stay at the proxy's value.
        hyperparameter: name of the hyperparameter that was transferred.
        value: what the target is to be trained with, positive.
    """
    checked = {facts.axis: facts for facts in axes}
    unchecked = [axis for axis in target if axis not in checked]
    moved = [facts for facts in axes if target.get(facts.axis, facts.reference) != facts.reference]
    lead = moved or list(axes[:1])
    optimum = _optimum(lead, target)
    basis = [_described(facts, target) for facts in moved]
    penalty = _penalty(lead, optimum, value)
    loss, reason = _loss(lead, target, at_best=penalty is not None)
    if unchecked:
        loss, reason = None, f"{', '.join(unchecked)} was not checked"
    if loss is None:
        basis.append(f"No loss is predicted: {reason}.")
    else:
        basis += _seed_sentence(lead)
        if penalty is not None:
            loss = _sum(loss, penalty)
    return Prediction(dict(target), hyperparameter, value, optimum, loss, penalty, tuple(basis))


def predict_target(
    report: TransferReport, *, proxy: Size, target: Size, on_ray: bool = False, value: float | None = None
) -> Prediction | None:
    """What the first checked value is expected to cost at the target; None where the target is the proxy.

    Args:
        report: the judgement of a check.
        proxy: size at which the value was tuned.
        target: size to predict for.
        on_ray: whether its tokens are those that belong to its shape, as those of the checked sizes do.
        value: what the target is trained with; None for the value that was checked.
    """
    first = report.axes[0]
    axes = [axis_facts_from_report(axis) for axis in report.axes if axis.hyperparameter == first.hyperparameter]
    moved = moved_axes(proxy, target, on_ray=on_ray)
    carried = first.transferred if value is None else value
    return predict(axes, moved, hyperparameter=first.hyperparameter, value=carried) if moved else None


def moved_axes(proxy: Size, target: Size, *, on_ray: bool = False) -> dict[str, float]:
    """The target's value on every axis on which it is not the proxy's; on a ray, tokens are no axis of their own.

    Args:
        proxy: size at which a value was tuned.
        target: size to predict for.
        on_ray: whether its tokens are those that belong to its shape, as those of the checked sizes do.
    """
    moved = {axis: value for axis, value in asdict(target).items() if value != getattr(proxy, axis)}
    return {axis: value for axis, value in moved.items() if axis != "tokens" or not on_ray}


def _seed_sentence(axes: Sequence[AxisFacts]) -> list[str]:
    """What the interval of a loss leaves out: it is that of a law through losses of the same few seeds."""
    scatter = axes[0].scatter if axes else None
    if scatter is None:
        return ["How far another seed would end from this loss is not known, and not in its interval."]
    return [
        f"Between {scatter.seeds} seeds one run's loss differs by {scatter.deviation:.2g} (standard deviation); the "
        "interval is the law's and does not include that."
    ]


def _described(facts: AxisFacts, target: Mapping[str, float]) -> str:
    largest = facts.rungs[-1].size
    ratio = target[facts.axis] / largest
    reach = f"{ratio:.3g} times beyond the largest" if ratio > 1 else "within what was trained"
    sizes = ", ".join(f"{rung.size:g}" for rung in facts.rungs)
    return f"{facts.axis} {target[facts.axis]:g} lies {reach}, from {facts.axis} {sizes}."


def _optimum(axes: Sequence[AxisFacts], target: Mapping[str, float]) -> Interval:
    """Log2 optimum: the line through the first axis's optima, then the shifts along the others."""
    estimate = low = high = 0.0
    below = above = 0.0
    for index, facts in enumerate(axes):
        aim = math.log2(target.get(facts.axis, facts.reference))
        if index == 0:
            middle, centre, error = _centre(facts)
            lever = aim - middle
            estimate += centre
            below, above = error**2, error**2
        else:
            lever = aim - math.log2(facts.reference)
        ends = sorted((lever * facts.drift.low, lever * facts.drift.high)) if lever else [0.0, 0.0]
        shift = min(max(lever * facts.drift.estimate, ends[0]), ends[1])
        estimate += shift
        below += (shift - ends[0]) ** 2
        above += (ends[1] - shift) ** 2
    low, high = estimate - math.sqrt(below), estimate + math.sqrt(above)
    return Interval(estimate, low, high)


def _centre(facts: AxisFacts) -> tuple[float, float, float]:
    """(mean log2 size, mean log2 optimum, 95% half-width), weighted by how well each optimum is known."""
    known = [rung for rung in facts.rungs if math.isfinite(rung.spread)]
    if not known:
        return math.log2(facts.rungs[0].size), facts.rungs[0].optimum, math.inf
    weight = np.array([1 / (rung.spread**2 + _SCATTER**2) for rung in known])
    weight /= weight.sum()
    middle = float(weight @ [math.log2(rung.size) for rung in known])
    centre = float(weight @ [rung.optimum for rung in known])
    error = math.sqrt(float(sum(w * w * (rung.spread**2 + _SCATTER**2) for w, rung in zip(weight, known, strict=True))))
    return middle, centre, 1.96 * error


def _loss(axes: Sequence[AxisFacts], target: Mapping[str, float], *, at_best: bool) -> tuple[Interval | None, str]:
    """One run's loss at the target, or why there is none.

    The law is that of the best losses where the penalty of not being at the optimum can be added to it: with a drift
    that penalty grows with the square of the doublings, which no power law foresees.
    """
    total: Interval | None = None
    for facts in axes:
        if any(rung.loss is None for rung in facts.rungs):
            return None, f"the loss at the transferred value is not known at every {facts.axis}"
        known = {rung.size: rung.best if at_best else float(rung.loss or 0) for rung in facts.rungs}
        if len(known) < FEWEST_SIZES:
            return None, f"a law along {facts.axis} needs {FEWEST_SIZES} sizes, and there are {len(known)}"
        if not all(math.isfinite(loss) and loss > 0 for loss in known.values()):
            return None, f"a power law along {facts.axis} needs losses that are positive and finite"
        found = predict_loss(list(known), list(known.values()), target.get(facts.axis, facts.reference)).loss
        if total is None:
            total = found
            continue
        start = known.get(facts.reference)
        if start is None:
            return None, f"there is no run at the proxy's own {facts.axis}"
        total = _sum(total, Interval(found.estimate - start, found.low - start, found.high - start))
    return total, "nothing was checked"


def _sum(left: Interval, right: Interval) -> Interval:
    """The sum of two quantities with independent errors."""
    estimate = left.estimate + right.estimate
    below = math.hypot(left.estimate - left.low, right.estimate - right.low)
    above = math.hypot(left.high - left.estimate, right.high - right.estimate)
    return Interval(estimate, estimate - below, estimate + above)


def _penalty(axes: Sequence[AxisFacts], optimum: Interval, value: float) -> Interval | None:
    """Curvature times the squared distance from the optimum, over the optimum's interval."""
    if not axes or not optimum.bounded:
        return None
    curvature = axes[0].rungs[-1].curvature
    if not (math.isfinite(curvature) and curvature > 0):
        return None
    at = math.log2(value)
    ends = sorted((curvature * (at - optimum.low) ** 2, curvature * (at - optimum.high) ** 2))
    estimate = curvature * (at - optimum.estimate) ** 2
    low = 0.0 if optimum.contains(at) else ends[0]
    return Interval(estimate, min(low, estimate), max(ends[1], estimate))


def prediction_document(prediction: Prediction) -> dict[str, Any]:
    """The prediction as JSON-able data; an open end is null."""
    best = prediction.optimum
    return {
        "target": dict(prediction.target),
        "hyperparameter": prediction.hyperparameter,
        "value": prediction.value,
        "optimum": {end: _power(x) for end, x in (("estimate", best.estimate), ("low", best.low), ("high", best.high))},
        "loss": _ends(prediction.loss),
        "penalty": _ends(prediction.penalty),
        "confidence": 0.95,
        "basis": list(prediction.basis),
    }


def _power(x: float) -> float | None:
    return 2.0**x if abs(x) < 1000 else None


def _ends(interval: Interval | None) -> dict[str, float | None] | None:
    if interval is None:
        return None
    return {"estimate": interval.estimate, "low": _known(interval.low), "high": _known(interval.high)}


def register(content: Mapping[str, Any], *, written: str) -> dict[str, Any]:
    """A prediction with its date and the hash of both.

    Args:
        content: the prediction as JSON-able data, without date and hash.
        written: ISO 8601 date and time.
    """
    dated = {"written": written, **content}
    return {**dated, _HASH: digest(dated)}


def digest(content: Mapping[str, Any]) -> str:
    """sha256 (hex) of the canonical JSON of everything but the hash itself."""
    plain = {key: value for key, value in content.items() if key != _HASH}
    text = json.dumps(plain, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def registered(document: object) -> dict[str, Any]:
    """The prediction as it was registered.

    Raises:
        UsageError: it is no registered prediction, or it was edited since.
    """
    if not isinstance(document, dict) or _HASH not in document:
        raise UsageError(
            "there must be a registered prediction",
            received="none",
            hint="`hptransfer scale` writes one; it must exist before the run",
        )
    try:
        same = digest(document) == document[_HASH]
    except (TypeError, ValueError):
        same = False
    if not same:
        raise UsageError(
            "a registered prediction must be as it was written",
            received=f"its content does not have the sha256 {str(document[_HASH])[:16]}... that is written in it",
            hint="restore the file from version control, or write a new prediction before the next run",
            code="prediction/edited",
        )
    return document
