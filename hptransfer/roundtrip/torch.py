"""Plain PyTorch: the module that was written, run on parameters with the plan's names and shapes."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import nn

from hptransfer.artifacts.target import TargetFile
from hptransfer.errors import Terminated, UsageError
from hptransfer.handover.manifest import exported_text
from hptransfer.handover.own_names import named_groups
from hptransfer.handover.trained import Reading, Trained
from hptransfer.parameterization.groups import ParameterGroup
from hptransfer.parameterization.roles import Role
from hptransfer.roundtrip._recorded_init import recorded_init
from hptransfer.user_code import described_error


class _Torch:
    """The user's own model is not needed: names, shapes and how each parameter starts are in the plan."""

    def read(self, folder: Path, target: TargetFile, /) -> Reading:
        """As `Reader.read`."""
        module = load_module(folder / "hptransfer_groups.py")
        try:
            with recorded_init() as record:
                model = stand_in(target)
                module.init_(model)
                stds = record.stds(model)
            optimizers = module.optimizers(model) if hasattr(module, "optimizers") else [module.optimizer(model)]
            names = {id(parameter): name for name, parameter in model.named_parameters()}
            rows = tuple(
                Trained(
                    names[id(parameter)],
                    stds[names[id(parameter)]],
                    group["lr"],
                    group["weight_decay"],
                    None if isinstance(optimizer, torch.optim.Muon) else group.get("eps"),
                    optimizer=type(optimizer).__name__.lower(),
                )
                for optimizer in optimizers
                for group in optimizer.param_groups
                for parameter in group["params"]
            )
            schedule = None if _own_schedule(target) else module.factor
        except UsageError:
            raise
        except Exception as error:  # the file may have been edited into anything
            raise UsageError(
                "the exported module must apply its groups to the planned model",
                received=f"{folder / 'hptransfer_groups.py'}: {described_error(error)}",
            ) from error
        return Reading(
            rows,
            f"torch {torch.__version__}: the module's init, optimizer and schedule",
            unread=("clipping, which is the user's loop's",),
            schedule=schedule,
            values={name: value for each in optimizers for name, value in _values(each.defaults).items()},
        )


def _values(defaults: Mapping[str, Any]) -> dict[str, float | str]:
    """What holds for all groups alike, by the plan's names."""
    values: dict[str, float | str] = dict(zip(("beta1", "beta2"), defaults.get("betas", ()), strict=False))
    if "momentum" in defaults:
        values["momentum"] = defaults["momentum"]
    if "adjust_lr_fn" in defaults:  # torch's Muon takes None for it too
        values["muon_scale"] = defaults["adjust_lr_fn"] or "original"
    return values


def _own_schedule(target: TargetFile) -> bool:
    return target.training is None or target.training.schedule == "own"


def load_module(path: Path) -> ModuleType:
    """An exported Python file, imported by itself.

    Args:
        path: of the exported file.

    Raises:
        UsageError: it is missing, or cannot be imported.
    """
    text = exported_text(path)
    module = ModuleType(f"_hptransfer_export_{path.stem}")
    module.__file__ = str(path)
    sys.modules[module.__name__] = module
    try:
        # not by importlib, which would leave compiled code in the folder, and take an old one for an edited file
        exec(compile(text, str(path), "exec"), module.__dict__)  # noqa: S102  # what `verify --export` says it does
    except (KeyboardInterrupt, Terminated):
        raise
    except BaseException as error:  # the file may have been edited into anything, `SystemExit` too
        raise UsageError(
            "the exported Python file must be importable", received=f"{path}: {described_error(error)}"
        ) from error
    finally:
        del sys.modules[module.__name__]
    return module


class _StandIn(nn.Module):
    """Parameters under any full names."""

    def __init__(self) -> None:
        super().__init__()
        self.full: dict[str, nn.Parameter] = {}

    def named_parameters(self, *_: Any, **__: Any) -> Any:
        """As torch's, with the names as they were given."""
        return iter(self.full.items())


def stand_in(target: TargetFile) -> nn.Module:
    """A module with the plan's names and shapes, started as the model's own code does; within `recorded_init`.

    Args:
        target: gives names, shapes and how each parameter starts before the plan.
    """
    model = _StandIn()
    for name, group in named_groups(target):
        model.full[name] = parameter_of(group)
    return model


def parameter_of(group: ParameterGroup) -> nn.Parameter:
    """A parameter of a group, started as the model's own code does; within `recorded_init`.

    Args:
        group: gives the shape, and how it starts before the plan.
    """
    tensor = torch.empty(group.shape)
    with torch.no_grad():
        # of what is drawn anew, the model's own std is not known; any other than the plan's will do
        tensor.normal_(std=group.own_init_std or 1.0) if group.init_std is not None else tensor.fill_(1.0)
    return nn.Parameter(tensor, requires_grad=group.role != Role.FROZEN)


READER = _Torch()
