"""mup: its own set_base_shapes, MuReadout and optimizers on parameters with the plan's names and shapes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import mup
import torch
from torch import nn

from hptransfer.artifacts.target import TargetFile
from hptransfer.export.bsh import MODULE, MULTIPLIED
from hptransfer.handover.own_names import named_groups
from hptransfer.handover.trained import Reading
from hptransfer.roundtrip._module_rows import edited_files, own_settings, rows_of, schedule_values, shared_values
from hptransfer.roundtrip._recorded_init import recorded_init
from hptransfer.roundtrip.torch import load_module, parameter_of


class _Bsh:
    """The user's model is not needed: its readout is a MuReadout of mup's here, the rest are bare parameters."""

    def read(self, folder: Path, target: TargetFile, /) -> Reading:
        """As `Reader.read`."""
        module = load_module(folder / MODULE)
        with edited_files(folder, "mup"):
            with recorded_init() as record:
                model, readouts = _model(target)
                module.start_(model)
                starts = record.starts(model)
            optimizer = module.optimizer(model)
            peaks = [group["lr"] for group in optimizer.param_groups]
            multipliers = {name: _multiplier(readout) for name, readout in readouts.items()}
            own = target.training is None or target.training.schedule == "own"
            return Reading(
                tuple(
                    replace(each, multiplier=multipliers.get(each.name, 1.0))
                    for each in rows_of(model, optimizer, peaks, starts)
                ),
                f"mup {version('mup')}: set_base_shapes, MuReadout and the module's optimizer",
                unread=("clipping, which is the user's loop's",),
                schedule=None if own else module.factor,
                values=shared_values(optimizer) | schedule_values(module, target),
                others=own_settings(model, optimizer),
            )


def _model(target: TargetFile) -> tuple[nn.Module, Mapping[str, Any]]:
    """Parameters under the plan's names, and the readouts by the name of their weight."""
    model, readouts = nn.Module(), {}
    for name, group in named_groups(target):
        *path, leaf = name.split(".")
        place = model
        for depth, part in enumerate(path):
            if part not in dict(place.named_children()):
                last = depth == len(path) - 1 and leaf == "weight" and group.role in MULTIPLIED
                place.add_module(part, mup.MuReadout(*reversed(group.shape), bias=False) if last else nn.Module())
            place = place.get_submodule(part)
        place.register_parameter(leaf, parameter_of(group))
        if isinstance(place, mup.MuReadout) and leaf == "weight":
            readouts[name] = place
    return model, readouts


def _multiplier(readout: Any) -> float:
    """What mup's own forward makes of the number 1 with a weight of 1, at the readout's shapes."""
    probe = mup.MuReadout(1, 1, bias=False, output_mult=readout.output_mult, dtype=torch.float64)
    with torch.no_grad():
        probe.weight.fill_(1.0)
        probe.weight.infshape = readout.weight.infshape
        return float(probe(torch.ones(1, 1, dtype=torch.float64)))


READER = _Bsh()
