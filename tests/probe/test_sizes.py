"""How large tensors are, and weights that preserve sizes."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from hptransfer.probe.graph import Graph
from hptransfer.probe.sizes import growth_of, output_sizes, preserve_sizes, size_powers, stds
from hptransfer.probe.trace import trace


def mlp(width: int, std: float) -> nn.Sequential:
    """Three layers whose weights are drawn with one std at every width."""
    model = nn.Sequential(nn.Linear(16, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 1))
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=std if parameter.dim() > 1 else 0.0)
    return model


def test_output_sizes_are_root_mean_squares_by_path() -> None:
    """Of what each module returns, and of the model's own answer under the empty path."""
    model, x = mlp(32, 0.1), torch.randn(4, 16)

    sizes = output_sizes(model, x)

    assert set(sizes) == {"", *map(str, range(5))}
    assert sizes["0"] == pytest.approx(model[0](x).pow(2).mean().sqrt().item(), rel=1e-5)
    assert sizes[""] == sizes["4"]
    assert not any(each._forward_hooks for each in model.modules())


def test_weights_are_scaled_so_that_sizes_stay() -> None:
    """A fixed std at 16 times the width makes outputs 4 times as large per layer; preserved, they do not move."""
    torch.manual_seed(0)
    base, wide, x = mlp(64, 0.1), mlp(1024, 0.1), torch.randn(32, 16)
    before, after = (trace(each, (x,), {}, measure=True) for each in (base, wide))
    hidden = before.ops[-1].inputs[1].producer  # what the last product reads
    assert hidden is not None

    preserve_sizes(wide, stds(base), growth_of(Graph(before), Graph(after)))
    preserved = trace(wide, (x,), {}, measure=True)

    index = hidden.outputs[0].index
    assert size_powers(before, after, 16.0)[index] == pytest.approx(0.5, abs=0.1)
    assert size_powers(before, preserved, 16.0)[index] == pytest.approx(0.0, abs=0.1)
    assert stds(wide)["2.weight"] == pytest.approx(0.1 / math.sqrt(16), rel=0.05)
    assert stds(wide)["0.weight"] == pytest.approx(0.1, rel=0.05)
