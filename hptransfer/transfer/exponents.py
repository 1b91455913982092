"""How the best value moves with batch size and with the length of training: measured where it is needed, never assumed.

Neither the square-root nor the linear rule holds in general: on published sweeps the local exponent with batch lies
between 0.14 and 0.62 and grows with data, with tokens it changes sign between small and large batches, and exact SGD
gives anything from 0.1 to 1. So the exponent is given between neighbouring sizes, with intervals, and a rule counts as
usable only where the whole interval lies in its band.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from hptransfer.errors import UsageError
from hptransfer.sizes import SizeAxis
from hptransfer.statistics.interval import Interval
from hptransfer.statistics.optimum import Optimum, estimate_optima
from hptransfer.transfer.judge import AxisReport, judge_axis
from hptransfer.transfer.slices import points_by_size
from hptransfer.trials.trial import Trial

#: rules of thumb: exponent and half-width of the band within which the rule costs little
RULES = {"constant": (0.0, 0.15), "square root": (0.5, 0.15), "linear": (1.0, 0.15)}


@dataclass(frozen=True, slots=True)
class LocalExponent:
    """d log(optimum) / d log(size) between two neighbouring sizes.

    Attributes:
        low: the smaller of the two sizes, in the axis's unit.
        high: the larger of the two sizes, in the axis's unit.
        exponent: power of the size, with its 95% interval, open where an optimum is only bounded.
    """

    low: int
    high: int
    exponent: Interval


@dataclass(frozen=True, slots=True)
class AxisExponents:
    """The local exponents along one axis.

    Attributes:
        axis: "batch_size" or "tokens" (any axis works).
        hyperparameter: name of the hyperparameter whose optimum moves.
        local: exponents between neighbouring sizes, in order of increasing size.
        overall: one exponent over the whole range; meaningful only where `constant` is not False.
        constant: whether one exponent describes the range: False where two local ones exclude each other, None where
            there is only one.
        usable: names of the rules whose band holds the whole overall interval and no local estimate contradicts.
        sentence: what was found, as a sentence for users.
    """

    axis: str
    hyperparameter: str
    local: tuple[LocalExponent, ...]
    overall: Interval
    constant: bool | None
    usable: tuple[str, ...]
    sentence: str


def measure_exponents(
    trials: Sequence[Trial], *, axis: SizeAxis, hyperparameter: str, noise: float | None = None
) -> AxisExponents:
    """Measure how the optimum moves along an axis.

    Args:
        trials: sweeps of the hyperparameter at two or more sizes; nothing else but the seed varies.
        axis: field of the trials' sizes that varies, "batch_size" or "tokens".
        hyperparameter: name of the hyperparameter whose optimum is measured.
        noise: standard deviation of one run in nats where it is known from elsewhere.

    Raises:
        UsageError: fewer than two sizes, or trials that mix slices.
    """
    groups = points_by_size(trials, axis, hyperparameter)
    if len(groups) < 2:
        raise UsageError(f"sweeps at two or more values of {axis} are needed", received=str(len(groups)))
    optima = dict(zip(groups, estimate_optima(list(groups.values()), noise=noise), strict=True))
    local = tuple(
        LocalExponent(low, high, _between(low, optima[low], high, optima[high])) for low, high in pairwise(optima)
    )
    smallest = min(groups)
    overall = judge_axis(
        trials,
        axis=axis,
        hyperparameter=hyperparameter,
        transferred=optima[smallest].value,
        reference=smallest,
        noise=noise,
    ).drift
    return _summed_up(axis, hyperparameter, local, overall)


def reported_exponents(report: AxisReport) -> AxisExponents:
    """How the optimum moves along an axis that was judged, from the draws that it was judged by.

    Draws of neighbouring sizes belong together, so what moves both of them leaves the exponent between them.

    Args:
        report: the judgement along an axis of whole sizes, at least two of which have a curve.
    """
    local = tuple(LocalExponent(round(step.low), round(step.high), step.slope) for step in report.path.steps)
    return _summed_up(report.axis, report.hyperparameter, local, report.drift)


def _summed_up(axis: str, hyperparameter: str, local: tuple[LocalExponent, ...], overall: Interval) -> AxisExponents:
    """What the exponents between neighbouring sizes, and the one over all of them, say together."""
    constant = None if len(local) < 2 else _compatible([found.exponent for found in local])
    usable = tuple(
        name
        for name, (exponent, band) in RULES.items()
        if constant is not False
        and exponent - band <= overall.low
        and overall.high <= exponent + band
        and all(found.exponent.low <= exponent + band and exponent - band <= found.exponent.high for found in local)
    )
    return AxisExponents(
        axis, hyperparameter, local, overall, constant, usable, _sentence(axis, hyperparameter, local, usable)
    )


def _between(low: int, at_low: Optimum, high: int, at_high: Optimum) -> Interval:
    """The slope between two optima with independent errors."""
    doublings = math.log2(high / low)
    step = at_high.log2_value - at_low.log2_value
    below = math.hypot(at_high.log2_value - at_high.low, at_low.high - at_low.log2_value)
    above = math.hypot(at_high.high - at_high.log2_value, at_low.log2_value - at_low.low)
    return Interval(step / doublings, (step - below) / doublings, (step + above) / doublings)


def _compatible(exponents: Sequence[Interval]) -> bool:
    """Whether one number lies in all intervals."""
    return max(found.low for found in exponents) <= min(found.high for found in exponents)


def _sentence(axis: str, hyperparameter: str, local: Sequence[LocalExponent], usable: Sequence[str]) -> str:
    parts = [
        f"{step.exponent.estimate:+.2f} ({step.exponent.low:+.2f} to {step.exponent.high:+.2f})"
        f" from {axis} {step.low} to {step.high}"
        for step in local
    ]
    rule = f"the {usable[0]} rule is usable in this range" if usable else "no rule of thumb is established here"
    found = f"the best {hyperparameter} goes as {axis} to the power {', '.join(parts)}"
    return f"{found}; {rule}, and nothing is known beyond it"
