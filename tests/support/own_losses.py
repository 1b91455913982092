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


not_a_loss = "text"
