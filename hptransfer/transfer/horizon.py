"""Carrying a value along batch and tokens by the exponent that the ladder measured, beyond what the rules do already.

A check varies base values, which the parameterization's own rules then scale; so the drift along batch or tokens is the
exponent that the rules lack. It is used where it is bounded, where one exponent describes the range, and where its
interval leaves no more than `WIDEST` octaves at the target; otherwise the value stays, and the reason is said.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from hptransfer.sizes import MODEL_AXES, Size, size_text
from hptransfer.statistics.interval import Interval
from hptransfer.transfer.axis_facts import AxisFacts, Rung
from hptransfer.transfer.law import WIDEST
from hptransfer.transfer.prediction import Prediction, moved_axes, predict

#: fewer sizes than this cannot show whether one exponent describes the range
FEWEST = 3
#: optima scatter about a line by this many octaves beside their own errors, as in predictions (statistics/drift.py)
_SCATTER = 0.05
#: standard deviation by which an exponent beyond the range differs from that within it: between models and lengths of
#: the sweeps of Step Law (arXiv 2503.04715), local exponents of batch at a fixed length differ by as much
_BEYOND = 0.14


@dataclass(frozen=True, slots=True)
class CarriedExponent:
    """What the ladder of one axis of the run says of a hyperparameter at the target.

    Attributes:
        axis: an axis of the run, "batch_size" or "tokens".
        hyperparameter: the name that octaves are counted of.
        exponent: power of the axis by which the optimum moves beyond the rules, with its 95% interval.
        low: smallest size that was measured.
        high: largest size that was measured.
        proxy: the axis's value where the hyperparameter was tuned.
        target: the axis's value at the target.
        reason: why the exponent is not used, a clause; None where it is used.
    """

    axis: str
    hyperparameter: str
    exponent: Interval
    low: float
    high: float
    proxy: float
    target: float
    reason: str | None

    @property
    def used(self) -> bool:
        """Whether the target's value is moved by it."""
        return self.reason is None

    @property
    def octaves(self) -> Interval:
        """Octaves by which the value moves on the way to the target; none where the exponent is not used.

        Beyond the range that was measured the interval grows with every doubling, because exponents change.
        """
        if not self.used:
            return Interval(0.0, 0.0, 0.0)
        moved = _times(self.exponent, math.log2(self.target / self.proxy))
        change = 1.96 * _BEYOND * math.log2(self._beyond)
        low = moved.estimate - math.hypot(moved.estimate - moved.low, change)
        return Interval(moved.estimate, low, moved.estimate + math.hypot(moved.high - moved.estimate, change))

    @property
    def resolved(self) -> bool:
        """Whether it is used and says the target's value to `WIDEST` octaves, change beyond the range included."""
        return self.used and self.octaves.high - self.octaves.low <= WIDEST

    @property
    def _beyond(self) -> float:
        """How far the target lies outside the range, a ratio of at least 1."""
        return max(1.0, self.target / self.high, self.low / self.target)

    @property
    def sentence(self) -> str:
        """What was measured and what is done with it, one line for a person."""
        low, high = (size_text(size) for size in (self.low, self.high))
        name = self.axis.replace("_", " ")
        if not self.used:
            return (
                f"{self.hyperparameter} is not moved along {name} ({size_text(self.proxy)} -> "
                f"{size_text(self.target)}): {self.reason}"
            )
        power, moved = self.exponent, self.octaves
        ends = f"{2.0**moved.low:.3g} to {2.0**moved.high:.3g}"
        return (
            f"{self.hyperparameter} moves along {name} ({size_text(self.proxy)} -> {size_text(self.target)}) by a "
            f"factor of {2.0**moved.estimate:.3g} ({ends}): the ladder from {low} to {high} gives the power "
            f"{power.estimate:+.2f} ({power.low:+.2f} to {power.high:+.2f}) beyond the rules"
            + (f"; the target lies {self._beyond:.3g} times beyond that range" if self._beyond > 1 else "")
        )


def carried_exponents(
    axes: Sequence[AxisFacts], hyperparameter: str, *, proxy: Size, target: Size, on_ray: bool = False
) -> tuple[CarriedExponent, ...]:
    """The exponents of every axis of the run that was checked and on which the target is not the proxy.

    Args:
        axes: what a check found of the hyperparameter, one entry per axis.
        hyperparameter: the name that octaves are counted of.
        proxy: size at which its value was tuned.
        target: size of the run to carry values to.
        on_ray: whether the target's tokens are those that belong to its shape, as those of the checked sizes do.
    """
    found = []
    for facts in axes:
        if facts.axis in MODEL_AXES or not hasattr(target, facts.axis) or (on_ray and facts.axis == "tokens"):
            continue
        at = float(getattr(target, facts.axis))
        if at != getattr(proxy, facts.axis):
            found.append(carried_exponent(facts, hyperparameter, at))
    return tuple(found)


