"""The plan's schedule as frameworks count steps that do not count them as a plan does: exactly, in a sentence, and why.

Each way is what the framework's own code does; the lines are named, and tests hold it to what that code returned.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from hptransfer.artifacts.target import TargetFile, TrainingRecord

#: share of the peak by step from 0
Factor = Callable[[int], float]


@dataclass(frozen=True, slots=True)
class Counting:
    """How a framework counts the steps of a schedule, where that is not as a plan does.

    Attributes:
        factor: share of the peak by step from 0, which the framework trains where its file says the plan's schedule.
        sentence: what that comes to, without the subject: the same words in headers, pages and `verify --export`.
    """

    factor: Factor
    sentence: str


#: of `from_zero`
A_STEP_LATE = "the warmup is one step late: step 0 trains at rate 0"
#: of `two_steps_late`
TWO_STEPS_LATE = "the warmup is two steps late: steps 0 and 1 train at rate 0"
DECAY_LATE = "the decay is one step late"
#: of `peak_a_step_early`
DECAY_EARLY = "the decay begins one step early: at the warmup's last step"
PEAK_LATE = "the warmup begins at the plan's first rate and reaches its peak one step late"


def as_planned(_: TargetFile, /) -> Counting | None:
    """The counting of a framework that counts steps as a plan does."""
    return None


def _known(target: TargetFile) -> tuple[TrainingRecord, int] | None:
    """Training whose schedule is known, and the steps of its warmup."""
    training = target.training
    if training is None or training.schedule == "own":
        return None
    return training, round((training.warmup or 0.0) * training.steps)


def from_zero(target: TargetFile) -> Counting | None:
    """A warmup whose first step has the rate 0, a step later than the plan's; equal after it.

    A step's rate is the peak times the steps taken before, over those of the warmup:

    - transformers 5.23.0, optimization.py:76, 103, 138, 231, 290, 330, 482; trainer.py:1944 steps it after the
      optimizer.
    - Megatron-LM d98e8a64, megatron/core/optimizer_param_scheduler.py:155 and 230; megatron/training/training.py:3223
      steps it after the optimizer.
    - levanter 9263f81e, src/levanter/optim/config.py:268 in the `inject_hyperparams` of 494, whose count is 0 in the
      first update (optax 045fe7d9, optax/schedules/_inject.py, `WrappedSchedule.init`).
    - lm-engine 36bad91e, lm_engine/optimization/lr_scheduler/linear.py:16 and cosine.py:19; train.py:101 steps it after
      the optimizer.
    - Cerebras modelzoo f1fd1e09: the first stage that the export writes is cerebras_pytorch's `LinearLR` from 0;
      src/cerebras/modelzoo/trainer/trainer.py:683 steps it after the optimizer.
    - nanoGPT-mup b2a5e609, train.py:261.

    Args:
        target: whose schedule is counted so; None is returned where that is the plan's, or it is not known.
    """
    known = _known(target)
    if known is None or not known[1]:
        return None
    training, rising = known
    return Counting(lambda step: step / rising if step < rising else training.factor(step), A_STEP_LATE)


def two_steps_late(target: TargetFile) -> Counting | None:
    """A warmup two steps later than the plan's; after it a cosine as the plan has it, and anything else a step later.

    DeepSpeed 0.19.8 deepspeed/runtime/lr_schedules.py: made at `last_batch_iteration` -1, at which the rate is 0 (757,
    904); the engine calls it after each step (engine.py:3545), at first with 0, at which it is 0 again (787, 913).
    WarmupDecayLR goes on from that number (836), a step after the plan; WarmupCosineLR adds 1 to it (918).

    Args:
        target: whose schedule is counted so; None is returned where that is not known, or nothing warms up.
    """
    known = _known(target)
    if known is None or not known[1]:
        return None
    training, rising = known
    late = 0 if training.schedule == "cosine" else 1
    said = TWO_STEPS_LATE + (f", and {DECAY_LATE}" if training.schedule == "linear" else "")
    return Counting(
        lambda step: max(step - 1, 0) / rising if step <= rising else training.factor(step - late),
        said,
    )


def peak_a_step_early(target: TargetFile) -> Counting | None:
    """A linear or cosine decay from the warmup's last step on, and an inverse square root of the steps taken before.

    NeMo Automodel 36044ad3 nemo_automodel/components/optim/scheduler.py:196 rises from `init_lr`, where the export
    writes the plan's first rate, in a step fewer than the warmup is long; 214 decays from the warmup's end, and 208 by
    the root of the steps taken before. recipes/llm/train_ft.py:1262 steps it after the optimizer.

    Args:
        target: whose schedule is counted so; None is returned where that is the plan's, or it is not known.
    """
    known = _known(target)
    if known is None:
        return None
    training, rising = known
    if training.schedule in ("linear", "cosine") and rising:
        early = training.model_copy(update={"warmup": (rising - 1) / training.steps})
        return Counting(lambda step: (training if step < rising else early).factor(step), DECAY_EARLY)
    if training.schedule == "inverse-sqrt" and rising > 1:
        # up from the rate of the plan's first step in as many steps as the plan takes from 0
        return Counting(
            lambda step: (1 + (rising - 1) * step / rising) / rising if step < rising else training.factor(step),
            PEAK_LATE,
        )
    if training.schedule == "inverse-sqrt" and not rising:
        return Counting(lambda step: training.factor(max(step - 1, 0)), DECAY_LATE)
    return None
