"""What a path that is no line means for a verdict, in words."""

from __future__ import annotations

import math

from hptransfer.sizes import size_text
from hptransfer.statistics.path import Path, Step
from hptransfer.transfer.cost_text import amount, signed
from hptransfer.transfer.criteria import Ladder, SizeEvidence


def path_limits(path: Path, ladder: Ladder) -> tuple[str, ...]:
    """The limits that a bent path sets to a verdict, one sentence each; none where one line may describe it.

    Args:
        path: of the optima from size to size.
        ladder: all sizes of the axis, for what the value costs at them.
    """
    if ladder.regret_alone or path.shape not in ("turns", "bent"):
        return ()
    steps = ", ".join(_step(step) for step in path.steps)
    inner = "; ".join(_cost(size, ladder.axis, ladder.unit.name) for size in ladder.sizes[1:-1])
    if path.shape == "turns":
        said = f"The optimum's path turns round: {steps} octaves per doubling of {ladder.axis}"
        return (f"{said}. No line describes it, and no target beyond the ladder is covered. On the way: {inner}.",)
    said = f"The optimum's path bends: {steps} octaves per doubling of {ladder.axis}"
    return (f"{said}. The drift is a mean over it; beyond the ladder the path may go on bending. On the way: {inner}.",)


def _step(step: Step) -> str:
    return f"{signed(step.slope.estimate, '.2f')} from {size_text(step.low)} to {size_text(step.high)}"


def _cost(size: SizeEvidence, axis: str, unit: str) -> str:
    """What the value costs at a size of the middle."""
    if math.isinf(size.cost.estimate):
        return f"what the value costs at {axis} {size.label} is open"
    return f"at {axis} {size.label} the value costs {amount(size.cost.estimate)} (to {amount(size.cost.high)}) {unit}"
