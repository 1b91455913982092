"""Decoders that users brought: four heads at every width; tables that are tied, with logits that are scaled or not."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


class Seq(nn.Module):
    """Torch's own layers."""

    def __init__(self, width: int, depth: int) -> None:
        super().__init__()
        self.tok, self.pos = nn.Embedding(256, width), nn.Embedding(64, width)
        layers = [
            nn.TransformerEncoderLayer(width, 4, 4 * width, batch_first=True, norm_first=True, dropout=0.0)
            for _ in range(depth)
        ]
        self.blocks = nn.Sequential(*layers)
        self.ln_f, self.lm_head = nn.LayerNorm(width), nn.Linear(width, 256)

    def forward(self, x: Tensor) -> Tensor:
        """B x T to B x T x 256."""
        h = self.tok(x) + self.pos(torch.arange(x.shape[1]))
        logits: Tensor = self.lm_head(self.ln_f(self.blocks(h)))
        return logits


class Tied(Seq):
    """One table embeds and reads out."""

    def __init__(self, width: int, depth: int) -> None:
        super().__init__(width, depth)
        self.lm_head = nn.Linear(width, 256, bias=False)
        self.lm_head.weight = self.tok.weight


class TiedScaled(Tied):
    """Multiplies its logits by base / width."""

    def __init__(self, width: int, depth: int) -> None:
        super().__init__(width, depth)
        self.mult = 32 / width

    def forward(self, x: Tensor) -> Tensor:
        """B x T to B x T x 256."""
        return self.mult * super().forward(x)


class FixedHeads(nn.Module):
    """A fused call."""

    def __init__(self, width: int, depth: int, heads: int = 4) -> None:
        super().__init__()
        self.heads, self.tok, self.layers = heads, nn.Embedding(256, width), nn.ModuleList()
        for _ in range(depth):
            layer = {
                "n1": nn.LayerNorm(width),
                "n2": nn.LayerNorm(width),
                "qkv": nn.Linear(width, 3 * width, bias=False),
                "proj": nn.Linear(width, width, bias=False),
                "fc": nn.Linear(width, 4 * width),
                "fc2": nn.Linear(4 * width, width),
            }
            self.layers.append(nn.ModuleDict(layer))
        self.ln_f, self.lm_head = nn.LayerNorm(width), nn.Linear(width, 256, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """B x T to B x T x 256."""
        h = self.tok(x)
        shape = h.shape
        for layer in self.layers:
            assert isinstance(layer, nn.ModuleDict)
            made = layer["qkv"](layer["n1"](h)).chunk(3, -1)
            q, k, v = (t.view(*shape[:2], self.heads, -1).transpose(1, 2) for t in made)
            read = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
            h = h + layer["proj"](read.transpose(1, 2).reshape(shape))
            h = h + layer["fc2"](functional.gelu(layer["fc"](layer["n2"](h))))
        logits: Tensor = self.lm_head(self.ln_f(h))
        return logits


class Conv(nn.Module):
    """Convolutions over the tokens."""

    def __init__(self, width: int, depth: int) -> None:
        super().__init__()
        self.tok, self.out = nn.Embedding(256, width), nn.Linear(width, 256)
        self.convs = nn.ModuleList(nn.Conv1d(width, width, 3, padding=2) for _ in range(depth))
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(depth))

    def forward(self, x: Tensor) -> Tensor:
        """B x T to B x T x 256."""
        h = self.tok(x)
        for conv, norm in zip(self.convs, self.norms, strict=True):
            h = h + conv(norm(h).transpose(1, 2))[:, :, : x.shape[1]].transpose(1, 2)
        logits: Tensor = self.out(h)
        return logits


class Raw(nn.Module):
    """Experts as raw tensors, experts x inputs x outputs, behind a router."""

    def __init__(self, width: int, depth: int, experts: int = 4) -> None:
        super().__init__()
        self.tok, self.out = nn.Embedding(256, width), nn.Linear(width, 256, bias=False)
        self.blocks = nn.ModuleList()
        for _ in range(depth):
            block = nn.Module()
            block.router, block.norm = nn.Linear(width, experts, bias=False), nn.LayerNorm(width)
            block.up = nn.Parameter(torch.randn(experts, width, 2 * width) * 0.02)
            block.down = nn.Parameter(torch.randn(experts, 2 * width, width) * 0.02)
            self.blocks.append(block)


class Mamba(nn.Module):
    """The parameters of a state-space block; its `forward` skips them."""

    def __init__(self, width: int, depth: int) -> None:
        super().__init__()
        self.tok, self.layers = nn.Embedding(256, width), nn.ModuleList()
        for _ in range(depth):
            layer = nn.Module()
            layer.in_proj = nn.Linear(width, 4 * width, bias=False)
            layer.conv1d = nn.Conv1d(2 * width, 2 * width, 4, groups=2 * width, padding=3)
            layer.A_log, layer.D = nn.Parameter(torch.zeros(2 * width, 16)), nn.Parameter(torch.ones(2 * width))
            layer.x_proj, layer.dt_proj = nn.Linear(2 * width, 33, bias=False), nn.Linear(1, 2 * width)
            layer.out_proj = nn.Linear(2 * width, width, bias=False)
            self.layers.append(layer)
        self.norm_f, self.lm_head = nn.LayerNorm(width), nn.Linear(width, 256, bias=False)


class BinHead(nn.Module):
    """A second head with two outputs."""

    def __init__(self, width: int, depth: int) -> None:
        super().__init__()
        self.tok, self.lm_head, self.cls = nn.Embedding(256, width), nn.Linear(width, 256), nn.Linear(width, 2)
        self.layers = nn.ModuleList(nn.Linear(width, width) for _ in range(depth))
