"""Squared gradient norms at two batch sizes along training, from which the gradient noise scale is estimated.

Source: McCandlish et al., arXiv 1812.06162, appendix A.1; what is made of the norms is in `diagnostics.noise_scale`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from hptransfer.training.batches import Batches
from hptransfer.training.loop import TrainingSettings, build_optimizer, training_losses
from hptransfer.training.losses.base import find_loss
from hptransfer.training.sharpness import effective_rates

#: shares of training after which is measured: the scale grows while the loss falls. Not at the end: where the rate has
#: decayed to zero little gradient is left, and the scale there (10 times that at half on the quickstart) says nothing
#: about the batch with which training got there
MOMENTS = (0.25, 0.5, 0.75)
#: batches whose mean is the big gradient
BIG = 8
#: big gradients at each moment
PAIRS = 8


def measure_noise_scale(
    module: nn.Module,
    param_groups: Sequence[Mapping[str, Any]],
    corpus: Batches,
    settings: TrainingSettings,
    seed: int,
) -> dict[str, Any]:
    """Train as a trial does and measure on batches that training never takes.

    Args:
        module: already initialised; it is trained in place.
        param_groups: for the optimizer; each has "params", "lr" (the peak), "weight_decay", and "eps" for Adam.
        corpus: source of training batches, also of those that training does not take.
        settings: as for a trial; its batch is the small one.
        seed: of the order in which training windows are drawn, at least 0.

    Returns:
        "moments": for each "progress", "small_batch", "big_batch" and "pairs" of squared norms, plain ("small", the
        mean over its batches, and "big") and in the optimizer's metric ("adapted_small", "adapted_big"). Empty when a
        loss or a norm was not finite.
    """
    optimizer = build_optimizer(param_groups, settings)
    at = {max(1, round(share * settings.steps)): share for share in MOMENTS}
    moments = []
    losses = training_losses(module, param_groups, corpus, settings, seed, optimizer=optimizer)
    for done, loss in enumerate(losses, start=1):
        if not math.isfinite(loss):
            return {"moments": []}
        if done in at:
            pairs = [_pair(module, optimizer, corpus, settings, seed, index) for index in range(PAIRS)]
            if not all(math.isfinite(value) for pair in pairs for value in pair.values()):
                return {"moments": []}
            batch = settings.batch_size
            moments.append({"progress": at[done], "small_batch": batch, "big_batch": BIG * batch, "pairs": pairs})
    return {"moments": moments}


def _pair(
    module: nn.Module,
    optimizer: torch.optim.Optimizer,
    corpus: Batches,
    settings: TrainingSettings,
    seed: int,
    index: int,
) -> dict[str, float]:
    """Norms of the gradients of BIG batches and of their mean; gradients that the optimizer holds stay as they are."""
    parameters, rates = effective_rates(optimizer, settings.optimizer)
    loss_of = find_loss(settings.loss, settings.loss_arguments)
    total = [torch.zeros_like(parameter) for parameter in parameters]
    small = adapted = 0.0
    for part in range(BIG):
        batch = corpus.batch(seed, settings.steps + BIG * index + part, settings.batch_size, settings.context)
        loss = loss_of(module, batch)
        gradients = torch.autograd.grad(loss, parameters, materialize_grads=True)
        small += _square(gradients) / BIG
        adapted += _square(gradients, rates) / BIG
        total = [sum_ + gradient / BIG for sum_, gradient in zip(total, gradients, strict=True)]
    return {"small": small, "big": _square(total), "adapted_small": adapted, "adapted_big": _square(total, rates)}


def _square(gradients: Sequence[Tensor], rates: Sequence[Tensor] | None = None) -> float:
    """Sum of squares, each entry's times its rate where rates are given."""
    squares = (gradient.double().square() for gradient in gradients)
    if rates is None:
        return sum(square.sum().item() for square in squares)
    return sum((square * rate).sum().item() for square, rate in zip(squares, rates, strict=True))
