"""An exported Python file, imported by itself, and parameters with the plan's names and shapes to run it on."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import nn

from hptransfer.artifacts.target import TargetFile
from hptransfer.errors import Terminated, UsageError
from hptransfer.handover.manifest import exported_text
from hptransfer.handover.own_names import named_groups
from hptransfer.handover.trained import start_mean
from hptransfer.parameterization.groups import ParameterGroup
from hptransfer.parameterization.roles import Role
from hptransfer.user_code import described_error


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
        tensor.normal_(std=group.own_init_std or 1.0) if group.init_std is not None else tensor.fill_(start_mean(group))
    return nn.Parameter(tensor, requires_grad=group.role != Role.FROZEN)
