"""The plan's schedule as frameworks count steps that do not count them as a plan does: exactly, and why."""

from __future__ import annotations

from collections.abc import Callable

from hptransfer.artifacts.target import TargetFile, TrainingRecord

#: share of the peak by step from 0
Factor = Callable[[int], float]


def _known(target: TargetFile) -> tuple[TrainingRecord, int] | None:
    """Training whose schedule is known, and the steps of its warmup."""
    training = target.training
    if training is None or training.schedule == "own":
        return None
    return training, round((training.warmup or 0.0) * training.steps)


def from_zero(target: TargetFile) -> Factor | None:
    """A warmup whose first step has the rate 0, a step later than the plan's; equal after it.

    Args:
        target: whose schedule is counted so; None is returned where it is not known.
    """
    known = _known(target)
    if known is None:
        return None
    training, rising = known
    return lambda step: step / rising if step < rising else training.factor(step)


def two_steps_late(target: TargetFile) -> Factor | None:
    """A warmup two steps later than the plan's; after it a cosine as the plan has it, and anything else a step later.

    Args:
        target: whose schedule is counted so; None is returned where it is not known.
    """
    known = _known(target)
    if known is None:
        return None
    training, rising = known
    late = 0 if training.schedule == "cosine" else 1
    return lambda step: max(step - 1, 0) / rising if step <= rising else training.factor(step - late)


def peak_a_step_early(target: TargetFile) -> Factor | None:
    """A linear or cosine decay from the warmup's last step on, and an inverse square root of the steps taken before.

    Args:
        target: whose schedule is counted so; None is returned where it is not known.
    """
    known = _known(target)
    if known is None:
        return None
    training, rising = known
    if training.schedule in ("linear", "cosine") and rising:
        early = training.model_copy(update={"warmup": (rising - 1) / training.steps})
        return lambda step: (training if step < rising else early).factor(step)
    if training.schedule == "inverse-sqrt" and rising:
        # up from the rate of the plan's first step in as many steps as the plan takes from 0
        return lambda step: (1 + (rising - 1) * step / rising) / rising if step < rising else training.factor(step)
    if training.schedule == "inverse-sqrt":
        return lambda step: training.factor(max(step - 1, 0))
    return training.factor
