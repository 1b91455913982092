"""`measured`: no rule carries a value to the target, so the ladder's own law says what the target needs.

Two lines in octaves are drawn: one through all sizes, which has the smaller error, and one through the last two, which
follows a path that bends. The law is the middle between them, and its interval is the hull of both.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from hptransfer.sizes import Size
from hptransfer.statistics.interval import Interval
from hptransfer.transfer.judge import TransferReport
from hptransfer.transfer.prediction import AxisFacts, Prediction, axis_facts_from_report, moved_axes, predict

#: an interval that is wider, in octaves, says less than trying three values would: being an octave off cost 3.05% of
#: the loss on command-plain and 3.33% with Muon (docs/demonstrations.md)
WIDEST = 2.0


@dataclass(frozen=True, slots=True)
class LawValue:
    """What a law says of one hyperparameter at the target.

    Attributes:
        name: of the hyperparameter as octaves are counted of it, "1/(1 - beta2)" for beta2.
        estimate: where the optimum is expected, own unit of `name`.
        low, high: ends of the 95% interval; 0 and infinity where it is open.
        prediction: what it follows from.
    """

    name: str
    estimate: float
    low: float
    high: float
    prediction: Prediction

    @property
    def bounded(self) -> bool:
        """Whether the ladder bounds the optimum at the target to `WIDEST` octaves."""
        return self.low > 0 and math.isfinite(self.high) and math.log2(self.high / self.low) <= WIDEST

    @property
    def objection(self) -> str:
        """Why a target is not written where the ladder leaves its value open, a clause."""
        ends = f"{self.low:.3g} to {self.high:.3g}"
        return f"the ladder does not bound {self.name} at the target to {WIDEST:g} octaves: {ends}"

    @property
    def sentence(self) -> str:
        """One line for a person."""
        ends = f"{self.low:.4g} to {self.high:.4g}"
        if not self.bounded:
            ends += f", not bounded to {WIDEST:g} octaves"
        return (
            f"no rule is claimed: {self.name} {self.estimate:.4g} ({ends}) is where the ladder's own law puts the "
            "optimum: between a line in octaves through all sizes and one through the last two. "
            f"{' '.join(self.prediction.basis)}"
        )


def law_values(
    axes: Mapping[str, Sequence[AxisFacts]], *, proxy: Size, target: Size, at: Mapping[str, float]
) -> list[LawValue]:
    """The law's value of every checked hyperparameter.

    Args:
        axes: hyperparameter -> what its check found, one entry per axis.
        proxy: size at which values were tuned.
        target: size to predict for.
        at: hyperparameter -> its tuned value, which holds where the target is the proxy.
    """
    moved = moved_axes(proxy, target)
    found = []
    for name, facts in axes.items():
        line = predict(facts, moved, hyperparameter=name, value=at[name]).optimum
        last = _through_the_last_two([each for each in facts if each.axis in moved], moved)
        best = line if last is None else _between(line, last)
        # the loss that is registered is that of the run as it will be: at the law's value, not at the proxy's
        prediction = replace(predict(facts, moved, hyperparameter=name, value=2.0**best.estimate), optimum=best)
        low = 2.0**best.low if best.low > -1000 else 0.0
        high = 2.0**best.high if best.high < 1000 else math.inf
        found.append(LawValue(name, 2.0**best.estimate, low, high, prediction))
    return found


def _through_the_last_two(axes: Sequence[AxisFacts], target: Mapping[str, float]) -> Interval | None:
    """Log2 optimum by the line through each axis's two largest sizes; None where no axis has two known optima."""
    estimate = variance = 0.0
    for index, facts in enumerate(axes):
        known = [rung for rung in facts.rungs if math.isfinite(rung.spread)]
        if len(known) < 2:
            return None
        near, far = known[-2], known[-1]
        reach = math.log2(target[facts.axis] / far.size) / math.log2(far.size / near.size)
        start = 0.0
        if index:  # shifts along further axes are counted from the proxy's own size
            start = next((rung.optimum for rung in facts.rungs if rung.size == facts.reference), math.nan)
        estimate += far.optimum + reach * (far.optimum - near.optimum) - start
        variance += ((1 + reach) * far.spread) ** 2 + (reach * near.spread) ** 2
    if not axes or math.isnan(estimate):
        return None
    half = 1.96 * math.sqrt(variance)
    return Interval(estimate, estimate - half, estimate + half)


def _between(line: Interval, last: Interval) -> Interval:
    middle = (line.estimate + last.estimate) / 2
    return Interval(middle, min(line.low, last.low), max(line.high, last.high))


def law_report(report: TransferReport, *, proxy: Size, target: Size) -> list[LawValue]:
    """The laws of a fresh judgement; see `law_values`.

    Args:
        report: over all hyperparameters and axes of a check.
        proxy: size at which values were tuned.
        target: size to predict for.
    """
    axes: dict[str, list[AxisFacts]] = {}
    for axis in report.axes:
        axes.setdefault(axis.hyperparameter, []).append(axis_facts_from_report(axis))
    at = {axis.hyperparameter: axis.transferred for axis in report.axes}
    return law_values(axes, proxy=proxy, target=target, at=at)
