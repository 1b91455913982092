"""What a ladder says of a target: which axes are covered, what the carried value costs there, what would be best."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from hptransfer.statistics.interval import Interval

#: how an axis of the target stands: as at the proxy; covered by the ladder; not covered; not covered, and accepted
Standing = Literal["unchanged", "covered", "not covered", "accepted"]


@dataclass(frozen=True, slots=True)
class AxisCoverage:
    """One axis of the target, or one hyperparameter that was tuned and never checked.

    Attributes:
        axis: "width", "depth", "batch_size", "tokens", "tokens per parameter", or a hyperparameter's name.
        value: the target's; None for a hyperparameter.
        largest: the largest that was checked; None where nothing was.
        standing: whether the ladder speaks of it.
        cost: extrapolated cost there in the axis's unit, with its 95% interval; None where none can be given.
        reason: why it stands so, a clause that follows its name.
    """

    axis: str
    value: float | None
    largest: float | None
    standing: Standing
    cost: Interval | None
    reason: str


@dataclass(frozen=True, slots=True)
class TargetReport:
    """The judgement of a target.

    Attributes:
        axes: every axis that differs from the proxy, and every hyperparameter that was tuned and not checked.
        cost: of the carried value over all axes together; None where an axis leaves it open.
        unit: of the cost, in the plural.
        optimum: the best value expected there, own unit; open where a path is open.
        gain: what using that value instead would gain, in the same unit; None where it cannot be said.
        sentence: the headline's second half, for a person.
    """

    axes: tuple[AxisCoverage, ...]
    cost: Interval | None
    unit: str
    optimum: Interval
    gain: Interval | None
    sentence: str

    @property
    def covered(self) -> bool:
        """Whether every axis is unchanged, covered or accepted."""
        return all(axis.standing != "not covered" for axis in self.axes)
