"""A pre-norm decoder: RMSNorm, rotary or learned positions, causal attention, GELU MLP, untied readout, no biases.

Plain PyTorch: every multiplier of a parameterization lives in init and learning rates, none in `forward`. Heads have a
fixed size and grow in number with the width, so the usual 1/sqrt(head_dim) is a constant of the width.

Tensor names carry their shape: B batch, T time, D width, F feed-forward width, H heads, K head_dim,
V vocabulary.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

#: of bytes
VOCABULARY = 256
ROTARY_BASE = 10_000.0


class Block(nn.Module):
    """x + attention(norm(x)), then x + mlp(norm(x)).

    Args:
        width: D, numbers per position in the residual stream, a multiple of head_dim.
        head_dim: K; H = D / K.
        mlp_ratio: F / D, a whole number of at least 1.
    """

    def __init__(self, width: int, *, head_dim: int, mlp_ratio: int) -> None:
        super().__init__()
        self.head_dim = head_dim
        self.attention_norm = nn.RMSNorm(width, eps=1e-5)
        self.q = nn.Linear(width, width, bias=False)
        self.k = nn.Linear(width, width, bias=False)
        self.v = nn.Linear(width, width, bias=False)
        self.attention_out = nn.Linear(width, width, bias=False)
        self.mlp_norm = nn.RMSNorm(width, eps=1e-5)
        self.up = nn.Linear(width, mlp_ratio * width, bias=False)
        self.down = nn.Linear(mlp_ratio * width, width, bias=False)

    def forward(self, x_BxTxD: Tensor, angles_TxK: Tensor | None) -> Tensor:
        """One block of the residual stream; `angles_TxK` rotates queries and keys, None leaves them."""
        x_BxTxD = x_BxTxD + self.attention(self.attention_norm(x_BxTxD), angles_TxK)
        h_BxTxF = functional.gelu(self.up(self.mlp_norm(x_BxTxD)))
        y_BxTxD: Tensor = x_BxTxD + self.down(h_BxTxF)
        return y_BxTxD

    def attention(self, x_BxTxD: Tensor, angles_TxK: Tensor | None) -> Tensor:
        """Causal self-attention; position t sees positions 0..t."""
        q_BxHxTxK, k_BxHxTxK, v_BxHxTxK = (self.split_heads(linear(x_BxTxD)) for linear in (self.q, self.k, self.v))
        if angles_TxK is not None:
            q_BxHxTxK, k_BxHxTxK = rotate(q_BxHxTxK, angles_TxK), rotate(k_BxHxTxK, angles_TxK)
        y_BxHxTxK = functional.scaled_dot_product_attention(q_BxHxTxK, k_BxHxTxK, v_BxHxTxK, is_causal=True)
        out_BxTxD: Tensor = self.attention_out(y_BxHxTxK.transpose(1, 2).flatten(2))
        return out_BxTxD

    def split_heads(self, x_BxTxD: Tensor) -> Tensor:
        """B x T x (H K) to B x H x T x K."""
        return x_BxTxD.view(*x_BxTxD.shape[:2], -1, self.head_dim).transpose(1, 2)


class Gpt(nn.Module):
    """Embed bytes, `depth` blocks, a final norm, read out logits at every position.

    Args:
        width: D, a multiple of head_dim.
        depth: number of blocks, at least 1.
        context: largest number of positions T, at least 1; it sets the length of learned positions.
        head_dim: K, even with rotary positions.
        positions: "rotary" turns queries and keys, "learned" adds a table to the embedding.
        mlp_ratio: F / D, a whole number of at least 1.
        vocabulary: V, number of tokens; the default is that of bytes.
    """

    def __init__(
        self,
        width: int,
        depth: int,
        *,
        context: int,
        head_dim: int,
        positions: str = "rotary",
        mlp_ratio: int = 4,
        vocabulary: int = VOCABULARY,
    ) -> None:
        super().__init__()
        self.head_dim = head_dim
        self.embedding = nn.Embedding(vocabulary, width)
        self.positions = nn.Embedding(context, width) if positions == "learned" else None
        self.blocks = nn.ModuleList(Block(width, head_dim=head_dim, mlp_ratio=mlp_ratio) for _ in range(depth))
        self.final_norm = nn.RMSNorm(width, eps=1e-5)
        self.readout = nn.Linear(width, vocabulary, bias=False)

    def forward(self, tokens_BxT: Tensor) -> Tensor:
        """Logits of the next byte at every position.

        Args:
            tokens_BxT: integers in [0, vocabulary).

        Returns:
            logits_BxTxV; position t depends on tokens 0..t only.
        """
        x_BxTxD = self.embedding(tokens_BxT)
        angles_TxK = None
        if self.positions is None:
            angles_TxK = rotary_angles(tokens_BxT.shape[1], self.head_dim, x_BxTxD)
        else:
            x_BxTxD = x_BxTxD + self.positions.weight[: tokens_BxT.shape[1]]
        for block in self.blocks:
            x_BxTxD = block(x_BxTxD, angles_TxK)
        logits_BxTxV: Tensor = self.readout(self.final_norm(x_BxTxD))
        return logits_BxTxV


def rotary_angles(length: int, head_dim: int, like: Tensor) -> Tensor:
    """Angle of every position and coordinate, RoFormer (arXiv 2104.09864) eq. 15; coordinate j pairs with j + K/2.

    Computed on the fly and not kept as a buffer, because a model that is built on the meta device would lose it.

    Args:
        length: number of positions T, at least 1.
        head_dim: K, numbers per head, even.
        like: a tensor of the wanted device and dtype.

    Returns:
        angles_TxK in radians, on the device and in the dtype of `like`.
    """
    frequencies = ROTARY_BASE ** (-torch.arange(0, head_dim, 2, device=like.device, dtype=like.dtype) / head_dim)
    angles = torch.arange(length, device=like.device, dtype=like.dtype)[:, None] * frequencies
    return torch.cat((angles, angles), dim=-1)


def rotate(x_BxHxTxK: Tensor, angles_TxK: Tensor) -> Tensor:
    """Turn each pair (j, j + K/2) by its angle; dot products then depend on differences of positions only."""
    left, right = x_BxHxTxK.chunk(2, dim=-1)
    return x_BxHxTxK * angles_TxK.cos() + torch.cat((-right, left), dim=-1) * angles_TxK.sin()
