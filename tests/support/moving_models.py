"""Models in which a size moves with the width by itself, as their users would write them."""

# ruff: noqa: D102  -- classes say what they are
from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

VOCABULARY = 64


class _Stack(nn.Module):
    def __init__(self, width: int, depth: int, read: int | None = None) -> None:
        super().__init__()
        self.tok, self.head = nn.Embedding(VOCABULARY, width), nn.Linear(read or width, VOCABULARY)
        self.layers = nn.ModuleList(nn.Linear(width, width) for _ in range(depth))

    def features(self, tokens: Tensor) -> Tensor:
        h: Tensor = self.tok(tokens)
        for layer in self.layers:
            h = torch.relu(layer(h))
        return h


class SumOverChannels(_Stack):
    """A sum over all channels is added to each."""

    def forward(self, tokens: Tensor) -> Tensor:
        h: Tensor = self.tok(tokens)
        for layer in self.layers:
            h = h + torch.relu(layer(h)).sum(dim=-1, keepdim=True)
        answer: Tensor = self.head(h)
        return answer


class DotsBesideFeatures(_Stack):
    """A dot product of two embeddings beside the features, as recommenders have it."""

    def __init__(self, width: int, depth: int) -> None:
        super().__init__(width, depth, read=width + 1)

    def forward(self, tokens: Tensor) -> Tensor:
        h = self.features(tokens)
        answer: Tensor = self.head(torch.cat([h, (h * h.roll(1, 1)).sum(-1, keepdim=True)], -1))
        return answer


class DotsAlone(_Stack):
    """All dot products of features, then a layer."""

    def __init__(self, width: int, depth: int) -> None:
        super().__init__(width, depth)
        self.mix = nn.Linear(16, width)

    def forward(self, tokens: Tensor) -> Tensor:
        h = self.features(tokens)
        answer: Tensor = self.head(torch.relu(self.mix((h @ h.transpose(1, 2))[..., :16])))
        return answer


class TimesNorm(_Stack):
    """Logits times the length of what is read."""

    def forward(self, tokens: Tensor) -> Tensor:
        h = self.features(tokens)
        answer: Tensor = self.head(h) * h.norm(dim=-1, keepdim=True)
        return answer


class Experts(nn.Module):
    """As many experts as an eighth of the width, put together in one of several ways."""

    def __init__(self, width: int, depth: int, how: str) -> None:
        super().__init__()
        self.how, self.count = how, width // 8
        self.tok, self.head = nn.Embedding(VOCABULARY, width), nn.Linear(width, VOCABULARY)
        self.up, self.down = (
            nn.ParameterList(nn.Parameter(torch.randn(self.count, *shape) / shape[0] ** 0.5) for _ in range(depth))
            for shape in ((width, 16), (16, width))
        )
        self.router = nn.ModuleList(nn.Linear(width, self.count) for _ in range(depth))

    def forward(self, tokens: Tensor) -> Tensor:
        h: Tensor = self.tok(tokens)
        for up, down, router in zip(self.up, self.down, self.router, strict=True):
            z = functional.layer_norm(h, h.shape[-1:])
            given = torch.stack([torch.relu(z @ up[each]) @ down[each] for each in range(self.count)], -2)
            scores = router(z)[..., None]
            if self.how == "sum":
                h = h + given.sum(-2)
            elif self.how == "sigmoid":
                h = h + (torch.sigmoid(scores) * given).sum(-2)
            elif self.how == "softmax":
                h = h + (torch.softmax(scores, -2) * given).sum(-2)
            elif self.how == "mean":
                h = h + given.mean(-2)
            else:
                h = h + given.sum(-2) / self.count**0.5
        answer: Tensor = self.head(h)
        return answer


def experts(how: str) -> Callable[[int, int], nn.Module]:
    """A factory of these.

    Args:
        how: "sum", "sigmoid", "softmax", "mean", or "root" for a sum over the root of their number.
    """

    def build(width: int, depth: int) -> nn.Module:
        return Experts(width, depth, how)

    return build
