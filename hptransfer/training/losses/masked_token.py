"""Mean cross-entropy of masked tokens, for models that see both sides, as BERT (Devlin et al., arXiv 1810.04805).

Unlike BERT's own recipe every chosen token is replaced by the mask (Wettig et al., arXiv 2202.08005, find that leaving
some as they are or replacing them at random is of no use), and which tokens are chosen follows from the window itself.

Tensor names carry their shape: B batch, C context window, M masked positions of a window, V vocabulary.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hptransfer.errors import UsageError
from hptransfer.training.losses._calls import logits_of, windows

if TYPE_CHECKING:
    from torch import Tensor, nn

_RULE = "a model that is trained with `masked-token` must map B x context tokens to logits, B x context x V"
#: odd constants of a multiplicative hash of 63 bits (splitmix64's, without their highest bit)
_MIX = (0x1E3779B97F4A7C15, 0x3F58476D1CE4E5B9, 0x14D049BB133111EB)


class MaskedToken:
    """In nats per masked token."""

    unit = "nats"

    def __call__(
        self,
        module: nn.Module,
        batch: Any,
        /,
        *,
        mask_token: int,
        share: float = 0.15,
        output: int | str | None = None,
    ) -> Tensor:
        """As `LossFunction`, for windows, whose last token is left out.

        Args:
            module: maps B x C tokens to logits, B x C x V.
            batch: windows of tokens, B x (C + 1) integers.
            mask_token: what replaces chosen tokens, an id that the tokenizer keeps for it.
            share: of the tokens of each window that is masked, in (0, 1); at least one token.
            output: which of several outputs of the module are the logits: a place in a tuple, from 0, or a key or an
                attribute; None where it returns them alone, or as `.logits`.

        Raises:
            UsageError: the batch is no windows, the share is none, or the module returns something else.
        """
        from torch.nn import functional

        if not 0 < share < 1:
            raise UsageError("`0 < share < 1` must hold for `masked-token`", received=f"share={share}")
        tokens_BxC = windows(batch, "masked-token")[:, :-1]
        chosen_BxM = chosen_positions(tokens_BxC, share)
        masked_BxC = tokens_BxC.scatter(1, chosen_BxM, mask_token)
        logits_BxCxV = logits_of(module(masked_BxC), _RULE, output)
        if logits_BxCxV.ndim != 3 or logits_BxCxV.shape[:-1] != tokens_BxC.shape:
            raise UsageError(_RULE, received=f"{tuple(logits_BxCxV.shape)} for {tuple(tokens_BxC.shape)} tokens")
        wanted = logits_BxCxV.gather(1, chosen_BxM[:, :, None].expand(-1, -1, logits_BxCxV.shape[-1]))
        return functional.cross_entropy(wanted.flatten(0, 1), tokens_BxC.gather(1, chosen_BxM).flatten())


def chosen_positions(tokens_BxC: Tensor, share: float) -> Tensor:
    """Which positions are masked: equally many of each window, by a hash of the whole window and the position.

    Args:
        tokens_BxC: windows of tokens, integers.
        share: of the positions, in (0, 1).

    Returns:
        B x M positions, M = share * C rounded, at least 1; each window's depend on that window alone.
    """
    import torch

    length = tokens_BxC.shape[1]
    place_C = _mixed(torch.arange(1, length + 1, device=tokens_BxC.device))
    window_Bx1 = _mixed((tokens_BxC + 1) * place_C).sum(1, keepdim=True)
    return _mixed(window_Bx1 + place_C).argsort(1)[:, : max(1, round(share * length))]


def _mixed(values: Tensor) -> Tensor:
    """Int64 hashes of int64 numbers, modulo 2^64 as torch's integers wrap."""
    first, second, third = _MIX
    values = values * first
    values = (values ^ (values >> 30)) * second
    values = (values ^ (values >> 27)) * third
    return values ^ (values >> 31)


#: no `Loss` by itself: `find_loss` binds its arguments
LOSS = MaskedToken()
