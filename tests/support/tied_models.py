"""Decoders whose readout is the table that looks tokens up, for recipes of kind `factory`."""

from __future__ import annotations

import torch
from torch import Tensor, nn

#: width at which the second model's logits are not multiplied
BASE = 16


class Tied(nn.Module):
    """Residual MLP blocks over a window of tokens; the readout shares the table."""

    def __init__(self, width: int, depth: int) -> None:
        super().__init__()
        self.table = nn.Embedding(256, width)
        self.blocks = nn.ModuleList(nn.Linear(width, width) for _ in range(depth))
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, 256, bias=False)
        self.head.weight = self.table.weight

    def forward(self, tokens_BxT: Tensor) -> Tensor:
        """Logits of the next token after each position."""
        h_BxTxD = self.table(tokens_BxT)
        for block in self.blocks:
            h_BxTxD = h_BxTxD + block(torch.tanh(h_BxTxD))
        logits_BxTxV: Tensor = self.read_out(self.norm(h_BxTxD))
        return logits_BxTxV

    def read_out(self, h_BxTxD: Tensor) -> Tensor:
        """Logits of hidden states."""
        logits_BxTxV: Tensor = self.head(h_BxTxD)
        return logits_BxTxV


class Scaled(Tied):
    """The same whose forward multiplies by base/width, as muP is written by hand."""

    def read_out(self, h_BxTxD: Tensor) -> Tensor:
        """Logits of hidden states."""
        return super().read_out(BASE / h_BxTxD.shape[-1] * h_BxTxD)
