"""The curvature that limits the learning rate: top eigenvalue of the Hessian in the optimizer's own metric.

A step of gradient descent along an eigenvector of curvature c multiplies it by 1 - rate * c. With rates that differ by
parameter, and with Adam, which divides by a running size of the gradient, the same holds for R^1/2 H R^1/2, where R has
each entry's effective rate: rate / (sqrt(v) + eps) for Adam, the rate for SGD (Cohen et al., arXiv 2207.14484). What is
measured is therefore a pure number, to be compared with the optimizer's `threshold`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from hptransfer.training.batches import Batches
from hptransfer.training.loop import TrainingSettings, build_optimizer, training_losses
from hptransfer.training.losses.base import find_loss
from hptransfer.training.optimizers.base import OPTIMIZERS

#: products with the Hessian at most, each about two gradients
MOST_PRODUCTS = 60
#: relative bound on the error of the eigenvalue at which it counts as found
TOLERANCE = 0.01
#: batches over which the Hessian is averaged
BATCHES = 4


def measure_sharpness(
    module: nn.Module,
    param_groups: Sequence[Mapping[str, Any]],
    corpus: Batches,
    settings: TrainingSettings,
    seed: int,
) -> dict[str, Any]:
    """Train at the peak learning rate (warmup, no decay) to the end and measure the Hessian of the batches to come.

    Args:
        module: already initialised; it is trained in place.
        param_groups: for the optimizer; each has "params", "lr" (the peak), "weight_decay", and "eps" for Adam.
        corpus: source of training batches, also of those that training does not take.
        settings: optimizer and duration; its schedule is replaced by a constant one.
        seed: of the order in which training windows are drawn, at least 0.

    Returns:
        "sharpness" (top eigenvalue times effective rate; None when training or the eigenvalue is not finite),
        "converged" (whether the eigenvalue is known to 1%) and "products" with the Hessian.
    """
    optimizer = build_optimizer(param_groups, settings)
    steady = replace(settings, schedule="constant")
    for loss in training_losses(module, param_groups, corpus, steady, seed, optimizer=optimizer):
        if not math.isfinite(loss):
            return {"sharpness": None, "converged": False, "products": 0}
    batches = [
        corpus.batch(seed, settings.steps + ahead, settings.batch_size, settings.context) for ahead in range(BATCHES)
    ]
    parameters, rates = effective_rates(optimizer, settings.optimizer)
    loss_of = find_loss(settings.loss, settings.loss_arguments)
    roots = [rate.sqrt() for rate in rates]
    module.eval()

    def product(vectors: Sequence[Tensor]) -> list[Tensor]:
        scaled = [root * vector for root, vector in zip(roots, vectors, strict=True)]
        total = [torch.zeros_like(vector) for vector in vectors]
        for batch in batches:
            curved = hessian_product(partial(loss_of, module, batch), parameters, scaled)
            total = [sum_ + part / len(batches) for sum_, part in zip(total, curved, strict=True)]
        return [root * part for root, part in zip(roots, total, strict=True)]

    try:
        value, products, converged = top_eigenvalue(product, parameters)
    finally:
        module.train()
    known = math.isfinite(value)
    return {"sharpness": value if known else None, "converged": known and converged, "products": products}


def effective_rates(optimizer: torch.optim.Optimizer, name: str) -> tuple[list[Tensor], list[Tensor]]:
    """Parameters that were trained, and by how much each entry moves per unit of (averaged) gradient.

    Args:
        optimizer: after at least one step.
        name: of its entry in `OPTIMIZERS`.

    Raises:
        UsageError: the optimizer's steps are not proportional to an averaged gradient.
    """
    entry = OPTIMIZERS.look_up(name)
    parameters, rates = [], []
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            if not parameter.requires_grad or parameter.grad is None:
                continue
            parameters.append(parameter)
            rates.append(entry.effective_rate(parameter, group, optimizer.state[parameter]))
    return parameters, rates


def hessian_product(
    loss: Callable[[], Tensor], parameters: Sequence[Tensor], vectors: Sequence[Tensor]
) -> list[Tensor]:
    """H v by differentiating the gradient's product with v; attention is written out, its fused form has no second.

    Args:
        loss: computes the scalar whose Hessian is H, anew at each call.
        parameters: by which it is differentiated.
        vectors: v in parts, each of the shape of its parameter.
    """
    with sdpa_kernel(SDPBackend.MATH):
        gradients = torch.autograd.grad(loss(), parameters, create_graph=True, allow_unused=True)
        along = [(g * v).sum() for g, v in zip(gradients, vectors, strict=True) if g is not None and g.requires_grad]
        if not along:
            return [torch.zeros_like(vector) for vector in vectors]
        products = torch.autograd.grad(torch.stack(along).sum(), parameters, allow_unused=True)
    return [torch.zeros_like(v) if p is None else p.detach() for p, v in zip(products, vectors, strict=True)]


def top_eigenvalue(
    product: Callable[[Sequence[Tensor]], Sequence[Tensor]],
    like: Sequence[Tensor],
    *,
    products: int = MOST_PRODUCTS,
    tolerance: float = TOLERANCE,
) -> tuple[float, int, bool]:
    """Largest eigenvalue of a symmetric operator by Lanczos' recurrence.

    Only three vectors are kept: what is lost by not orthogonalising against the others are copies of eigenvalues that
    have been found already, not the largest one.

    Args:
        product: maps the parts of a vector to those of the operator times it.
        like: tensors with the shapes, type and device of a vector's parts.
        products: largest number of products that may be taken.
        tolerance: bound on the error relative to the eigenvalue, by the last component of the Ritz vector.

    Returns:
        (eigenvalue, number of products, whether the bound was reached).
    """
    generator = torch.Generator().manual_seed(0)
    current = [torch.randn(t.shape, generator=generator, dtype=torch.float64).to(t) for t in like]
    current = _scaled(current, 1 / _norm(current))
    previous = [torch.zeros_like(t) for t in current]
    diagonal: list[float] = []
    beside: list[float] = []
    beta = 0.0
    for count in range(1, products + 1):
        new = [a - beta * b for a, b in zip(product(current), previous, strict=True)]
        diagonal.append(sum((a.double() * b.double()).sum().item() for a, b in zip(new, current, strict=True)))
        new = [a - diagonal[-1] * b for a, b in zip(new, current, strict=True)]
        beta = _norm(new)
        if not math.isfinite(beta + diagonal[-1]):
            return math.nan, count, False
        matrix = torch.diag(torch.tensor(diagonal, dtype=torch.float64))
        if beside:
            off = torch.tensor(beside, dtype=torch.float64)
            matrix = matrix + torch.diag(off, 1) + torch.diag(off, -1)
        values, vectors = torch.linalg.eigh(matrix)
        top = values[-1].item()
        if beta * abs(vectors[-1, -1].item()) <= tolerance * abs(top):
            return top, count, True
        previous, current = current, _scaled(new, 1 / beta)
        beside.append(beta)
    return top, products, False


def _norm(vectors: Sequence[Tensor]) -> float:
    return math.sqrt(sum(v.double().square().sum().item() for v in vectors))


def _scaled(vectors: Sequence[Tensor], factor: float) -> list[Tensor]:
    return [factor * v for v in vectors]
