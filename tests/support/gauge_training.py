"""A small residual network and one optimizer per family, shared by tests that train."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from hptransfer.models.applied_plan import AppliedPlan
from hptransfer.parameterization.plan import Plan, PlannedParameter
from hptransfer.parameterization.rules import OptimizerFamily
from hptransfer.sizes import Size
from hptransfer.training.optim import AdamH, Lion, MuonH

OPTIMIZERS: Mapping[OptimizerFamily, str] = {
    "adam": "adamw",
    "sign": "lion",
    "sgd": "sgd",
    "orthogonal": "muon",
    "adafactor": "adafactor",
    "sphere": "adamh",
    "orthogonal-sphere": "muonh",
}


class Block(nn.Module):
    """A pre-norm MLP block with biases."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm, self.up, self.down = nn.LayerNorm(width), nn.Linear(width, 2 * width), nn.Linear(2 * width, width)

    def forward(self, x_BxD: Tensor) -> Tensor:
        """What the block adds to the stream."""
        out_BxD: Tensor = self.down(functional.gelu(self.up(self.norm(x_BxD))))
        return out_BxD


class Residual(nn.Module):
    """A residual network; a plain model has both multipliers at 1."""

    def __init__(self, width: int, depth: int, *, readout: float = 1.0, branch: float = 1.0) -> None:
        super().__init__()
        self.input = nn.Linear(8, width)
        self.blocks = nn.ModuleList(Block(width) for _ in range(depth))
        self.norm, self.readout = nn.LayerNorm(width), nn.Linear(width, 5)
        self.readout_multiplier, self.branch_multiplier = readout, branch

    def forward(self, x_Bx8: Tensor) -> Tensor:
        """Logits of five classes."""
        h_BxD = self.input(x_Bx8)
        for block in self.blocks:
            h_BxD = h_BxD + self.branch_multiplier * block(h_BxD)
        logits_Bx5: Tensor = self.readout(self.readout_multiplier * self.norm(h_BxD))
        return logits_Bx5


def groups(rows: Iterable[PlannedParameter], tensors: Mapping[str, Tensor]) -> list[dict[str, Any]]:
    """One parameter group per row."""
    return [
        {
            "params": [tensors[row.parameter.name]],
            "lr": row.learning_rate,
            "weight_decay": row.weight_decay,
            "optimizer": row.optimizer,
            **({} if row.eps is None else {"eps": row.eps}),
        }
        for row in rows
    ]


def optimizers(planned: Plan, tensors: Mapping[str, Tensor]) -> list[torch.optim.Optimizer]:
    """The unmodified optimizers of torch, and our own where it has none."""
    made: list[torch.optim.Optimizer] = []
    for name in dict.fromkeys(str(row.optimizer) for row in planned.rows):
        of = groups([row for row in planned.rows if row.optimizer == name], tensors)
        if name == "adamw":
            made.append(torch.optim.AdamW(of, betas=(0.9, 0.95)))
        elif name == "sgd":
            made.append(torch.optim.SGD(of, momentum=0.9))
        elif name == "muon":
            made.append(torch.optim.Muon(of, adjust_lr_fn=planned.options.muon_scale))
        elif name == "adafactor":
            made.append(torch.optim.Adafactor(of, eps=(1e-30, 1e-9)))
        elif name == "adamh":
            made.append(AdamH(of, betas=(0.9, 0.95)))
        elif name == "muonh":
            made.append(MuonH(of))
        else:
            made.append(Lion(of))
    return made


STEPS = 50
BASE = Size(8, 2, 16, 800)
TARGET = Size(32, 8, 16, 800)  # width and depth multipliers 4
WRITERS = (r"blocks\.\d+\.down\.(weight|bias)",)


# large enough for eps and decay to matter in every step
HYPERPARAMETERS = {
    "adamw": {"learning_rate": 0.02, "weight_decay": 0.5, "init_scale": 1.0, "eps": 0.01},
    "sgd": {"learning_rate": 0.05, "weight_decay": 0.1, "init_scale": 1.0},
}


def losses(module: nn.Module, planned: Plan, inputs: Tensor, targets: Tensor) -> list[float]:
    """Training losses of fixed batches, from the same draws for every plan."""
    module.double()
    applied = AppliedPlan.from_plan(planned)
    applied.init_(module, seed=0)
    optimizer: torch.optim.Optimizer
    if planned.optimizer == "adamw":
        optimizer = torch.optim.AdamW(applied.param_groups(module), betas=(0.9, 0.95))
    else:
        optimizer = torch.optim.SGD(applied.param_groups(module), momentum=0.9)
    seen = []
    for input_, target in zip(inputs, targets, strict=True):
        loss = functional.cross_entropy(module(input_).flatten(0, -2), target.flatten())
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        optimizer.step()
        seen.append(loss.item())
    return seen


def teacher() -> tuple[Tensor, Tensor]:
    """Fixed batches: five classes decided by a random linear map of eight numbers."""
    random = np.random.default_rng(0)
    inputs = random.standard_normal((STEPS, 16, 8))
    labels = (inputs @ random.standard_normal((8, 5))).argmax(-1)
    return torch.from_numpy(inputs), torch.from_numpy(labels)
