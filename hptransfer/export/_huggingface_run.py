"""Length, schedule and clipping as `training_args.json` has them, and how Trainer counts its steps."""

from __future__ import annotations

from typing import Any

from hptransfer.artifacts.target import TargetFile, TrainingRecord
from hptransfer.handover.counting import Counting, from_zero


def run_arguments(training: TrainingRecord, rate: float) -> dict[str, Any]:
    """Length, batch, precision, and the schedule and clipping where they are known.

    Args:
        training: of the target; its schedule may be the trainer's own.
        rate: peak of the base.
    """
    run: dict[str, Any] = {
        "max_steps": training.steps,
        "per_device_train_batch_size": training.batch_size,
        "gradient_accumulation_steps": 1,
        "bf16": training.precision == "bfloat16",
        "fp16": False,
    }
    if training.schedule == "own":
        return run
    return run | {
        "max_grad_norm": training.clip or 0.0,  # 0: Trainer does not clip
        "warmup_steps": round((training.warmup or 0.0) * training.steps),
        **(trainer_schedule(training, rate) or {"lr_scheduler_type": "constant"}),
    }


def trainer_schedule(training: TrainingRecord, rate: float) -> dict[str, Any] | None:
    """Trainer's schedule of the same shape; None where transformers has none.

    Its `warmup_stable_decay` raises its warmup from the floor, and `inverse_sqrt` has none.

    Args:
        training: whose schedule is known.
        rate: peak of the base, since transformers takes some ends as rates.
    """
    rising = round((training.warmup or 0.0) * training.steps)
    begin = max(rising, training.steps - round((training.decay_share or 0.0) * training.steps))
    if training.schedule in ("wsd", "inverse-sqrt") and training.floor and (rising or training.schedule != "wsd"):
        return None
    decay = {"num_decay_steps": training.steps - begin, "decay_type": "linear", "min_lr_ratio": training.floor}
    shapes: dict[str, tuple[str, dict[str, Any] | None]] = {
        "constant": ("constant_with_warmup", None),
        "linear": ("polynomial", {"lr_end": training.floor * rate, "power": 1.0})
        if training.floor
        else ("linear", None),
        "cosine": ("cosine_with_min_lr", {"min_lr_rate": training.floor}) if training.floor else ("cosine", None),
        "wsd": ("warmup_stable_decay", decay),
        "inverse-sqrt": ("inverse_sqrt", {"timescale": max(rising, 1)}),
    }
    # a rate that falls to its peak or is warmed up to the end falls nowhere, and `polynomial` refuses it
    flat = rising >= training.steps or (training.schedule == "linear" and training.floor >= 1)
    name, values = shapes["constant" if flat else training.schedule]
    return {"lr_scheduler_type": name, **({} if values is None else {"lr_scheduler_kwargs": values})}


def counted(target: TargetFile) -> Counting | None:
    """Of Trainer's schedules; the module's own, which is given where Trainer has none, counts as the plan.

    Args:
        target: whose schedule may be one of Trainer's.
    """
    training = target.training
    if training is None or training.schedule == "own" or trainer_schedule(training, 1.0) is None:
        return None
    return from_zero(target)
