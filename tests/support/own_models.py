"""Models that a recipe names as `tests.support.own_models:function`."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Blocks(nn.Module):
    """A residual network over embedded tokens, with the names of nobody's family."""

    def __init__(self, channels: int, layers: int, factor: int = 2) -> None:
        super().__init__()
        self.table = nn.Embedding(256, channels)
        self.stack = nn.ModuleList(
            nn.Sequential(
                nn.LayerNorm(channels),
                nn.Linear(channels, factor * channels),
                nn.GELU(),
                nn.Linear(factor * channels, channels),
            )
            for _ in range(layers)
        )
        self.head = nn.Linear(channels, 256)

    def forward(self, tokens: Tensor) -> Tensor:
        """B x T to B x T x 256; every position sees the mean of those before it."""
        x = self.table(tokens)
        x = x.cumsum(1) / torch.arange(1, x.shape[1] + 1)[:, None]
        for block in self.stack:
            x = x + block(x)
        logits: Tensor = self.head(x)
        return logits


def blocks(channels: int, layers: int, factor: int = 2) -> nn.Module:
    """What a recipe names."""
    return Blocks(channels, layers, factor)


def regression(width: int, depth: int) -> nn.Module:
    """A model that does not give logits."""
    return nn.Sequential(nn.Embedding(256, width), nn.Flatten(0), *(nn.ReLU() for _ in range(depth)))


class Mixture(nn.Module):
    """A router and stacked experts, which shapes and module types do not decide."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.router = nn.Linear(width, 4, bias=False)
        self.experts = nn.Parameter(torch.zeros(4, width, width))


def mixtures(width: int, depth: int) -> nn.Module:
    """Layers of mixtures."""
    return nn.Sequential(*(Mixture(width) for _ in range(depth)))


class Peeking(nn.Module):
    """Looks at a number of its input, which no tensor without content has."""

    def __init__(self, width: int, depth: int) -> None:
        super().__init__()
        self.table = nn.Embedding(256, width)
        self.layers = nn.Sequential(*(nn.Linear(width, width) for _ in range(depth)))
        self.head = nn.Linear(width, 256)

    def forward(self, tokens: Tensor) -> Tensor:
        """B x T to B x T x 256, twice as large where the first token is 0."""
        logits: Tensor = self.head(self.layers(self.table(tokens)))
        return 2 * logits if tokens[0, 0].item() == 0 else logits


def peeking(width: int, depth: int) -> nn.Module:
    """What a recipe names."""
    return Peeking(width, depth)
