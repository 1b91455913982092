"""Mean cross-entropy of the next token: the one after the window, or after every position of a decoder.

Tensor names carry their shape: B batch, C context window, V vocabulary.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hptransfer.errors import UsageError
from hptransfer.training.losses._calls import logits_of, windows

if TYPE_CHECKING:
    from torch import Tensor, nn

    from hptransfer.training.losses.base import Loss

_RULE = "a model that is trained with `next-token` must map B x context tokens to logits, B x V or B x context x V"


class NextToken:
    """In nats per prediction."""

    unit = "nats"

    def __call__(self, module: nn.Module, batch: Any, /, *, output: int | str | None = None) -> Tensor:
        """As `LossFunction`, for windows; the module maps B x C tokens to logits over any vocabulary.

        Args:
            module: maps B x C tokens to logits, B x V or B x C x V.
            batch: windows of tokens, B x (C + 1) integers.
            output: which of several outputs of the module are the logits: a place in a tuple, from 0, or a key or an
                attribute; None where it returns them alone, or as `.logits`.

        Raises:
            UsageError: the batch is no windows, or the module returns something else.
        """
        from torch.nn import functional

        tokens_BxC1 = windows(batch, "next-token")
        returned = module(tokens_BxC1[:, :-1])
        logits = logits_of(returned, _RULE, output)
        targets = tokens_BxC1[:, -1] if logits.ndim == 2 else tokens_BxC1[:, 1:]
        if logits.shape[:-1] != targets.shape:
            tokens = tuple(tokens_BxC1[:, 1:].shape)
            raise UsageError(
                _RULE,
                received=f"{type(returned).__name__} {tuple(logits.shape)} for {tokens} tokens",
                hint="other models can be trained with your own loss (docs/data.md)",
            )
        return functional.cross_entropy(logits.flatten(0, -2), targets.flatten())


LOSS: Loss = NextToken()
