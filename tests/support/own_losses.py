"""Losses as a user would write them, outside the package."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch.nn import functional

if TYPE_CHECKING:
    from torch import Tensor, nn


def brier(module: nn.Module, tokens_BxC1: Tensor) -> Tensor:
    """Squared distance of the predicted probabilities from the next byte's indicator, mean over examples: 0 to 2."""
    probabilities_BxV = module(tokens_BxC1[:, :-1]).softmax(-1)
    truth_BxV = functional.one_hot(tokens_BxC1[:, -1], probabilities_BxV.shape[-1])
    loss: Tensor = (probabilities_BxV - truth_BxV).square().sum(-1).mean()
    return loss


def one_per_example(module: nn.Module, tokens_BxC1: Tensor) -> Tensor:
    """Forgets the mean."""
    return functional.cross_entropy(module(tokens_BxC1[:, :-1]), tokens_BxC1[:, -1], reduction="none")


def of_python(module: nn.Module, tokens_BxC1: Tensor) -> float:
    """A number that torch knows nothing of."""
    return brier(module, tokens_BxC1).item()


def whole(module: nn.Module, tokens_BxC1: Tensor) -> Tensor:
    """Counts mistakes."""
    wrong: Tensor = (module(tokens_BxC1[:, :-1]).argmax(-1) != tokens_BxC1[:, -1]).sum()
    return wrong


def detached(module: nn.Module, tokens_BxC1: Tensor) -> Tensor:
    """Cut off from what the model returned."""
    return brier(module, tokens_BxC1).detach()


def negative(module: nn.Module, tokens_BxC1: Tensor) -> Tensor:
    """To be made large, with its sign changed."""
    return brier(module, tokens_BxC1) - 3


not_a_loss = "text"
