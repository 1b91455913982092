"""One optimizer step on a tanh MLP, and its spectral norm as the width grows."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from functools import cache

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional

from hptransfer.models.applied_plan import AppliedPlan
from hptransfer.parameterization.gauge import Gauge
from hptransfer.parameterization.plan import Plan, plan
from hptransfer.parameterization.rules import OptimizerFamily, Options
from hptransfer.parameterization.tables import Parameterization
from hptransfer.sizes import Size
from tests.support.gauge_training import OPTIMIZERS, optimizers
from tests.support.reading import read_module

WIDTHS = (64, 128, 256, 512)
SEEDS = (0, 1, 2)
BASE = Size(WIDTHS[0], 1, 64, 64)


# eps far below every gradient: a step then has the size that theory gives it
VALUES = {"learning_rate": 0.01, "weight_decay": 0.0, "init_scale": 1.0, "eps": 1e-15}


#: parameters in the order of the expected exponents below
MATRICES = ("input.weight", "second.weight", "readout.weight")


class Mlp(nn.Module):
    """Two hidden matrices; the input has 16 numbers and there are 8 classes."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.input = nn.Linear(16, width)
        self.first, self.second = nn.Linear(width, width), nn.Linear(width, width)
        self.readout = nn.Linear(width, 8)

    def forward(self, x_Bx16: Tensor) -> Tensor:
        """Logits."""
        h_BxD = torch.tanh(self.first(torch.tanh(self.input(x_Bx16))))
        logits_Bx8: Tensor = self.readout(torch.tanh(self.second(h_BxD)))
        return logits_Bx8


@cache
def parameters(width: int) -> tuple:  # type: ignore[type-arg]  # of Parameter
    """The MLP as the rules see it."""
    return read_module(lambda width, _: Mlp(width), BASE, Size(width, 1, 64, 64))


def planned(
    name: str, family: OptimizerFamily, width: int, gauge: Gauge = "multipliers", options: Options | None = None
) -> Plan:
    """The MLP's plan at a width."""
    return plan(
        Parameterization(name),
        BASE,
        Size(width, 1, 64, 64),
        parameters(width),
        VALUES,
        optimizer=OPTIMIZERS[family],
        gauge=gauge,
        options=options,
    )


def with_gradients(plan_: Plan, seed: int, examples: int = 64) -> tuple[dict[str, Tensor], dict[str, float]]:
    """Parameters of an initialised MLP with the gradients of one batch, and the multipliers in its forward."""
    module = Mlp(plan_.size.width)
    AppliedPlan.from_plan(plan_).init_(module, seed=seed)
    tensors: dict[str, Tensor] = dict(module.named_parameters())
    multipliers = {row.parameter.name: row.multiplier for row in plan_.rows}
    generator = torch.Generator().manual_seed(seed)
    x_Bx16 = torch.randn(examples, 16, generator=generator)
    labels_B = torch.randint(0, 8, (examples,), generator=generator)
    scaled = {name: multipliers[name] * tensor for name, tensor in tensors.items()}
    functional.cross_entropy(functional_call(module, scaled, (x_Bx16,)), labels_B).backward()  # type: ignore[no-untyped-call]
    return tensors, multipliers


def slopes(measure: Callable[[int, int], Mapping[str, float]]) -> dict[str, float]:
    """Exponent of each measured quantity in the width, over all seeds."""
    points = [(width, measure(width, seed)) for width, seed in itertools.product(WIDTHS, SEEDS)]
    widths = np.log2([width for width, _ in points])
    return {
        name: float(np.polyfit(widths, np.log2([found[name] for _, found in points]), 1)[0]) for name in points[0][1]
    }


#: examples in a batch where they are not 64: MuonH's rule needs gradients whose rank grows with the width
EXAMPLES: Mapping[OptimizerFamily, int] = {"orthogonal-sphere": 2048}


def step_exponents(
    name: str,
    family: OptimizerFamily,
    options: Options | None = None,
    rate: Callable[[int], float] = lambda _: 1.0,
    examples: int | None = None,
) -> list[float]:
    """Exponents of ||dW||_2 / sqrt(fan_out/fan_in) after one step, W with its multiplier; `rate` breaks the rule."""

    def measure(width: int, seed: int) -> dict[str, float]:
        of = planned(name, family, width, options=options)
        tensors, multipliers = with_gradients(of, seed, examples or EXAMPLES.get(family, 64))
        before = {part: tensors[part].detach().clone() for part in MATRICES}
        for stepper in optimizers(of, tensors):
            for group in stepper.param_groups:
                group["lr"] *= rate(width)
            stepper.step()
        return {
            part: multipliers[part] * spectral_norm(tensors[part].detach() - before[part], seed) / aspect(before[part])
            for part in MATRICES
        }

    found = slopes(measure)
    return [found[part] for part in MATRICES]


def aspect(weight: Tensor) -> float:
    """sqrt(fan_out/fan_in)."""
    return float((weight.shape[0] / weight.shape[1]) ** 0.5)


def spectral_norm(matrix: Tensor, seed: int) -> float:
    """Largest singular value by power iteration, to a few per cent."""
    vector = torch.randn(matrix.shape[1], generator=torch.Generator().manual_seed(seed))
    for _ in range(12):
        vector = matrix.T @ (matrix @ vector)
        vector /= vector.norm()
    return float((matrix @ vector).norm())


# The spectral condition (arXiv 2310.17813): every exponent is 0. Exceptions: the standard parameterization, whose Adam
# updates have entries of one size (measured elsewhere up to width 2048: Adam +0.997 hidden
# and +1.000 readout, SGD +0.512 and +1.002), and u-muP's
# embedding, whose rate falls as fan_out^-1/2 on purpose.
FLAT = (0.0, 0.0, 0.0)


STEPS: Mapping[tuple[str, OptimizerFamily], tuple[float, float, float]] = {
    ("standard", "adam"): (0.0, 1.0, 1.0),
    ("standard", "sign"): (0.0, 1.0, 1.0),
    ("standard", "sgd"): (-0.5, 0.5, 1.0),
    ("standard", "adafactor"): (0.0, 0.5, 0.5),
    ("standard", "orthogonal"): (0.0, 0.0, 1.0),
    ("standard", "sphere"): (0.0, 0.5, 1.0),
    ("standard", "orthogonal-sphere"): (0.0, 0.0, 1.0),
    ("u-mup", "adam"): (-0.5, 0.0, 0.0),
}
