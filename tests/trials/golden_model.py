"""A model of one's own for golden keys: whoever edits this file changes its code digest, and so those keys."""

from __future__ import annotations

from torch import nn


def build(width: int, depth: int) -> nn.Module:
    """A stack of layers between a table and a readout."""
    layers = [nn.Linear(width, width) for _ in range(depth)]
    return nn.Sequential(nn.Embedding(256, width), nn.Sequential(*layers), nn.Linear(width, 256))
