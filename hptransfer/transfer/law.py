"""`measured`: no rule carries a value to the target, so the ladder's own law says what the target needs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hptransfer.sizes import Size
from hptransfer.transfer.judge import TransferReport
from hptransfer.transfer.prediction import AxisFacts, Prediction, axis_facts_from_report, moved_axes, predict


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
        """Whether the ladder bounds the optimum at the target on both sides."""
        return self.low > 0 and math.isfinite(self.high)

    @property
    def sentence(self) -> str:
        """One line for a person."""
        ends = f"{self.low:.4g} to {self.high:.4g}" if self.bounded else "open"
        return (
            f"no rule is claimed: {self.name} {self.estimate:.4g} ({ends}) is where the ladder's own law, a line in "
            f"octaves, puts the optimum. {' '.join(self.prediction.basis)}"
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
        prediction = predict(facts, moved, hyperparameter=name, value=at[name])
        best = prediction.optimum
        # the loss that is registered is that of the run as it will be: at the law's value, not at the proxy's
        prediction = predict(facts, moved, hyperparameter=name, value=2.0**best.estimate)
        low = 2.0**best.low if best.low > -1000 else 0.0
        high = 2.0**best.high if best.high < 1000 else math.inf
        found.append(LawValue(name, 2.0**best.estimate, low, high, prediction))
    return found


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
