"""DeepSpeed: a configuration without its optimizer section, and a module that gives it the groups."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from hptransfer.artifacts.target import TargetFile, TrainingRecord
from hptransfer.handover.counting import Counting, two_steps_late
from hptransfer.handover.decoder import heads_by_hand
from hptransfer.handover.header import About, commented, header
from hptransfer.handover.module_text import GROUPS, groups_text, module_text, require_applicable
from hptransfer.handover.own_names import OwnModelFormat

CONFIG = "ds_config.json"
MODULE = "hptransfer_deepspeed.py"

#: steps of warmup from which DeepSpeed's own schedules are close enough: they begin two steps late, at rate 0
_LATE = 50
_INITIALIZE = """
CONFIG = json.loads((pathlib.Path(__file__).parent / "ds_config.json").read_text())

def initialize(model, **more):  # after init_(model); returns what deepspeed.initialize returns
    import deepspeed
    if "scheduler" not in CONFIG:{own}
    return deepspeed.initialize(model=model, optimizer=optimizer(model), config=CONFIG, **more)
"""
_CLIENT = '\n        more.setdefault("lr_scheduler", scheduler)  # DeepSpeed calls it with the optimizer'
_NO_CLIENT = "\n        pass  # the schedule was the trainer's own: pass lr_scheduler=..., one factor for all groups"


def _counted(target: TargetFile) -> Counting | None:
    """Of its own schedules; the module's, which a client passes, counts as the plan."""
    training = target.training
    return None if training is None or _scheduler(training) is None else two_steps_late(target)


class _DeepSpeed(OwnModelFormat):
    """`ds_config.json` and `hptransfer_deepspeed.py`: groups by a client optimizer, schedules that keep the ratios."""

    about = About(
        framework="DeepSpeed",
        counted=_counted,
        read_at="deepspeed 0.19.8",
        itself="scales nothing. Its optimizer section has one rate, so the groups come from the optimizer that "
        "hptransfer_deepspeed.py makes; a scheduler with a scalar warmup_max_lr (the default of WarmupDecayLR, 0.001), "
        "and OneCycle and LRRangeTest, set one rate for all groups, so null or another class is written.",
        executed="deepspeed 0.19.8: its configuration's reader and its schedules, step by step, on the module's "
        "optimizer; its engine for four steps on a CPU, one process, without ZeRO",
        by_hand=(
            "import hptransfer_deepspeed; build the model whole (not within deepspeed.zero.Init, which leaves empty "
            "parameters that init_ refuses), then init_(model), initialize(model).",
            "train_batch_size is the whole batch: add train_micro_batch_size_per_gpu and a zero_optimization section.",
        ),
    )

    def export(self, target: TargetFile, /) -> Mapping[str, str]:
        """The three files.

        Args:
            target: in the gauge of the user's model.

        Raises:
            UsageError: there are no rows, the optimizer is not one of torch's, or a multiplier must be in `forward`.
        """
        require_applicable(target, "deepspeed", optimizers=("adamw", "adam", "sgd"))
        lines = header(target, "deepspeed", self.about, (*_by_hand(target), *heads_by_hand(target)))
        own = target.training is None or target.training.schedule == "own"
        module = module_text(target) + _INITIALIZE.format(own=_NO_CLIENT if own else _CLIENT)
        return {
            CONFIG: json.dumps(_configuration(target), indent=2) + "\n",
            GROUPS: groups_text(target, lines),
            MODULE: commented(lines) + module,
        }


def _configuration(target: TargetFile) -> dict[str, Any]:
    training = target.training
    if training is None:
        return {"train_batch_size": target.size.batch_size}
    scheduler = _scheduler(training)
    known = training.schedule != "own"
    return {
        "train_batch_size": training.batch_size,
        **({"gradient_clipping": training.clip or 0.0} if known else {}),  # 0: DeepSpeed does not clip
        "bf16": {"enabled": training.precision == "bfloat16"},
        **({} if scheduler is None else {"scheduler": scheduler}),
    }


def _scheduler(training: TrainingRecord) -> dict[str, Any] | None:
    """DeepSpeed's own schedule of the same shape, group rates kept; None where it has none, or it begins too late."""
    rising = round((training.warmup or 0.0) * training.steps)
    if rising < _LATE:
        return None
    # `linear`: the default grows with the logarithm
    warmup: dict[str, Any] = {"warmup_num_steps": rising, "warmup_type": "linear"}
    # null: the groups' own rates
    kept = warmup | {"warmup_min_lr": 0.0, "warmup_max_lr": None}
    if training.schedule == "constant":
        return {"type": "WarmupLR", "params": kept}
    if training.schedule == "linear" and not training.floor:
        return {"type": "WarmupDecayLR", "params": kept | {"total_num_steps": training.steps}}
    if training.schedule == "cosine":
        ends = {"total_num_steps": training.steps, "warmup_min_ratio": 0.0, "cos_min_ratio": training.floor}
        return {"type": "WarmupCosineLR", "params": warmup | ends}
    return None


def _by_hand(target: TargetFile) -> Iterator[str]:
    training = target.training
    if training is None or training.schedule == "own":
        yield (
            "scheduler and gradient_clipping are not in ds_config.json: those of the tuned runs are not known. "
            "DeepSpeed's default clips at 1.0."
        )
    elif _scheduler(training) is None:
        yield (
            "ds_config.json has no scheduler: DeepSpeed's own have not this shape, or begin two steps late, which a "
            f"warmup below {_LATE} steps does not bear. initialize passes torch's LambdaLR with the plan's instead."
        )


EXPORTER = _DeepSpeed()
