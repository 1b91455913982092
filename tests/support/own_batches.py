"""Data as a user would write them, outside the package: functions that give batches, and some that should not."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import count
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

_CALLS = count()

Pair = tuple[NDArray[np.float64], NDArray[np.float64]]


def line(seed: int, step: int, batch_size: int, slope: float = 2.0) -> Pair:
    """Points of a line through the origin, y = slope * (x1 + x2)."""
    x_Bx2 = np.random.default_rng((seed, step)).normal(size=(batch_size, 2))
    return x_Bx2, slope * x_Bx2.sum(1, keepdims=True)


def line_evaluation(index: int, batch_size: int, slope: float = 2.0) -> Pair:
    """Other points of the same line."""
    return line(10_000, index, batch_size, slope)


def nested(seed: int, step: int, batch_size: int) -> Mapping[str, Any]:
    """A dict with a tuple of a tensor and an array in it, and a list."""
    generator = torch.Generator().manual_seed(1000 * seed + step)
    image_BxHxW = torch.rand(batch_size, 4, 4, generator=generator)
    return {
        "pair": (image_BxHxW, image_BxHxW.mean((1, 2)).numpy()),
        "more": [np.arange(batch_size, dtype=np.uint16)],
        "labels": torch.arange(batch_size) % 3,
    }


def nested_evaluation(index: int, batch_size: int) -> Mapping[str, Any]:
    """The same, of another seed."""
    return nested(77, index, batch_size)


def ten_rows(index: int, batch_size: int) -> Pair:
    """An evaluation set of ten rows: its last batch has fewer."""
    rows_10x2 = np.arange(20, dtype=np.float64).reshape(10, 2)
    rows = rows_10x2[index * batch_size : (index + 1) * batch_size]
    return rows, rows.sum(1, keepdims=True)


def unseeded(seed: int, step: int, batch_size: int) -> NDArray[np.float64]:
    """Drawn from the system's entropy."""
    return np.random.default_rng().normal(size=(batch_size, 2))


def unseeded_evaluation(index: int, batch_size: int) -> NDArray[np.float64]:
    """Another evaluation set at each call."""
    return unseeded(0, 0, batch_size)


def stateful(seed: int, step: int, batch_size: int) -> Tensor:
    """Goes on by one batch with every call."""
    return torch.full((batch_size,), float(next(_CALLS)))


def short(seed: int, step: int, batch_size: int) -> Tensor:
    """One example less than asked for."""
    return torch.zeros(batch_size - 1)


def uneven(seed: int, step: int, batch_size: int) -> tuple[Tensor, Tensor]:
    """Labels of other examples."""
    return torch.zeros(batch_size, 2), torch.zeros(batch_size + 1)


def words(seed: int, step: int, batch_size: int) -> list[str]:
    """No numbers."""
    return ["word"] * batch_size


def failing(seed: int, step: int, batch_size: int) -> Tensor:
    """What users' code does at night."""
    raise RuntimeError("no such table")


class Regression(nn.Module):
    """From two numbers to one."""

    def __init__(self, width: int, depth: int) -> None:
        super().__init__()
        self.input = nn.Linear(2, width)
        self.hidden = nn.ModuleList(nn.Linear(width, width) for _ in range(depth))
        self.readout = nn.Linear(width, 1)

    def forward(self, x_Bx2: Tensor) -> Tensor:
        """B x 1."""
        h_BxD = self.input(x_Bx2).tanh()
        for layer in self.hidden:
            h_BxD = layer(h_BxD).tanh()
        found: Tensor = self.readout(h_BxD)
        return found


class FromPair(nn.Module):
    """Reads `nested` batches without their labels: three classes."""

    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.hidden = nn.Linear(16, width)
        self.readout = nn.Linear(width + 2, 3)

    def forward(self, pair: tuple[Tensor, Tensor], more: list[Tensor]) -> Tensor:
        """Logits of three classes."""
        hidden_BxD = self.hidden(pair[0].flatten(1)).tanh()
        also_Bx2 = torch.stack([pair[1], more[0].to(hidden_BxD.dtype) / 10], 1)
        logits_Bx3: Tensor = self.readout(torch.cat([hidden_BxD, also_Bx2], 1))
        return logits_Bx3
