"""Mean cross-entropy of the next byte: the one after the window, or after every position of a decoder.

Tensor names carry their shape: B batch, C context window, V vocabulary.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hptransfer.errors import UsageError

if TYPE_CHECKING:
    from torch import Tensor, nn

    from hptransfer.training.losses.base import Loss


class NextToken:
    """In nats per prediction."""

    unit = "nats"

    def __call__(self, module: nn.Module, tokens_BxC1: Tensor, /) -> Tensor:
        """As `LossFunction`; the module maps B x C bytes to logits.

        Raises:
            UsageError: the module returns something else.
        """
        import torch
        from torch.nn import functional

        output = module(tokens_BxC1[:, :-1])
        logits = getattr(output, "logits", output)  # models of transformers return an object
        if not isinstance(logits, torch.Tensor) or logits.ndim not in (2, 3) or not logits.is_floating_point():
            shape = f" {tuple(logits.shape)}" if isinstance(logits, torch.Tensor) else ""
            raise UsageError(
                "a model that is trained here must map B x context tokens to logits, B x V or B x context x V",
                received=f"{type(output).__name__}{shape}",
                hint="other models can be planned (`hptransfer plan`, `hptransfer.plan`) and trained by your own code",
            )
        if logits.ndim == 2:
            return functional.cross_entropy(logits, tokens_BxC1[:, -1])
        return functional.cross_entropy(logits.flatten(0, 1), tokens_BxC1[:, 1:].flatten())


LOSS: Loss = NextToken()
