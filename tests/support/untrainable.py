"""Models and losses that can be planned and not be trained, each for another reason: `function(width, depth)`."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional


class Bytes(nn.Module):
    """Trains: a residual network over bytes."""

    def __init__(self, width: int, depth: int, vocabulary: int = 256) -> None:
        super().__init__()
        self.table = nn.Embedding(vocabulary, width)
        self.layers = nn.ModuleList(nn.Linear(width, width) for _ in range(depth))
        self.head = nn.Linear(width, 256)

    def stream(self, tokens: Tensor) -> Tensor:
        """What the readout reads."""
        x: Tensor = self.table(tokens)
        for layer in self.layers:
            x = x + torch.tanh(layer(x))
        return x

    def forward(self, tokens: Tensor) -> Any:
        """B x T to B x T x 256."""
        return self.head(self.stream(tokens))


class _Pair(Bytes):
    def forward(self, tokens: Tensor) -> Any:
        return super().forward(tokens), None


class _States(Bytes):
    def forward(self, tokens: Tensor) -> Any:
        return {"states": self.stream(tokens), "scores": super().forward(tokens)}


class _Shapes(Bytes):
    def forward(self, tokens: Tensor) -> Any:
        x = self.stream(tokens)
        return self.head(x + torch.zeros(1, 3, 7))


class _Detached(Bytes):
    def forward(self, tokens: Tensor) -> Any:
        return super().forward(tokens).detach()


class _Infinite(Bytes):
    def forward(self, tokens: Tensor) -> Any:
        x = self.stream(tokens)
        return self.head(self.layers[0]((x - x) / (x - x)))


class _Classes(Bytes):
    def __init__(self, width: int, depth: int) -> None:
        super().__init__(width, depth)
        self.head = nn.Linear(width, 20)


class _InPlace(Bytes):
    def forward(self, tokens: Tensor) -> Any:
        x = self.head(self.stream(tokens)).exp()
        y = x * x
        x += 1
        return y


def pair(width: int, depth: int) -> nn.Module:
    """Returns (logits, None), as nanoGPT does."""
    return _Pair(width, depth)


def states(width: int, depth: int) -> nn.Module:
    """Returns a dict."""
    return _States(width, depth)


def shapes(width: int, depth: int) -> nn.Module:
    """Adds what does not broadcast."""
    return _Shapes(width, depth)


def detached(width: int, depth: int) -> nn.Module:
    """Has no gradient."""
    return _Detached(width, depth)


def infinite(width: int, depth: int) -> nn.Module:
    """Divides zero by zero."""
    return _Infinite(width, depth)


def classes(width: int, depth: int) -> nn.Module:
    """Knows 20 of 256 bytes in its readout."""
    return _Classes(width, depth)


def rows(width: int, depth: int) -> nn.Module:
    """Knows 20 of 256 bytes in its table, and has another axis that is long enough."""
    return Bytes(width, depth, vocabulary=20)


def in_place(width: int, depth: int) -> nn.Module:
    """Overwrites what its gradient needs."""
    return _InPlace(width, depth)


def table(width: int, depth: int) -> nn.Module:
    """Takes floats; no file of the user's is on the way."""
    hidden = (layer for _ in range(depth) for layer in (nn.Linear(width, width), nn.ReLU()))
    parts = {"first": nn.Linear(16, width), "layers": nn.Sequential(*hidden), "last": nn.Linear(width, 1)}
    return nn.Sequential(OrderedDict(parts))


def negative(module: nn.Module, batch: Any) -> Tensor:
    """A loss below zero."""
    return -functional.cross_entropy(module(batch[:, :-1]).flatten(0, 1), batch[:, 1:].flatten())


def failing(module: nn.Module, batch: Any) -> Tensor:
    """A loss that asks for a key of a tensor."""
    module(batch[:, :-1])
    loss: Tensor = batch["labels"]
    return loss


def of_logits(logits: Tensor, targets: Tensor) -> Tensor:
    """A loss of another signature than a recipe's."""
    return functional.cross_entropy(logits, targets, label_smoothing=0.1)
