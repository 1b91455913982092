"""Plain PyTorch: the module that was written, run on parameters with the plan's names and shapes."""

from __future__ import annotations

from pathlib import Path

import torch

from hptransfer.artifacts.target import TargetFile
from hptransfer.handover.trained import Reading
from hptransfer.roundtrip._module_rows import (
    edited_files,
    own_settings,
    rows_of,
    schedule_values,
    shared_values,
    started,
)
from hptransfer.roundtrip._stand_in import load_module, parameter_of, stand_in

__all__ = ["READER", "load_module", "parameter_of", "stand_in"]  # other readers take the last three from here


class _Torch:
    """The user's own model is not needed: names, shapes and how each parameter starts are in the plan."""

    def read(self, folder: Path, target: TargetFile, /) -> Reading:
        """As `Reader.read`."""
        path = folder / "hptransfer_groups.py"
        module = load_module(path)
        with edited_files(path, "torch"):
            model, starts = started(module, target)
            optimizers = module.optimizers(model) if hasattr(module, "optimizers") else [module.optimizer(model)]
            own = target.training is None or target.training.schedule == "own"
            values = {name: value for each in optimizers for name, value in shared_values(each).items()}
            return Reading(
                tuple(
                    row
                    for each in optimizers
                    for row in rows_of(model, each, [group["lr"] for group in each.param_groups], starts)
                ),
                f"torch {torch.__version__}: the module's init, optimizer and schedule",
                unread=("clipping, which is the user's loop's",),
                schedule=None if own else module.factor,
                values=values | schedule_values(module, target),
                others=tuple(found for each in optimizers for found in own_settings(model, each)),
            )


READER = _Torch()
