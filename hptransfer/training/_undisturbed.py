"""Looking into somebody's training without leaving a trace: modes, buffers and random states are put back."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parallel import DataParallel, DistributedDataParallel
from torch.nn.parameter import is_lazy

from hptransfer.errors import UsageError


def unwrapped(model: nn.Module) -> nn.Module:
    """The plain module within what `torch.compile` and data parallelism wrap around it.

    Args:
        model: as the training loop calls it.

    Raises:
        UsageError: its parameters are sharded over processes, or have no values yet.
    """
    while True:
        inner = getattr(model, "_orig_mod", None)
        if isinstance(inner, nn.Module):
            model = inner
        elif isinstance(model, DistributedDataParallel | DataParallel):
            model = model.module
        else:
            break
    unmade = next((name for name, tensor in model.named_parameters() if is_lazy(tensor) or tensor.is_meta), None)
    if unmade is not None:
        raise UsageError(
            "watch must see initialised parameters",
            received=f"{unmade}, which has no values yet",
            hint="call `hptransfer.watch` after the model was initialised, and a lazy one called once",
        )
    sharded = next((name for name, tensor in model.named_parameters() if hasattr(tensor, "full_tensor")), None)
    if type(model).__name__ == "FullyShardedDataParallel":
        sharded = "all parameters"
    if sharded is not None:
        raise UsageError(
            "watch must see whole parameters",
            received=f"{sharded}, sharded over processes",
            hint="watch without FSDP or tensor parallelism: the sizes of a coordinate check fit on one device",
        )
    return model


def called(model: nn.Module, probe: Any, forward: Callable[[nn.Module, Any], Any] | None) -> Any:
    """The model's output for a probe: model(probe), model(*probe) of a tuple or list, model(**probe) of a mapping.

    Args:
        model: as `unwrapped` gives it.
        probe: input of any structure; its tensors are moved to where the parameters are.
        forward: calls the model where the structure does not say how.
    """
    device = next((tensor.device for tensor in model.parameters()), None)
    placed = copied(probe, device)
    if forward is not None:
        return forward(model, placed)
    if isinstance(placed, Mapping):
        return model(**placed)
    return model(*placed) if isinstance(placed, tuple | list) else model(placed)


def copied(probe: Any, device: torch.device | None = None) -> Any:
    """The probe with tensors of its own, so that a loop that reuses its batch changes nothing.

    Args:
        probe: tensors in tuples, lists and mappings, or anything else, which is passed on.
        device: where the copies lie; None for where the tensors are.
    """
    if isinstance(probe, Tensor):
        return probe.detach().clone() if device is None else probe.to(device)
    if isinstance(probe, Mapping):
        return {key: copied(value, device) for key, value in probe.items()}
    if isinstance(probe, tuple | list):
        return [copied(value, device) for value in probe]
    return probe


@contextmanager
def undisturbed(model: nn.Module) -> Iterator[None]:
    """Within it a forward pass of the plain module changes nothing that training sees.

    No gradients, no dropout, no autocast, no compiled code. Batch norms use the statistics of the batch, as in
    training, and forget them. Afterwards modes, buffers and random states (python, numpy, torch on CPU and
    accelerators) are what they were.

    Args:
        model: as `unwrapped` gives it.
    """
    modes = [(module, module.training) for module in model.modules()]
    # a buffer may be shared by modules, and a forward pass may replace it by another tensor
    buffers = [
        (module, name, tensor, tensor.clone())
        for module in model.modules()
        for name, tensor in module._buffers.items()
        if tensor is not None
    ]
    kinds = {tensor.device.type for tensor in model.parameters()} | {"cpu"}
    states = _random_states()
    # a flag and no call of `eval()`: that of a user's module may do more
    for module, mode in modes:
        module.training = _uses_batch(module, frozen=modes[0][1] and not mode)
    try:
        with ExitStack() as stack:
            stack.enter_context(torch.no_grad())
            stack.enter_context(torch.compiler.set_stance("force_eager"))
            for kind in sorted(kinds & {"cpu", "cuda", "mps", "xpu"}):
                # within autocast a pass without gradients would leave casts without gradients in its cache
                stack.enter_context(torch.autocast(kind, enabled=False))
            yield
    finally:
        for module, mode in modes:
            module.training = mode
        with torch.no_grad():
            for module, name, tensor, kept in buffers:
                module._buffers[name] = tensor
                if not torch.equal(tensor, kept):
                    tensor.copy_(kept)
        _restore(states)


def _uses_batch(module: nn.Module, *, frozen: bool) -> bool:
    """Whether a module is to normalise by the batch that it sees, as in training."""
    synchronised = isinstance(module, nn.SyncBatchNorm)  # it would wait for processes that do not look
    return isinstance(module, _BatchNorm) and not (synchronised or frozen)


def _random_states() -> dict[str, Any]:
    states = {"python": random.getstate(), "numpy": np.random.get_state(), "cpu": torch.get_rng_state()}
    if torch.cuda.is_available() and torch.cuda.is_initialized():  # type: ignore[no-untyped-call]  # of torch
        states["cuda"] = torch.cuda.get_rng_state_all()
    if torch.backends.mps.is_available():
        states["mps"] = torch.mps.get_rng_state()
    return states


def _restore(states: Mapping[str, Any]) -> None:
    random.setstate(states["python"])
    np.random.set_state(states["numpy"])
    torch.set_rng_state(states["cpu"])
    if "cuda" in states:
        torch.cuda.set_rng_state_all(states["cuda"])
    if "mps" in states:
        torch.mps.set_rng_state(states["mps"])
