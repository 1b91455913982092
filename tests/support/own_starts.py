"""Models that start in ways of their own, as their users write them: `name(width, depth) -> nn.Module`."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

#: what writes the residual stream of these models
WRITERS = (r"blocks\.\d+\.(proj|down)\.(weight|bias)",)


class OwnNorm(nn.Module):
    """RMS norm with the gain 1 + w, under a name that says nothing."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(width))

    def forward(self, x: Tensor) -> Tensor:
        """The same shape."""
        scaled: Tensor = x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6) * (1 + self.weight)
        return scaled


class Block(nn.Module):
    """Attention over four positions' means and an MLP, with details that are switched on one at a time."""

    def __init__(self, width: int, layer_scale: float | None = None, norm: Any = nn.LayerNorm) -> None:
        super().__init__()
        self.n1, self.n2 = norm(width), norm(width)
        self.qkv, self.proj = nn.Linear(width, 3 * width, bias=False), nn.Linear(width, width, bias=False)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.ls = nn.Parameter(torch.full((width,), layer_scale)) if layer_scale else None

    def forward(self, x: Tensor) -> Tensor:
        """B x T x width."""
        q, k, v = self.qkv(self.n1(x)).chunk(3, -1)
        a = self.proj(functional.scaled_dot_product_attention(q, k, v, is_causal=True))
        x = x + (a if self.ls is None else self.ls * a)
        m: Tensor = self.down(functional.gelu(self.up(self.n2(x))))
        return x + (m if self.ls is None else self.ls * m)


class Decoder(nn.Module):
    """Bytes to logits."""

    def __init__(self, width: int, depth: int, **block: Any) -> None:
        super().__init__()
        self.tok = nn.Embedding(256, width)
        nn.init.normal_(self.tok.weight, std=0.02)
        self.blocks = nn.ModuleList(Block(width, **block) for _ in range(depth))
        self.norm, self.head = block.get("norm", nn.LayerNorm)(width), nn.Linear(width, 256, bias=False)

    def forward(self, tokens: Tensor) -> Tensor:
        """B x T to B x T x 256."""
        x = self.tok(tokens)
        for block in self.blocks:
            x = block(x)
        logits: Tensor = self.head(self.norm(x))
        return logits


def plain(width: int, depth: int) -> nn.Module:
    """By torch's own inits."""
    return Decoder(width, depth)


def gain_one_plus_w(width: int, depth: int) -> nn.Module:
    """Gains that start at zero and multiply by one more."""
    return Decoder(width, depth, norm=OwnNorm)


def layer_scale(width: int, depth: int) -> nn.Module:
    """Branches that start almost closed."""
    return Decoder(width, depth, layer_scale=1e-4)


def zero_writers(width: int, depth: int) -> nn.Module:
    """Branches that start closed."""
    model = Decoder(width, depth)
    for name, tensor in model.named_parameters():
        if name.endswith(("proj.weight", "down.weight")):
            nn.init.zeros_(tensor)
    return model


def biased_readout(width: int, depth: int) -> nn.Module:
    """A readout whose bias is the logit of a small prior, as detectors have it."""
    model = Decoder(width, depth)
    model.head = nn.Linear(width, 256)
    nn.init.constant_(model.head.bias, -2.0)
    return model


def lora(width: int, depth: int, rank: int = 4) -> nn.Module:
    """A frozen model with adapters."""
    model = Decoder(width, depth).requires_grad_(False)
    for block in model.blocks:
        block.lora_a, block.lora_b = nn.Linear(width, rank, bias=False), nn.Linear(rank, width, bias=False)
        nn.init.zeros_(block.lora_b.weight)
    return model


def nanogpt(width: int, depth: int) -> nn.Module:
    """NanoGPT's init: everything at 0.02, what writes the stream at 0.02/sqrt(2 depth), biases at zero."""
    model = Decoder(width, depth)
    for module in model.modules():
        if isinstance(module, nn.Linear | nn.Embedding):
            nn.init.normal_(module.weight, std=0.02)
        if isinstance(module, nn.Linear) and module.bias is not None:
            nn.init.zeros_(module.bias)
    for name, tensor in model.named_parameters():
        if name.endswith(("proj.weight", "down.weight")):
            nn.init.normal_(tensor, std=0.02 / math.sqrt(2 * depth))
    return model


def tied(width: int, depth: int) -> nn.Module:
    """NanoGPT's with one tensor for the table and the readout."""
    model = nanogpt(width, depth)
    model.head.weight = model.tok.weight  # type: ignore[union-attr]  # layers of the decoder
    return model


def numbered(width: int, depth: int) -> nn.Module:
    """Layers as attributes, and a readout whose number depends on the depth."""
    model = nn.Module()
    for layer in range(depth):
        setattr(model, f"layer_{layer}", nn.Linear(width, width))
    model.last = nn.Sequential(*(nn.Linear(width, width) for _ in range(depth)), nn.Linear(width, 1))
    model.first = nn.Linear(16, width)
    return model


def by_numpy(width: int, depth: int) -> nn.Module:
    """Hidden weights that numpy draws at std 1/sqrt(width): no operation of torch tells how."""
    model = Decoder(width, depth)
    block: Any
    for block in model.blocks:
        block.qkv.weight = nn.Parameter(
            torch.from_numpy(np.random.normal(size=(3 * width, width)) / width**0.5).float()
        )
    return model


def orthogonal(width: int, depth: int) -> nn.Module:
    """Orthogonal hidden weights."""
    model = Decoder(width, depth)
    block: Any
    for block in model.blocks:
        nn.init.orthogonal_(block.up.weight)
    return model
