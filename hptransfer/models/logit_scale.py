"""`hptransfer.scale_logits`: the factor of a tied readout, applied from outside to a model whose code stays as it is.

A table that is looked up and reads out cannot take the readout's multiplier: scaling it would scale what is looked up.
So a hook multiplies what the readout is given. W (c h) + b is c W h + b, so a bias is not scaled, and a loss that the
model computes by itself sees scaled logits. Where no module of its own reads out, the model's logits are multiplied.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from hptransfer.errors import UsageError
from hptransfer.models.applied_plan import AppliedPlan, plain_names
from hptransfer.models.logit_factors import InputFactor, LogitFactor, OutputFactor, tied_factors
from hptransfer.parameterization.roles import Parameter, Role

if TYPE_CHECKING:
    from torch.utils.hooks import RemovableHandle

_LOOKING_UP = (nn.Embedding, nn.EmbeddingBag)


class ScaledLogits:
    """Hooks that multiply logits.

    Args:
        handles: those that registering the hooks returned.
        factors: name of each table -> what its logits are multiplied by.

    Attributes:
        factors: name of each table -> what its logits are multiplied by; empty where nothing has to be.
    """

    def __init__(self, handles: list[RemovableHandle], factors: Mapping[str, float]) -> None:
        self.factors = dict(factors)
        self._handles = handles

    def remove(self) -> None:
        """Leave the model as it was."""
        for handle in self._handles:
            handle.remove()


def scale_logits(model: nn.Module, plan: AppliedPlan) -> ScaledLogits:
    """Multiply the logits of tied tables by what the plan asks of `forward`.

    Call it once, before training, wrapping or compiling. Copies (`copy.deepcopy`, EMA) keep the factor; names and state
    dicts are as before, so a checkpoint does not say it: call it again on a model that is built to load one. A second
    call replaces the factor, so nothing is multiplied twice. Without a tied table, and at the base, nothing is done.

    Args:
        model: module with the plan's names, its readout tied as in the model that was planned.
        plan: from `hptransfer.plan`, `load_plan` or `trial.plan`.

    Returns:
        A handle: `remove()` takes the hooks away, `factors` says what is multiplied.

    Raises:
        UsageError: the tables do not match the plan's, or nothing that reads out can be found.
    """
    _forget(model)
    wanted = tied_factors(plan.groups)
    found = {
        name: (tensor, factor)
        for name, tensor in plain_names(model)
        for pattern, factor in wanted.items()
        if pattern.fullmatch(name)
    }
    if len(found) < len(wanted):
        missing = [pattern.pattern for pattern in wanted if not any(map(pattern.fullmatch, found))]
        raise UsageError("a tied table of the plan must be a parameter of the model", received=", ".join(missing))
    scaled = {name: pair for name, pair in found.items() if pair[1] != 1}
    handles = [handle for name, pair in scaled.items() for handle in _hooked(model, name, *pair)]
    if handles and "torch._dynamo" in sys.modules:
        torch._dynamo.reset()  # compiled code does not look for hooks that were added later
    return ScaledLogits(handles, {name: factor for name, (_, factor) in scaled.items()})


def _hooked(model: nn.Module, name: str, table: Tensor, factor: float) -> Iterator[RemovableHandle]:
    readers = _readers(model, table)
    for reader in readers:
        if isinstance(reader, nn.Linear):
            yield reader.register_forward_pre_hook(InputFactor(name, factor), with_kwargs=True)
        elif all(parameter is table for parameter in reader.parameters()):
            yield reader.register_forward_hook(OutputFactor(name, factor))
        else:
            raise UsageError(
                "a module that reads out by a shared table must be a torch.nn.Linear, or have no other parameter",
                received=f"{type(reader).__name__} with {name}",
                hint=f"multiply the logits by {factor:.6g} in its `forward`, before a bias is added, and plan in the "
                'gauge "multipliers"',
            )
    if not readers:
        yield model.register_forward_hook(OutputFactor(name, factor))


def tied_layers(model: nn.Module, parameters: Iterable[Parameter]) -> dict[str, str]:
    """Module name -> what its output is, of modules that share a table: "embedding" or "logits".

    Args:
        model: with the parameters' names, its readout tied.
        parameters: all of its parameters, with their roles.
    """
    tensors = dict(plain_names(model))
    tables = [each.name for each in parameters if each.role is Role.TIED_EMBEDDING and each.name in tensors]
    found = {name.rpartition(".")[0]: "embedding" for name in tables}
    readers = [reader for name in tables for reader in _readers(model, tensors[name])]
    return found | {name: "logits" for name, module in model.named_modules() if module in readers}


def _readers(model: nn.Module, table: Tensor) -> list[nn.Module]:
    """The modules that hold the table and do not look up in it."""
    return [
        module
        for module in model.modules()
        if not isinstance(module, _LOOKING_UP) and any(tensor is table for tensor in module._parameters.values())
    ]


def _forget(model: nn.Module) -> None:
    """Remove the hooks of an earlier call, a copied model's included."""
    for module in model.modules():
        registries: tuple[tuple[Any, Any], ...] = (
            (module._forward_pre_hooks, module._forward_pre_hooks_with_kwargs),
            (module._forward_hooks, module._forward_hooks_with_kwargs),
        )
        for hooks, with_kwargs in registries:
            for key in [key for key, hook in hooks.items() if isinstance(hook, LogitFactor)]:
                del hooks[key]
                with_kwargs.pop(key, None)
