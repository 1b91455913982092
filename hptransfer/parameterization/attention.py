"""The scale of attention logits: 1/head_dim under muP, which is a factor of `forward`, not of a parameter."""

from __future__ import annotations

import math

from hptransfer.errors import UsageError

SOURCE = "Tensor Programs V (arXiv 2203.03466), Definition 4.1, attention logits q k / d_head"


def attention_scale(head_dim: int, base_head_dim: int) -> float:
    """The factor of q k in `forward`: sqrt(base_head_dim) / head_dim, which is 1/sqrt(head_dim) at the base.

    Args:
        head_dim: at the size in question, at least 1.
        base_head_dim: at the base size, at least 1.

    Raises:
        UsageError: a value below 1.
    """
    if head_dim < 1 or base_head_dim < 1:
        raise UsageError("`head_dim >= 1` must hold", received=f"{head_dim}, base {base_head_dim}")
    return math.sqrt(base_head_dim) / head_dim


def attention_note(head_dim: int, base_head_dim: int) -> str | None:
    """What must stay in `forward` where heads grow; None where their size is fixed, which needs nothing."""
    if head_dim == base_head_dim:
        return None
    return (
        f"heads grow ({base_head_dim} -> {head_dim}): `forward` must scale attention logits by sqrt({base_head_dim})"
        f"/{head_dim} = {attention_scale(head_dim, base_head_dim):.6g} instead of 1/sqrt({head_dim}) = "
        f"{head_dim**-0.5:.6g}, for example `scaled_dot_product_attention(..., scale=...)` ({SOURCE})"
    )
