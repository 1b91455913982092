"""Lightning: a module with `configure_optimizers`, and the Trainer's arguments."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from hptransfer.artifacts.target import TargetFile, TrainingRecord
from hptransfer.handover.decoder import heads_by_hand
from hptransfer.handover.header import About, commented, header
from hptransfer.handover.module_text import GROUPS, groups_text, module_text, require_applicable
from hptransfer.handover.own_names import OwnModelFormat

MODULE = "hptransfer_lightning.py"

_CONFIGURE = """
# Trainer(**TRAINER, ...)
TRAINER = {trainer!r}

def configure_optimizers(model):  # the model whose names the plan has: self.model, or self
    made = optimizer(model)
    return {returned}

class Planned:  # class Module(hptransfer_lightning.Planned, LightningModule): the plan's model is self.model
    def configure_optimizers(self):
        return configure_optimizers(self.model)
"""
_SCHEDULED = '{"optimizer": made, "lr_scheduler": {"scheduler": scheduler(made), "interval": "step", "frequency": 1}}'
_UNSCHEDULED = "made  # the schedule was the trainer's own: add it, one factor for all groups"


class _Lightning(OwnModelFormat):
    """`hptransfer_lightning.py`: init, `configure_optimizers` and the Trainer's arguments, without hptransfer."""

    about = About(
        framework="Lightning",
        read_at="pytorch-lightning 2.6.6",
        itself="scales nothing; groups, rates and schedule are those of configure_optimizers. LearningRateFinder "
        "(Tuner.lr_find) sets one rate for all groups: never call it on this module.",
        executed="pytorch-lightning 2.6.6: Trainer.fit for up to 16 steps, on parameters with the plan's names and "
        "one number each",
        by_hand=(
            "build self.model in __init__ and call hptransfer_lightning.init_(self.model) there, once.",
            "the batch of the loader, times devices, must be the plan's; accumulate_grad_batches is 1: let max_steps "
            "be, it counts optimizer steps.",
        ),
    )

    def export(self, target: TargetFile, /) -> Mapping[str, str]:
        """The two files.

        Args:
            target: in the gauge of the user's model.

        Raises:
            UsageError: there are no rows, the optimizer is not one of torch's, or a multiplier must be in `forward`.
        """
        # with two optimizers Lightning leaves stepping to the user
        require_applicable(target, "lightning", optimizers=("adamw", "adam", "sgd"))
        lines = header(target, "lightning", self.about, (*_by_hand(target), *heads_by_hand(target)))
        known = target.training is not None and target.training.schedule != "own"
        configure = _CONFIGURE.format(trainer=_trainer(target.training), returned=_SCHEDULED if known else _UNSCHEDULED)
        return {
            GROUPS: groups_text(target, lines),
            MODULE: commented(lines) + module_text(target) + configure,
        }


#: precision of the tuned runs -> Lightning's word
_PRECISION = {"bfloat16": "bf16-mixed", "float32": "32-true", "float64": "64-true"}


def _trainer(training: TrainingRecord | None) -> dict[str, Any]:
    if training is None:
        return {}
    known = training.schedule != "own"
    precision = _PRECISION.get(training.precision)
    return {
        "max_steps": training.steps,
        "max_epochs": -1,  # else 1000 epochs end the run as well
        "accumulate_grad_batches": 1,
        **({"gradient_clip_val": training.clip, "gradient_clip_algorithm": "norm"} if known else {}),
        **({} if precision is None else {"precision": precision}),
    }


def _by_hand(target: TargetFile) -> Iterator[str]:
    training = target.training
    if training is None or training.schedule == "own":
        yield "schedule and gradient_clip_val are not in the file: those of the tuned runs are not known."
    elif training.precision not in _PRECISION:
        yield f"precision is not in TRAINER: the runs that were tuned used {training.precision}."


EXPORTER = _Lightning()
