"""How far each residual block is from being linear in its own weights: do deep layers learn features, or only add up?

With branches of order L^-alpha a weight may move by L^(alpha - 1) of itself, or the stream would move with the depth L.
What a block adds then changes by a part that is linear in its weights and a part that is of second order, and their
ratio goes as L^(alpha - 1): it stays with alpha = 1 and vanishes as L^-1/2 with alpha = 1/2 (Dey et al.,
arXiv 2505.01618, complete feature learning). The second-order part is small, so everything runs in float64.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, jvp
from torch.nn.attention import SDPBackend, sdpa_kernel

from hptransfer.errors import UsageError
from hptransfer.training.batches import Batches
from hptransfer.training.loop import TrainingSettings, training_losses
from hptransfer.training.losses.base import find_loss


def measure_linearisation(
    module: nn.Module,
    param_groups: Sequence[Mapping[str, Any]],
    corpus: Batches,
    settings: TrainingSettings,
    seed: int,
    blocks: Iterable[str],
    steps: int = 1,
) -> dict[str, float | None]:
    """Train a few steps at the peak learning rate and compare each block's change with its linearisation.

    A block is given what it was given at init on the probe batch, the first validation batch, so that only its own
    weights count: D = |dh - dh_lin| / |dh_lin|, dh the change of its output, dh_lin the derivative of its output along
    the change of its weights.

    Args:
        module: already initialised; it is turned to float64 and trained in place.
        param_groups: for the optimizer; each has "params", "lr" (the peak), "weight_decay", and "eps" for Adam.
        corpus: training batches, and the probe: the first validation batch.
        settings: optimizer and batch; its duration and schedule are replaced.
        seed: of the order in which training windows are drawn, at least 0.
        blocks: names of modules that repeat along the depth and add to the residual stream.
        steps: optimizer steps to take, at least 1.

    Returns:
        D by name of the block; None where it is not finite or the block did not move.

    Raises:
        UsageError: a named module is not called with tensors, or torch knows no forward derivative of it.
    """
    module.double()
    (batch,) = corpus.validation_batches(1, settings.batch_size, settings.context)
    loss_of = find_loss(settings.loss, settings.loss_arguments)
    given = _inputs(module, lambda: loss_of(module, batch), blocks)
    before = {name: _state(module.get_submodule(name)) for name in given}
    peak = replace(settings, steps=steps, schedule="constant", warmup=0.0)
    for _ in training_losses(module, param_groups, corpus, peak, seed):
        pass
    module.eval()  # dropout is no non-linearity
    try:
        return {
            name: _distance(module.get_submodule(name), before[name], args, options)
            for name, (args, options) in given.items()
        }
    finally:
        module.train()


def _state(block: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in block.named_parameters()}


@torch.no_grad()
def _inputs(
    module: nn.Module, forward: Callable[[], object], blocks: Iterable[str]
) -> dict[str, tuple[tuple[Any, ...], dict[str, Any]]]:
    """Arguments with which each block is called."""
    given: dict[str, tuple[tuple[Any, ...], dict[str, Any]]] = {}

    def keep(name: str, args: tuple[Any, ...], options: dict[str, Any]) -> None:
        given[name] = (args, options)

    hooks = [
        module.get_submodule(name).register_forward_pre_hook(
            lambda _block, args, options, name=name: keep(name, args, options), with_kwargs=True
        )
        for name in blocks
    ]
    module.eval()
    try:
        forward()
    finally:
        for hook in hooks:
            hook.remove()
        module.train()
    return given


def _distance(
    block: nn.Module, before: Mapping[str, Tensor], args: tuple[Any, ...], options: Mapping[str, Any]
) -> float | None:
    now = _state(block)

    def output(weights: dict[str, Tensor]) -> Tensor:
        result = functional_call(block, weights, args, dict(options))
        first = result[0] if isinstance(result, tuple) else result
        if not isinstance(first, Tensor):
            raise UsageError("a residual block must return a tensor first", received=type(first).__name__)
        return first

    with torch.no_grad(), _forward_derivatives(type(block).__name__):
        moved = {name: now[name] - before[name] for name in now}
        # jvp is typed as returning anything its function may; `output` returns a tensor
        derivative: tuple[Tensor, Tensor] = jvp(output, (dict(before),), (moved,))  # type: ignore[assignment]
        at_init, linear = derivative
        change = output(now) - at_init
    distance = ((change - linear).norm() / linear.norm()).item()
    return distance if math.isfinite(distance) else None


@contextmanager
def _forward_derivatives(name: str) -> Iterator[None]:
    """Attention written out, because its fused form has no forward derivative; others that have none are named."""
    try:
        with sdpa_kernel(SDPBackend.MATH), warnings.catch_warnings():
            # torch's own rules for forward derivatives are still compiled with what it has deprecated
            warnings.filterwarnings("ignore", r"`torch\.jit\.script` is deprecated", DeprecationWarning)
            yield
    except RuntimeError as error:  # NotImplementedError, its kind, where an operation of torch has no such derivative
        if not isinstance(error, NotImplementedError) and "autograd.Function" not in str(error):
            raise
        raise UsageError(
            "distance from linearisation needs the forward derivative of every operation in a residual block",
            received=f"{name}: {str(error).splitlines()[0]}",
            hint="leave `linearization` out of `check.diagnostics` for this model",
        ) from error
