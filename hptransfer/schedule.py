"""Learning-rate schedules as factors of the peak, so that per-group rates keep their ratios."""

from __future__ import annotations

import math
from typing import Literal

Schedule = Literal["constant", "linear", "cosine"]


def schedule_factor(schedule: Schedule, step: int, steps: int, warmup: float) -> float:
    """Learning rate of a step as a share of the peak.

    Args:
        schedule: after warmup constant, or down to zero (which step number `steps` would reach).
        step: counts from 0, below `steps`.
        steps: optimizer steps of the whole run, at least 1.
        warmup: share of the steps over which the rate rises linearly; its first step is above zero, since a step
            with rate zero would be wasted.

    Returns:
        A factor in (0, 1].
    """
    rising = round(warmup * steps)
    if step < rising:
        return (step + 1) / rising
    progress = (step - rising) / (steps - rising)
    match schedule:
        case "constant":
            return 1.0
        case "linear":
            return 1.0 - progress
        case "cosine":
            return 0.5 * (1.0 + math.cos(math.pi * progress))
