"""Every gauge of every table trains alike with multipliers of roles, in float64, under each optimizer family.

Multipliers are powers of two, for which scaling is exact in floating point; so the expected difference is 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import get_args

import pytest
import torch
from torch.func import functional_call
from torch.nn import functional

from hptransfer.models.applied_plan import AppliedPlan
from hptransfer.parameterization.gauge import GAUGES, Gauge
from hptransfer.parameterization.plan import Plan, plan
from hptransfer.parameterization.rules import OptimizerFamily, Quantity
from hptransfer.parameterization.tables import TABLES, Parameterization
from hptransfer.sizes import Size
from tests.support.gauge_training import OPTIMIZERS, Residual, optimizers
from tests.support.reading import read_module

STEPS = 8
BASE = Size(4, 1, 16, 800)
TARGET = Size(16, 4, 16, 800)  # width and depth multipliers 4
WRITERS = (r"blocks\.\d+\.down\.(weight|bias)",)
# large enough for eps and decay to matter in every step
VALUES = {"learning_rate": 0.02, "weight_decay": 0.5, "init_scale": 1.0, "eps": 0.01}
#: multipliers of roles, of which the gauges that keep nothing in forward must absorb the first
TUNED = {"output_multiplier": 4.0, "hidden_learning_rate": 2.0, "readout_init": 0.5}


def losses(planned: Plan) -> list[float]:
    """Training losses of the residual network whose every parameter acts as its multiplier times itself."""
    module = Residual(TARGET.width, TARGET.depth).double()
    AppliedPlan.from_plan(planned).init_(module, seed=0)
    tensors = dict(module.named_parameters())
    multipliers = {row.parameter.name: row.multiplier for row in planned.rows}
    steppers = optimizers(planned, tensors)
    generator = torch.Generator().manual_seed(0)
    seen = []
    for _ in range(STEPS):
        x_Bx8 = torch.randn(16, 8, generator=generator, dtype=torch.float64)
        scaled = {name: multipliers[name] * tensor for name, tensor in tensors.items()}
        loss = functional.cross_entropy(functional_call(module, scaled, (x_Bx8,)), x_Bx8[:, :5].argmax(-1))
        module.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        for stepper in steppers:
            stepper.step()
        seen.append(loss.item())
    return seen


def residual_plan(key: tuple[str, OptimizerFamily], gauge: Gauge) -> Plan:
    """The plan of the residual network at the target."""
    parameters = read_module(Residual, BASE, TARGET, residual_writers=WRITERS)
    if key[0] == "standard":  # it has no rule for depth, which is then the base's
        parameters = tuple(replace(parameter, in_block=False) for parameter in parameters)
    values = VALUES | TUNED
    return plan(Parameterization(key[0]), BASE, TARGET, parameters, values, optimizer=OPTIMIZERS[key[1]], gauge=gauge)


def test_every_gauge_says_where_its_multipliers_live() -> None:
    """The type's names are the mapping's."""
    assert tuple(GAUGES) == get_args(Gauge)


@pytest.mark.parametrize("key", TABLES, ids="-".join)
def test_all_gauges_train_alike(key: tuple[str, OptimizerFamily]) -> None:
    """Whatever lies in forward, init or optimizer, no loss changes by a bit; u-muP's 16^-1/2 and 8^-1/2 by rounding."""
    expected = losses(residual_plan(key, "plain"))

    assert max(expected) - min(expected) > 1e-3  # it moved: losses of a frozen model would prove nothing
    for gauge in GAUGES:
        found = losses(residual_plan(key, gauge))
        if TABLES[key].absolute:
            assert found == pytest.approx(expected, rel=1e-9)
        else:
            assert found == expected, gauge


QUANTITIES: Mapping[OptimizerFamily, tuple[Quantity, ...]] = {
    "adam": (Quantity.INIT_STD, Quantity.LEARNING_RATE, Quantity.WEIGHT_DECAY, Quantity.EPS),
    "sign": (Quantity.INIT_STD, Quantity.LEARNING_RATE, Quantity.WEIGHT_DECAY),
    "sgd": (Quantity.INIT_STD, Quantity.LEARNING_RATE, Quantity.WEIGHT_DECAY),
    "orthogonal": (Quantity.INIT_STD, Quantity.LEARNING_RATE, Quantity.WEIGHT_DECAY),
    "adafactor": (Quantity.INIT_STD,),
    "sphere": (Quantity.INIT_STD, Quantity.EPS),
    "orthogonal-sphere": (Quantity.INIT_STD,),
}


@pytest.mark.parametrize(
    ("family", "quantity"), [(family, quantity) for family, known in QUANTITIES.items() for quantity in known]
)
def test_leaving_a_quantity_behind_is_seen(family: OptimizerFamily, quantity: Quantity) -> None:
    """Negative control: a gauge that forgets one quantity trains otherwise."""
    right, printed = (residual_plan(("mup", family), gauge) for gauge in ("unit", "multipliers"))
    kept = quantity.value
    wrong = [replace(row, **{kept: getattr(other, kept)}) for row, other in zip(right.rows, printed.rows, strict=True)]

    found, expected = losses(replace(right, rows=wrong)), losses(right)

    assert max(abs(a / b - 1) for a, b in zip(found, expected, strict=True)) > 1e-4
