"""What is expected at a size before it is trained, and how it is registered so that it cannot be edited afterwards.

A prediction is written down, dated and hashed before the run: only then does it risk anything (science of the tool:
"demand held-out predictions"). The hash shows later edits; committing the file shows the date.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from hptransfer.errors import UsageError
from hptransfer.sizes import Size, grouped
from hptransfer.statistics.arrays import Array
from hptransfer.statistics.interval import Interval, student_975
from hptransfer.statistics.laws import FEWEST_SIZES, predict_loss
from hptransfer.statistics.optimum import quantiles
from hptransfer.transfer.axis_facts import AxisFacts, SeedScatter

_HASH = "sha256"
#: sizes that differ by less, as a share, are the same
_SAME = 1e-9


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
    draws = optimum_draws(lead, target)
    optimum = _open_optimum(lead, value) if draws is None else quantiles(draws)
    basis = [_described(facts, target) for facts in moved]
    basis += [_turning(facts, target) for facts in moved if facts.shape == "turns"]
    penalty = None if draws is None else penalty_of(lead[0], math.log2(value) - draws)
    loss, reason = _loss(lead, target)
    if unchecked:
        loss, reason = None, f"{', '.join(unchecked)} was not checked"
    elif penalty is None:
        # a law through the losses of a value that drifts foresees nothing of what the drift will cost
        loss, reason = None, f"what {hyperparameter} {value:.4g} costs there is open"
    if loss is None or penalty is None:
        basis.append(f"No loss is predicted: {reason}.")
    else:
        loss = _of_one_run(_sum(loss, penalty), lead[0].scatter)
        basis += _seed_sentence(lead)
    return Prediction(dict(target), hyperparameter, value, optimum, loss, penalty, tuple(basis))


def optimum_draws(axes: Sequence[AxisFacts], target: Mapping[str, float]) -> Array | None:
    """Draws of the log2 optimum at a target; None where an axis leaves it open, or where it cannot be foreseen.

    Args:
        axes: at least one; the first gives the optimum, the others what it moves by from the proxy's value on them.
        target: size by axis; axes that are missing stay at the proxy's value.
    """
    total: Array | None = None
    for index, facts in enumerate(axes):
        aim = target.get(facts.axis, facts.reference)
        if beyond_foresight(facts, aim):
            return None
        found = facts.optima_at([aim] if index == 0 else [aim, facts.reference], stream=index)
        if found is None:
            return None
        total = found[0] if total is None else total + found[0] - found[1]
    return total


def beyond_foresight(facts: AxisFacts, size: float) -> bool:
    """Whether a size lies beyond the next one of a path that turns: there no interval can be trusted.

    The next size is as far beyond the largest as that is beyond the one before it.

    Args:
        facts: what was found along the axis.
        size: a value along this axis.
    """
    if facts.shape != "turns" or len(facts.rungs) < 2:
        return False
    before, largest = facts.rungs[-2].size, facts.rungs[-1].size
    return size > largest * largest / before * (1 + _SAME)


def _open_optimum(axes: Sequence[AxisFacts], value: float) -> Interval:
    """Open on both sides, at the largest size's optimum where there is one."""
    last = axes[0].rungs[-1].optimum if axes and axes[0].rungs else math.log2(value)
    return Interval(last, -math.inf, math.inf)


def penalty_of(facts: AxisFacts, off: Array) -> Interval | None:
    """What a value costs that lies off the optimum, by the curves of the axis's largest size; None where open.

    Args:
        facts: of the axis whose largest size's curve is taken.
        off: (DRAWS,) octaves above the optimum.
    """
    lost = lost_off(facts, off)
    if lost is None:
        return None
    curvature = facts.rungs[-1].curvature
    if math.isfinite(curvature) and curvature > 0:
        # beyond the region that was sampled the curve is taken to go on as a parabola; beyond a wall nothing is
        lost = lost[0], np.where(np.isinf(lost[1]), np.maximum(lost[0], curvature * off**2), lost[1])
    least, most = quantiles(lost[0]), quantiles(lost[1])
    return None if math.isinf(most.high) else Interval(most.estimate, min(least.low, most.estimate), most.high)


def lost_off(facts: AxisFacts, off: Array) -> tuple[Array, Array] | None:
    """Least and most loss above the optimum, draw by draw; None where the axis has no curve.

    Args:
        facts: of the axis whose largest size's curve is taken.
        off: (DRAWS,) octaves above the optimum.
    """
    if facts.largest is not None:
        return facts.largest.lost_off(off)
    curvature = facts.rungs[-1].curvature if facts.rungs else math.nan
    if not (math.isfinite(curvature) and curvature > 0):
        return None
    lost = np.asarray(curvature * off**2)
    return lost, lost


def _of_one_run(loss: Interval, scatter: SeedScatter | None) -> Interval:
    """The interval with what one run's seed adds, and with what the ladder's own few seeds have in common.

    The deviation is that of few seeds at few sizes, so its quantile is Student's.
    """
    if scatter is None:
        return loss
    half = student_975((scatter.seeds - 1) * scatter.sizes) * scatter.deviation * math.sqrt(1 + 1 / scatter.seeds)
    below, above = math.hypot(loss.estimate - loss.low, half), math.hypot(loss.high - loss.estimate, half)
    return Interval(loss.estimate, loss.estimate - below, loss.estimate + above)


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
    """What a seed does to the loss that is predicted."""
    scatter = axes[0].scatter if axes else None
    if scatter is None:
        return ["How far another seed would end from this loss is not known, and not in its interval."]
    return [
        f"Between {scatter.seeds} seeds one run's loss differs by {scatter.deviation:.2g} (standard deviation); the "
        "interval is for one run and includes that."
    ]


def _described(facts: AxisFacts, target: Mapping[str, float]) -> str:
    largest = facts.rungs[-1].size
    ratio = target[facts.axis] / largest
    within = "within what was trained" if target[facts.axis] >= facts.rungs[0].size else "below what was trained"
    times = f"{ratio:.3g}" if ratio < 1000 else f"{ratio:,.0f}"
    reach = f"{times} times beyond the largest" if ratio > 1 else within
    sizes = ", ".join(grouped(rung.size) for rung in facts.rungs)
    return f"{facts.axis} {grouped(target[facts.axis])} lies {reach}, from {facts.axis} {sizes}."


def _turning(facts: AxisFacts, target: Mapping[str, float]) -> str:
    """What a path that turns takes from a prediction."""
    if beyond_foresight(facts, target[facts.axis]):
        return f"The optimum's path turns along {facts.axis}: beyond the next size none can be foreseen."
    return f"The optimum's path turns along {facts.axis}: its interval was seen to be too narrow."


def _loss(axes: Sequence[AxisFacts], target: Mapping[str, float]) -> tuple[Interval | None, str]:
    """The best loss at the target, or why there is none.

    The law is that of the best losses, to which the penalty of not being at the optimum is added: where the optimum
    moves that penalty grows with the square of the doublings, which no power law foresees.
    """
    total: Interval | None = None
    for facts in axes:
        known = {rung.size: rung.best for rung in facts.rungs}
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


def _known(value: float) -> float | None:
    return value if math.isfinite(value) else None


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


def predicted(prediction: Mapping[str, Any]) -> dict[str, Any]:
    """What a registered prediction says, whenever it was registered.

    Args:
        prediction: as a target's file holds it, with date and hash.
    """
    return {key: value for key, value in prediction.items() if key not in ("written", _HASH)}


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
