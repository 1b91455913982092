"""One optimizer step on a residual network, and how far it moves the stream as the depth grows."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional

from hptransfer.models.applied_plan import AppliedPlan
from hptransfer.parameterization.plan import Plan, plan
from hptransfer.parameterization.rules import OptimizerFamily
from hptransfer.parameterization.tables import TABLES, Parameterization
from hptransfer.sizes import Size
from tests.support.gauge_training import OPTIMIZERS, optimizers
from tests.support.reading import read_module

DEPTHS = (8, 16, 32, 64)
SEEDS = (0, 1)
WIDTH = 32
WRITERS = (r"blocks\.\d+\.down\.weight",)
VALUES = {"learning_rate": 0.002, "weight_decay": 0.0, "init_scale": 1.0, "eps": 1e-15}


class Block(nn.Module):
    """A pre-norm MLP block without biases or gains."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.up, self.down = nn.Linear(width, width, bias=False), nn.Linear(width, width, bias=False)

    def forward(self, h_BxD: Tensor) -> Tensor:
        """What the block adds."""
        out_BxD: Tensor = 0.25 * self.down(torch.relu(self.up(functional.layer_norm(h_BxD, h_BxD.shape[1:]))))
        return out_BxD


class Deep(nn.Module):
    """Input, blocks, readout of the normed stream."""

    def __init__(self, width: int, depth: int) -> None:
        super().__init__()
        self.input = nn.Linear(8, width, bias=False)
        self.blocks = nn.ModuleList(Block(width) for _ in range(depth))
        self.readout = nn.Linear(width, 5, bias=False)

    def forward(self, x_Bx8: Tensor) -> tuple[Tensor, Tensor]:
        """Logits and the final stream."""
        h_BxD = self.input(x_Bx8)
        for block in self.blocks:
            h_BxD = h_BxD + block(h_BxD)
        return self.readout(functional.layer_norm(h_BxD, h_BxD.shape[1:])), h_BxD


def planned(name: str, family: OptimizerFamily, depth: int, alpha: float | None) -> Plan:
    """The plan of a deeper network."""
    base, size = Size(WIDTH, DEPTHS[0], 64, 64), Size(WIDTH, depth, 64, 64)
    parameters = read_module(Deep, base, size, residual_writers=WRITERS)
    spec = Parameterization(name, alpha)
    return plan(spec, base, size, parameters, VALUES, optimizer=OPTIMIZERS[family], gauge="multipliers")


def relative_change(plan_: Plan, seed: int, rate: float) -> float:
    """RMS of the final stream's change in one step over its RMS at init; the step moves the blocks only."""
    module = Deep(plan_.size.width, plan_.size.depth).double()
    AppliedPlan.from_plan(plan_).init_(module, seed=seed)
    tensors = dict(module.named_parameters())
    multipliers = {row.parameter.name: row.multiplier for row in plan_.rows}
    generator = torch.Generator().manual_seed(seed)
    x_Bx8 = torch.randn(64, 8, generator=generator, dtype=torch.float64)
    labels_B = torch.randint(0, 5, (64,), generator=generator)

    def forward() -> tuple[Tensor, Tensor]:
        scaled = {name: multipliers[name] * tensor for name, tensor in tensors.items()}
        found: tuple[Tensor, Tensor] = functional_call(module, scaled, (x_Bx8,))
        return found

    logits_Bx5, before_BxD = forward()
    functional.cross_entropy(logits_Bx5, labels_B).backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
    blocks = {id(tensor) for name, tensor in tensors.items() if name.startswith("blocks")}
    for stepper in optimizers(plan_, tensors):
        for group in stepper.param_groups:
            group["lr"] *= rate if {id(tensor) for tensor in group["params"]} <= blocks else 0.0
        stepper.step()
    with torch.no_grad():
        change_BxD = forward()[1] - before_BxD
    return float(change_BxD.norm() / before_BxD.detach().norm())


def exponent(
    name: str, family: OptimizerFamily, alpha: float | None = None, rate: Callable[[float], float] = lambda _: 1.0
) -> float:
    """Exponent of the relative change in the depth; `rate` breaks the rule by a power of the depth multiplier."""
    points = [
        (depth, relative_change(planned(name, family, depth, alpha), seed, rate(depth / DEPTHS[0])))
        for depth, seed in itertools.product(DEPTHS, SEEDS)
    ]
    depths, changes = np.log2(np.array(points)).T
    return float(np.polyfit(depths, changes, 1)[0])


WITH_DEPTH = [
    (name, family, alpha)
    for name, family in TABLES
    if TABLES[name, family].residual is not None
    for alpha in ([None] if TABLES[name, family].alpha is None else [0.5, 1.0])
]
