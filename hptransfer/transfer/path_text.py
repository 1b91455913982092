"""What the optimum's path means for a verdict that rests on costs, in words."""

from __future__ import annotations

import math

from hptransfer.sizes import size_text
from hptransfer.statistics.path import NOTICED, Path, Step
from hptransfer.transfer.cost_text import amount, signed
from hptransfer.transfer.criteria import Ladder, SizeEvidence
from hptransfer.verdict import Verdict


def moving_limits(path: Path, ladder: Ladder) -> tuple[str, ...]:
    """Where the optimum has gone, where it clearly moves and the cost of staying does not decide; else nothing.

    It clearly moves where the drift excludes 0 and the largest size's whole interval lies beyond the proxy's.

    Args:
        path: of the optima from size to size.
        ladder: all sizes of the axis.
    """
    proxy, largest, drift = ladder.at_reference, ladder.largest, ladder.drift
    if proxy is None or ladder.regret_alone or ladder.verdict is Verdict.DRIFTS or drift.contains(0.0):
        return ()
    here, there = proxy.optimum.interval, largest.optimum.interval
    beyond = there.low > here.high or there.high < here.low
    moved = there.estimate - math.log2(ladder.transferred)
    if not beyond or not (there.bounded and drift.bounded) or abs(there.estimate - here.estimate) < NOTICED:
        return ()
    low, high = (f"{math.exp2(end):.3g}" for end in (there.low, there.high))
    said = (
        f"The optimum moves: by {drift.estimate:+.2f} octaves per doubling of {ladder.axis} ({drift.low:+.2f} to "
        f"{drift.high:+.2f}), from {proxy.optimum.value:.3g} to {largest.optimum.value:.3g} ({low} to {high}) at "
        f"{ladder.axis} {largest.label}, where {ladder.transferred:.4g} is carried over"
    )
    if path.shape in ("straight", "open") and moved * drift.estimate > 0:
        said += (
            f"; n doublings further on it would lie {abs(moved):.2f} + {abs(drift.estimate):.2f} n octaves off, and "
            "what that costs grows as its square"
        )
    return (f"{said}. It decides only where a drift is bounded (`drift` among the criteria).",)


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