def carried_exponent(facts: AxisFacts, hyperparameter: str, target: float) -> CarriedExponent:
    """The exponent of one ladder, with the reason where it must not be used.

    Args:
        facts: what a check found along the axis.
        hyperparameter: the name that octaves are counted of.
        target: the axis's value at the target, positive.
    """
    sizes = [rung.size for rung in facts.rungs]
    reason = _reason(facts, target)
    return CarriedExponent(
        facts.axis, hyperparameter, facts.drift, min(sizes), max(sizes), facts.reference, target, reason
    )


def carried_value(value: float, exponents: Sequence[CarriedExponent]) -> float:
    """A tuned value as the target has it, moved by the exponents that are used.

    Args:
        value: tuned at the proxy, positive.
        exponents: of its hyperparameter, used or not.
    """
    return float(value * 2.0 ** math.fsum(each.octaves.estimate for each in exponents))


def with_exponents(prediction: Prediction, exponents: Sequence[CarriedExponent]) -> Prediction:
    """A prediction that says which exponents its value was moved by.

    Args:
        prediction: made for the moved value.
        exponents: of its hyperparameter, used or not.
    """
    used = (f"{each.sentence}." for each in exponents if each.used)
    return replace(prediction, basis=(*used, *prediction.basis))


def predict_carried(
    axes: Sequence[AxisFacts],
    hyperparameter: str,
    value: float,
    *,
    proxy: Size,
    target: Size,
    on_ray: bool = False,
    at_proxy: bool = False,
) -> Prediction | None:
    """What is expected at the target of a checked value, moved along batch and tokens as ladders measured.

    Args:
        axes: what a check found of the hyperparameter, one entry per axis.
        hyperparameter: the name that octaves are counted of.
        value: tuned at the proxy, own unit.
        proxy: size at which the value was tuned.
        target: size to predict for; None is returned where it is the proxy.
        on_ray: whether its tokens are those that belong to its shape, as those of the checked sizes do.
        at_proxy: whether a prediction is wanted of the proxy itself too.
    """
    found = carried_exponents(axes, hyperparameter, proxy=proxy, target=target, on_ray=on_ray)
    moved = moved_axes(proxy, target, on_ray=on_ray)
    if not moved and not at_proxy:
        return None
    prediction = predict(axes, moved, hyperparameter=hyperparameter, value=carried_value(value, found))
    return with_exponents(prediction, found)


def _reason(facts: AxisFacts, target: float) -> str | None:
    """Why the exponent must not be used; None where it may."""
    known = [rung for rung in facts.rungs if math.isfinite(rung.spread)]
    drift, name = facts.drift, facts.axis.replace("_", " ")
    if len(known) < FEWEST:
        return f"{len(known)} optima on the ladder are known on both sides, and {FEWEST} are needed to see one exponent"
    if not drift.bounded:
        return f"the ladder bounds the exponent on one side at most ({_end(drift.low)} to {_end(drift.high)})"
    if not one_exponent(known):
        return f"no one exponent describes the ladder of {name}: its optima lie off every line"
    wide = _times(drift, math.log2(target / facts.reference))
    if wide.high - wide.low > WIDEST:
        return (
            f"at the target the exponent {drift.estimate:+.2f} ({drift.low:+.2f} to {drift.high:+.2f}) leaves "
            f"{wide.high - wide.low:.2g} octaves open, more than {WIDEST:g}"
        )
    return None


def one_exponent(rungs: Sequence[Rung]) -> bool:
    """Whether a line in octaves describes the optima: a chi-squared test at 5%, with a scatter of 0.05 octaves.

    Args:
        rungs: sizes whose optima are known on both sides, at least three different ones.
    """
    at = [math.log2(rung.size) for rung in rungs]
    weight = [1 / (rung.spread**2 + _SCATTER**2) for rung in rungs]
    total = math.fsum(weight)
    middle = math.fsum(w * x for w, x in zip(weight, at, strict=True)) / total
    centre = math.fsum(w * rung.optimum for w, rung in zip(weight, rungs, strict=True)) / total
    arms = [x - middle for x in at]
    slope = math.fsum(w * arm * rung.optimum for w, arm, rung in zip(weight, arms, rungs, strict=True))
    slope /= math.fsum(w * arm * arm for w, arm in zip(weight, arms, strict=True))
    off = [rung.optimum - centre - slope * arm for arm, rung in zip(arms, rungs, strict=True)]
    return math.fsum(w * each * each for w, each in zip(weight, off, strict=True)) <= _chi_squared(len(rungs) - 2)


def _chi_squared(freedom: int) -> float:
    """The 95% point of chi-squared, by Wilson and Hilferty's cube; within 3% from 1 degree of freedom on."""
    spread = 2 / (9 * freedom)
    return float(freedom * (1 - spread + 1.645 * math.sqrt(spread)) ** 3)


def _times(interval: Interval, factor: float) -> Interval:
    low, high = sorted((interval.low * factor, interval.high * factor))
    return Interval(min(max(interval.estimate * factor, low), high), low, high)


def _end(value: float) -> str:
    return "open" if math.isinf(value) else f"{value:+.2f}"
