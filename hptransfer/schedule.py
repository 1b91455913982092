"""Learning-rate schedules as factors of the peak, so that per-group rates keep their ratios."""

from __future__ import annotations

import math
from typing import Literal

Schedule = Literal["constant", "linear", "cosine", "wsd", "inverse-sqrt"]
#: share of the steps over which `wsd` decays where nothing else is said
DECAY_SHARE = 0.2


def schedule_factor(
    schedule: Schedule, step: int, steps: int, warmup: float, *, floor: float = 0.0, decay_share: float = DECAY_SHARE
) -> float:
    """Learning rate of a step as a share of the peak: floor + (1 - floor) * shape after the warmup.

    Args:
        schedule: the shape after the warmup: constant; linear or cosine from one to zero (which step number `steps`
            would reach); wsd, constant and then linear to zero over the last steps (warmup, stable, decay: arXiv
            2404.06395); inverse-sqrt, sqrt(warmup steps / step) (arXiv 1706.03762).
        step: counts from 0, below `steps`.
        steps: optimizer steps of the whole run, at least 1.
        warmup: share of the steps over which the rate rises linearly; its first step is above zero, since a step
            with rate zero would be wasted.
        floor: what the shape's zero stands for, as a share of the peak in [0, 1]; warmup starts at zero all the same.
        decay_share: of `wsd`, share of the steps over which the rate decays, in [0, 1]; it begins after the warmup.

    Returns:
        A factor in (0, 1].
    """
    rising = round(warmup * steps)
    if step < rising:
        return (step + 1) / rising
    shape = _shape(schedule, step, steps, rising, round(decay_share * steps))
    return shape if floor == 0 else floor + (1.0 - floor) * shape


def _shape(schedule: Schedule, step: int, steps: int, rising: int, falling: int) -> float:
    """The factor without a floor.

    Args:
        schedule: name of the shape.
        step: counts from 0, at least `rising` and below `steps`.
        steps: of the whole run.
        rising: steps of the warmup.
        falling: steps of the decay of `wsd`.
    """
    progress = (step - rising) / (steps - rising)
    match schedule:
        case "constant":
            return 1.0
        case "linear":
            return 1.0 - progress
        case "cosine":
            return 0.5 * (1.0 + math.cos(math.pi * progress))
        case "wsd":
            begin = max(rising, steps - falling)
            return 1.0 if step < begin else 1.0 - (step - begin) / (steps - begin)
        case "inverse-sqrt":
            # without a warmup the first step is the unit of time
            unit = max(rising, 1)
            return math.sqrt(unit / (step + unit - rising))
