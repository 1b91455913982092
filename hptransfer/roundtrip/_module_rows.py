"""What an exported module of the kind of `handover.module_text` makes of parameters with the plan's names."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from hptransfer.artifacts.target import TargetFile
from hptransfer.errors import Terminated, UsageError
from hptransfer.handover.trained import Trained
from hptransfer.roundtrip._recorded_init import recorded_init
from hptransfer.roundtrip.torch import stand_in
from hptransfer.user_code import described_error

if TYPE_CHECKING:
    import torch
    from torch import nn


def started(module: ModuleType, target: TargetFile) -> tuple[nn.Module, Mapping[str, float | None]]:
    """A model on the meta device that the module's `init_` was called on, and the std of each parameter.

    Args:
        module: the exported file, imported by itself.
        target: gives names, shapes and how the model's own code starts them.
    """
    with recorded_init() as record:
        model = stand_in(target)
        module.init_(model)
        return model, record.stds(model)


def rows_of(
    model: nn.Module,
    groups: Iterable[tuple[Mapping[str, Any], float]],
    stds: Mapping[str, float | None],
    optimizer: str | None = None,
) -> tuple[Trained, ...]:
    """What each parameter is trained with.

    Args:
        model: whose parameters are in the groups.
        groups: of an optimizer, each with its peak rate.
        stds: of each parameter by name.
        optimizer: what trains them, by hptransfer's name.
    """
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    return tuple(
        Trained(
            names[id(parameter)],
            stds[names[id(parameter)]],
            float(peak),
            group["weight_decay"],
            group.get("eps"),
            optimizer=optimizer,
        )
        for group, peak in groups
        for parameter in group["params"]
    )


def shared_values(optimizer: torch.optim.Optimizer) -> dict[str, float | str]:
    """What holds for all groups alike, by the plan's names.

    Args:
        optimizer: one of torch's own classes.
    """
    defaults = optimizer.defaults
    betas: dict[str, float | str] = dict(zip(("beta1", "beta2"), defaults.get("betas", ()), strict=False))
    return betas | {name: defaults[name] for name in ("momentum",) if name in defaults}


@contextmanager
def edited_files(path: Path, framework: str) -> Iterator[None]:
    """Whatever goes wrong within is the files' doing, which may have been edited into anything.

    Args:
        path: of the file, for the message.
        framework: that must take it.

    Raises:
        UsageError: anything went wrong.
    """
    try:
        yield
    except (UsageError, KeyboardInterrupt, Terminated):
        raise
    except BaseException as error:
        raise UsageError(
            f"{framework} must be able to use what was exported",
            received=f"{path}: {described_error(error)}",
            hint="export again",
        ) from error
