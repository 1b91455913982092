"""What an exported module of the kind of `handover.module_text` makes of parameters with the plan's names."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from hptransfer.artifacts.target import TargetFile
from hptransfer.errors import Terminated, UsageError
from hptransfer.handover.trained import Difference, Trained
from hptransfer.roundtrip._recorded_init import Start, recorded_init
from hptransfer.roundtrip._stand_in import stand_in
from hptransfer.user_code import described_error

if TYPE_CHECKING:
    import torch
    from torch import nn


def started(module: ModuleType, target: TargetFile) -> tuple[nn.Module, Mapping[str, Start]]:
    """A model on the meta device that the module's `init_` was called on, and how each parameter starts.

    Args:
        module: the exported file, imported by itself.
        target: gives names, shapes and how the model's own code starts them.
    """
    with recorded_init() as record:
        model = stand_in(target)
        module.init_(model)
        return model, record.starts(model)


def rows_of(
    model: nn.Module, made: torch.optim.Optimizer, peaks: Iterable[float], starts: Mapping[str, Start]
) -> tuple[Trained, ...]:
    """What each parameter is trained with.

    Args:
        model: whose parameters are in the groups.
        made: one of torch's optimizers, or a subclass.
        peaks: of each of its groups.
        starts: of each parameter by name.
    """
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    return tuple(
        Trained(
            name,
            starts[name].std,
            float(peak),
            group["weight_decay"],
            None if _name_of(made) == "muon" else group.get("eps"),
            optimizer=_name_of(made),
            init_mean=starts[name].mean,
        )
        for group, peak in zip(made.param_groups, peaks, strict=True)
        for name in (names[id(parameter)] for parameter in group["params"])
    )


def _name_of(made: torch.optim.Optimizer) -> str:
    """Name in plans of an optimizer of torch's; of any other its own."""
    kind = type(made)
    own = kind.__module__.startswith("torch.optim")
    return kind.__name__.lower() if own else f"{kind.__module__}.{kind.__qualname__}"


def shared_values(optimizer: torch.optim.Optimizer) -> dict[str, float | str]:
    """What holds for all groups alike, by the plan's names; `own_settings` finds the groups that differ.

    Args:
        optimizer: one of torch's own classes.
    """
    defaults = optimizer.defaults
    values: dict[str, float | str] = dict(zip(("beta1", "beta2"), defaults.get("betas", ()), strict=False))
    values |= {name: defaults[name] for name in ("momentum",) if name in defaults}
    if "adjust_lr_fn" in defaults:  # torch's Muon takes None for it too
        values["muon_scale"] = defaults["adjust_lr_fn"] or "original"
    return values


def schedule_values(module: ModuleType, target: TargetFile) -> dict[str, float | str]:
    """Duration and schedule as the module says them; of a schedule that was the trainer's own nothing.

    Args:
        module: the exported file, imported by itself.
        target: says whether its schedule is known.
    """
    training = target.training
    if training is None or training.schedule == "own":
        return {}
    names = {"steps": "STEPS", "warmup_steps": "WARMUP", "floor": "FLOOR"}
    return {name: getattr(module, said) for name, said in names.items() if hasattr(module, said)}


#: keys of a group that are compared as such, or change how a step is computed and not what it is
_ELSEWHERE = frozenset(
    {"params", "lr", "initial_lr", "weight_decay", "eps", "foreach", "fused", "capturable", "differentiable"}
)
#: keys of all groups alike, which `shared_values` says
_SHARED = ("betas", "momentum", "adjust_lr_fn")


def own_settings(model: nn.Module, made: torch.optim.Optimizer) -> tuple[Difference, ...]:
    """What a group has of its own that no plan has: other betas than all, or an option that is not torch's default.

    Args:
        model: whose parameters are in the groups.
        made: one of torch's optimizers, or a subclass.
    """
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    kind: Any = type(made)
    signature = inspect.signature(kind).parameters
    usual = {key: each.default for key, each in signature.items() if each.default is not inspect.Parameter.empty}
    usual |= {key: made.defaults[key] for key in _SHARED if key in made.defaults}
    found: dict[tuple[str, str], list[str]] = {}
    values: dict[tuple[str, str], tuple[object, object]] = {}
    for group in made.param_groups:
        for key, used in group.items():
            if key in _ELSEWHERE or key not in usual or _alike(used, usual[key]):
                continue
            found.setdefault((key, repr(used)), []).extend(names[id(each)] for each in group["params"])
            values[key, repr(used)] = usual[key], used
    return tuple(
        Difference(tuple(found[at]), at[0], str(values[at][0]), str(values[at][1]), "no plan sets it for a group")
        for at in found
    )


def _alike(used: object, usual: object) -> bool:
    return used == usual or (isinstance(used, Iterable) and isinstance(usual, Iterable) and [*used] == [*usual])


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
