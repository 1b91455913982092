"""A model of somebody's own, for evidence of recipes with code."""

import torch
from torch import nn


def make(width: int, depth: int) -> nn.Module:
    """An embedding, hidden layers and a readout; `width` is the hidden size."""
    layers: list[nn.Module] = [nn.Embedding(256, width)]
    for _ in range(depth):
        layers += [nn.Linear(width, width, bias=False), nn.Tanh()]
    return Net(nn.Sequential(*layers), nn.Linear(width, 256, bias=False))


class Net(nn.Module):
    """The layers by name."""

    def __init__(self, body: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.body, self.head = body, head

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Logits of the next token at each position."""
        logits: torch.Tensor = self.head(self.body(tokens))
        return logits
