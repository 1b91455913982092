"""A loss: cross-entropy of the next byte in bits."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch.nn import functional

if TYPE_CHECKING:
    from torch import Tensor, nn


class Bits:
    """Nats over the natural logarithm of 2."""

    unit = "bits"

    def __call__(self, module: nn.Module, tokens_BxC1: Tensor) -> Tensor:
        """Log base 2."""
        return functional.cross_entropy(module(tokens_BxC1[:, :-1]), tokens_BxC1[:, -1]) / 0.6931471805599453


LOSS = Bits()
