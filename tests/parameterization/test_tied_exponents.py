"""A weight that is looked up and reads out, in the form of Table 8: sizes at init and after one step, by width."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from hptransfer.models.applied_plan import AppliedPlan
from hptransfer.parameterization.plan import plan
from hptransfer.parameterization.tables import Parameterization
from hptransfer.sizes import Size
from tests.support.reading import read_module

WIDTHS = (128, 256, 512, 1024)
TOLERANCE = 0.2
BASE = Size(WIDTHS[0], 1, 64, 64)
VALUES = {
    "learning_rate": 0.01,
    "weight_decay": 0.0,
    "init_scale": 0.25,
    "eps": 1e-15,
}


class Tied(nn.Module):
    """Looks a token up, one hidden matrix, reads out with the table; `scale` is what stays in forward."""

    def __init__(self, width: int, scale: float = 1.0) -> None:
        super().__init__()
        self.embedding = nn.Embedding(32, width)
        self.hidden = nn.Linear(width, width, bias=False)
        self.readout = nn.Linear(width, 32, bias=False)
        self.readout.weight = self.embedding.weight
        self.scale = scale

    def forward(self, tokens_B: Tensor) -> Tensor:
        """Logits of the next token."""
        logits_BxV: Tensor = self.scale * self.readout(torch.tanh(self.hidden(self.embedding(tokens_B))))
        return logits_BxV


def measured(width: int, seed: int, optimizer: str, *, multiplied: bool = True) -> tuple[float, float, float]:
    """Std of the table and of logits at init, and RMS of the logits' change in one step."""
    size = Size(width, 1, 64, 64)
    parameters = read_module(lambda width, _: Tied(width), BASE, size)
    made = plan(Parameterization("mup"), BASE, size, parameters, VALUES, optimizer=optimizer, gauge="multipliers")
    scale = {row.parameter.name: row.multiplier for row in made.rows}["embedding.weight"]
    model = Tied(width, scale if multiplied else 1.0)
    applied = AppliedPlan.from_plan(made)
    applied.init_(model, seed=seed)
    kind = torch.optim.AdamW if optimizer == "adamw" else torch.optim.SGD
    stepper = kind(applied.param_groups(model))
    tokens_B = torch.arange(32)
    before_BxV = model(tokens_B)
    functional.cross_entropy(before_BxV, (7 * tokens_B + 1) % 32).backward()  # type: ignore[no-untyped-call]
    std = float(model.embedding.weight.detach().std())
    stepper.step()
    change_BxV = (model(tokens_B) - before_BxV).detach()
    return std, float(before_BxV.detach().std()), float(change_BxV.square().mean().sqrt())


def exponents(optimizer: str, *, multiplied: bool = True) -> list[float]:
    """Of the three measured quantities in the width."""
    points = [
        (width, *measured(width, seed, optimizer, multiplied=multiplied))
        for width, seed in itertools.product(WIDTHS, (0, 1, 2))
    ]
    widths, *columns = np.log2(np.array(points)).T
    return [float(np.polyfit(widths, column, 1)[0]) for column in columns]


# Tensor Programs V (arXiv 2203.03466): std constant, logits at init n^-1/2, their change constant.
# mup's MuSharedReadout rescales the shared weight by sqrt(m) instead (microsoft/mup issue 55).
@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_tied_weights_keep_their_sizes(optimizer: str) -> None:
    """The table's std does not grow with the width, and one step moves the logits alike at every width."""
    std, logits, change = exponents(optimizer)

    assert std == pytest.approx(0.0, abs=0.05)
    assert logits == pytest.approx(-0.5, abs=TOLERANCE)
    assert change == pytest.approx(0.0, abs=TOLERANCE)


def test_logits_grow_where_forward_forgets_the_multiplier() -> None:
    """Negative control: the model whose forward was left as it is."""
    _, logits, change = exponents("adamw", multiplied=False)

    assert logits == pytest.approx(0.5, abs=TOLERANCE)
    assert change > 2 * TOLERANCE
