"""One optimizer step's gradient: in parts, at a precision, from several processes, and clipped."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from hptransfer.recipe.training import ClipNorm, Precision
from hptransfer.training.shard import WHOLE, Shard

if TYPE_CHECKING:
    from hptransfer.training.batches import Batch
    from hptransfer.training.losses.base import Loss


def accumulate_gradients(
    loss_of: Loss,
    module: nn.Module,
    batch: Batch,
    *,
    parts: int = 1,
    precision: Precision = "float32",
    shard: Shard = WHOLE,
) -> Tensor:
    """Add the gradient of a batch's mean loss to the parameters, one part of the batch after the other.

    Args:
        loss_of: the mean over the examples that it is given.
        module: what the loss calls, perhaps wrapped by `Shard.wrap`.
        batch: the whole batch, the same in every process.
        parts: into how many it is split, at least 1 and at most the examples of this process.
        precision: of the arithmetic in `forward` and loss.
        shard: which part of the batch this process takes.

    Returns:
        The loss as this process's share of the mean over processes, a scalar without a graph.
    """
    mine = shard.of(batch)
    if parts == 1:  # the usual case, without the detours that small models would notice
        with autocast(module, precision):
            loss = shard.scale(loss_of(module, mine), batch)
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        return loss.detach()
    total: Tensor | None = None
    for part in (Shard(index, parts) for index in range(parts)):
        # gradients travel between processes once, with the last part
        with nullcontext() if part.rank == parts - 1 else unsynchronised(module):
            with autocast(module, precision):
                mean = loss_of(module, part.of(mine))
            loss = shard.scale(part.scale(mean, mine) / part.world, batch)
            loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        total = loss.detach() if total is None else total + loss.detach()
    if total is None:
        raise ValueError(f"`parts >= 1` must hold; received: {parts}")
    return total


def unsynchronised(module: nn.Module) -> AbstractContextManager[Any]:
    """What keeps gradients in this process, where several train the module.

    Args:
        module: perhaps wrapped by `Shard.wrap`.
    """
    if not isinstance(module, DistributedDataParallel):
        return nullcontext()
    context: AbstractContextManager[Any] = module.no_sync()
    return context


def autocast(module: nn.Module, precision: Precision) -> AbstractContextManager[Any]:
    """What lowers the precision of a forward pass, where that is asked for.

    Args:
        module: whose device decides which arithmetic there is.
        precision: "bfloat16" lowers it; the others are those of the weights.
    """
    if precision != "bfloat16":
        return nullcontext()
    return torch.autocast(device_of(module).type, torch.bfloat16)


def device_of(module: nn.Module) -> torch.device:
    """Where a module's parameters are; the processor where it has none."""
    return next((parameter.device for parameter in module.parameters()), torch.device("cpu"))


def clipper(
    module: nn.Module, param_groups: Sequence[Mapping[str, Any]], largest: float | None, norm: ClipNorm
) -> Callable[[], object]:
    """What is done to gradients between `backward` and the optimizer's step.

    Args:
        module: whose gradients are meant.
        param_groups: for "scaled", each with "gradient_sizes", one per entry of its "params".
        largest: threshold, above 0; None for no clipping.
        norm: which norm it bounds.
    """
    if largest is None:
        return lambda: None
    if norm == "global":
        whole = list(module.parameters())  # a small model would notice that it is walked in every step
        if len({(type(each), each.device, each.dtype) for each in whole}) == 1 and type(whole[0]) is nn.Parameter:
            return lambda: clip_scaled_(whole, None, largest)
        return lambda: nn.utils.clip_grad_norm_(whole, largest)
    pairs = [pair for group in param_groups for pair in zip(group["params"], group["gradient_sizes"], strict=True)]
    parameters, sizes = [parameter for parameter, _ in pairs], [size for _, size in pairs]
    return lambda: clip_scaled_(parameters, sizes, largest)


def clip_scaled_(parameters: Sequence[Tensor], sizes: Sequence[float] | None, largest: float) -> Tensor:
    """Scale all gradients down by one factor so that the norm relative to their expected sizes is at most `largest`.

    Args:
        parameters: after `backward`; those without a gradient are left out.
        sizes: expected norm of each one's gradient over that at the base, positive; None for 1 each, which clips by the
            global norm with the arithmetic of `torch.nn.utils.clip_grad_norm_` and less overhead.
        largest: threshold, above 0, comparable with a global gradient norm at the base.

    Returns:
        The norm before clipping, a scalar.
    """
    found = [place for place, parameter in enumerate(parameters) if parameter.grad is not None]
    gradients = [gradient for parameter in parameters if (gradient := parameter.grad) is not None]
    if not gradients:
        return torch.zeros(())
    norms = torch.stack(torch._foreach_norm(gradients))
    if sizes is not None:
        norms = norms / norms.new_tensor([sizes[place] for place in found])
    norm: Tensor = torch.linalg.vector_norm(norms)
    torch._foreach_mul_(gradients, (largest / (norm + 1e-6)).clamp(max=1.0))
    return norm
