"""Models from which `init --model` makes recipes: a nanoGPT, a tabular MLP, a ResNet, as their users write them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional


@dataclass
class Config:
    """nanoGPT's."""

    block_size: int = 1024
    vocab_size: int = 50304
    n_layer: int = 12
    n_head: int = 12
    n_embd: int = 768


class _Attention(nn.Module):
    def __init__(self, config: Config) -> None:
        super().__init__()
        self.heads = config.n_head
        self.c_attn = nn.Linear(config.n_embd, 3 * config.n_embd)
        self.c_proj = nn.Linear(config.n_embd, config.n_embd)

    def forward(self, x: Tensor) -> Tensor:
        b, t, c = x.shape
        q, k, v = (each.view(b, t, self.heads, -1).transpose(1, 2) for each in self.c_attn(x).split(c, 2))
        mixed = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        projected: Tensor = self.c_proj(mixed.transpose(1, 2).reshape(b, t, c))
        return projected


class _Block(nn.Module):
    def __init__(self, config: Config) -> None:
        super().__init__()
        width = config.n_embd
        self.ln_1, self.ln_2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attn = _Attention(config)
        self.mlp = nn.Sequential()
        self.mlp.add_module("c_fc", nn.Linear(width, 4 * width))
        self.mlp.add_module("gelu", nn.GELU())
        self.mlp.add_module("c_proj", nn.Linear(4 * width, width))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.ln_1(x))
        out: Tensor = x + self.mlp(self.ln_2(x))
        return out


class Gpt(nn.Module):
    """Returns logits of the last position, or where it is given targets, logits and loss."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        parts = {
            "wte": nn.Embedding(config.vocab_size, config.n_embd),
            "wpe": nn.Embedding(config.block_size, config.n_embd),
            "h": nn.ModuleList(_Block(config) for _ in range(config.n_layer)),
            "ln_f": nn.LayerNorm(config.n_embd),
        }
        self.transformer = nn.ModuleDict(parts)
        self.lm_head = nn.Linear(config.n_embd, config.vocab_size, bias=False)
        for name, parameter in self.named_parameters():
            if name.endswith("c_proj.weight"):
                nn.init.normal_(parameter, std=0.02 / math.sqrt(2 * config.n_layer))
            elif parameter.dim() > 1:
                nn.init.normal_(parameter, std=0.02)

    def forward(self, idx: Tensor, targets: Tensor | None = None) -> Any:
        """B x T tokens."""
        assert idx.shape[1] <= self.config.block_size
        x = self.transformer["wte"](idx) + self.transformer["wpe"](torch.arange(idx.shape[1], device=idx.device))
        for block in self.transformer["h"].children():
            x = block(x)
        x = self.transformer["ln_f"](x)
        if targets is None:
            return self.lm_head(x[:, [-1], :]), None
        logits = self.lm_head(x)
        return logits, functional.cross_entropy(logits.flatten(0, 1), targets.flatten())


def nanogpt(n_embd: int = 768, n_layer: int = 12, vocab_size: int = 50304, block_size: int = 1024) -> nn.Module:
    """As a user wraps it, heads of 64."""
    return Gpt(Config(block_size, vocab_size, n_layer, max(1, n_embd // 64), n_embd))


class Table(nn.Module):
    """A tabular MLP; the layers have names, their numbers are those of a list."""

    def __init__(self, columns: int = 16, hidden: int = 1024, n_layers: int = 3, n_outputs: int = 1) -> None:
        super().__init__()
        self.first = nn.Linear(columns, hidden)
        self.layers = nn.ModuleList(nn.Linear(hidden, hidden) for _ in range(n_layers))
        self.last = nn.Linear(hidden, n_outputs)

    def forward(self, x: Tensor) -> Tensor:
        """B x columns to B x outputs."""
        x = self.first(x)
        for layer in self.layers:
            x = layer(functional.relu(x))
        found: Tensor = self.last(functional.relu(x))
        return found


class _Residual(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.BatchNorm2d(channels), nn.BatchNorm2d(channels)
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.conv1(functional.relu(self.norm1(x)))
        out: Tensor = x + self.conv2(functional.relu(self.norm2(hidden)))
        return out


class ResNet(nn.Module):
    """Pre-activation, of one width."""

    def __init__(self, channels: int = 64, blocks: int = 4, num_classes: int = 10) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, channels, 3, padding=1, bias=False)
        self.blocks = nn.ModuleList(_Residual(channels) for _ in range(blocks))
        self.norm = nn.BatchNorm2d(channels)
        self.head = nn.Linear(channels, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """B x 3 x H x W to B x classes."""
        x = self.stem(x)
        for block in self.blocks:
            x = block(x)
        logits: Tensor = self.head(functional.relu(self.norm(x)).mean((2, 3)))
        return logits


def two_widths(stuff: int, lots: int, more: int) -> nn.Module:
    """Two arguments could be the width, and no name says which."""
    layers = nn.ModuleList(nn.Linear(stuff, stuff) for _ in range(more))
    return nn.ModuleDict({"a": nn.Linear(8, stuff), "b": nn.Linear(8, lots), "layers": layers})


class Towers(nn.Module):
    """Users and items: what they have in common is the product of their rows, read out by a layer."""

    def __init__(self, width: int, depth: int) -> None:
        super().__init__()
        self.users, self.items = nn.Embedding(100, width), nn.Embedding(100, width)
        self.score = nn.Linear(width, 1)

    def forward(self, users: Tensor, items: Tensor) -> Tensor:
        """B and B rows to B numbers."""
        found: Tensor = self.score(self.users(users) * self.items(items)).squeeze(-1)
        return found


def towers(width: int, depth: int) -> nn.Module:
    """What a recipe names."""
    return Towers(width, depth)


class Placed(nn.Module):
    """A residual network of tokens, with a table of positions and a start that are raw parameters."""

    def __init__(self, width: int = 64, depth: int = 2, starts: bool = False) -> None:
        super().__init__()
        self.table = nn.Embedding(256, width)
        self.places = nn.Parameter(torch.zeros(64, width))
        self.start = nn.Parameter(torch.zeros(64, width)) if starts else None
        self.layers = nn.ModuleList(nn.Linear(width, width) for _ in range(depth))
        self.head = nn.Linear(width, 256)

    def forward(self, tokens: Tensor) -> Tensor:
        """B x T tokens to B x T x 256 logits."""
        x = self.table(tokens) + self.places[: tokens.shape[1]]
        if self.start is not None:
            x = x + self.start[: tokens.shape[1]]
        for layer in self.layers:
            x = x + layer(functional.relu(x))
        logits: Tensor = self.head(x)
        return logits


def placed_twice(width: int = 64, depth: int = 2) -> nn.Module:
    """Two questions about roles."""
    return Placed(width, depth, starts=True)


def one_layer(hidden: int = 64) -> nn.Module:
    """It takes no depth."""
    return nn.Sequential(nn.Linear(8, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, 1))


def one_depth(width: int = 64, depth: int = 3) -> nn.Module:
    """It takes a depth that changes nothing."""
    return one_layer(width)


class Unannotated(Gpt):
    """The class of its configuration is known from its module alone."""

    def __init__(self, config) -> None:  # type: ignore[no-untyped-def]  # as users write it
        super().__init__(config)


def second(device: str, cfg: Config | None = None) -> nn.Module:
    """Its configuration is not the first argument."""
    return Gpt(cfg or Config()).to(device)


def second_of_two(name: str = "", cfg: Config | None = None) -> nn.Module:
    """Its configuration is not the first argument, and is enough."""
    return Gpt(cfg or Config())
