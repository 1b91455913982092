"""Gauge: a plain model and the same model with multipliers in forward train alike, loss by loss, in float64.

Multipliers are powers of two, for which scaling is exact in floating point; so the expected difference is 0.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from hptransfer.errors import UsageError
from hptransfer.models.build import build_model
from hptransfer.parameterization.gauge import Gauge, gauge_named
from hptransfer.parameterization.plan import Plan, plan
from hptransfer.parameterization.tables import Parameterization
from hptransfer.recipe.model_sections import GptModel
from hptransfer.sizes import Size
from tests.support.gauge_training import BASE, HYPERPARAMETERS, STEPS, TARGET, WRITERS, Residual, losses, teacher
from tests.support.reading import parameters_of, read_module

# (parameterization, readout multiplier 1/m_N, branch multiplier m_L^-alpha), from the tables with m_N = m_L = 4
CASES = {
    "mup": (Parameterization("mup"), 0.25, 1.0),
    "completep-1": (Parameterization("completep", 1.0), 0.25, 0.25),
    "completep-half": (Parameterization("completep", 0.5), 0.25, 0.5),
}


def residual_plan(name: str, optimizer: str, gauge: Gauge) -> Plan:
    """The plan of the residual network at the target."""
    parameters = read_module(Residual, BASE, TARGET, residual_writers=WRITERS)
    values = HYPERPARAMETERS[optimizer]
    return plan(CASES[name][0], BASE, TARGET, parameters, values, optimizer=optimizer, gauge=gauge)


@pytest.mark.parametrize("optimizer", HYPERPARAMETERS)
@pytest.mark.parametrize("name", CASES)
def test_residual_network_trains_alike(name: str, optimizer: str) -> None:
    """With biases, norms, weight decay and eps, absorbing the multipliers changes no loss by a bit."""
    _, readout, branch = CASES[name]
    plain = losses(Residual(32, 8), residual_plan(name, optimizer, "plain"), *teacher())
    explicit_model = Residual(32, 8, readout=readout, branch=branch)
    explicit = losses(explicit_model, residual_plan(name, optimizer, "multipliers"), *teacher())

    assert plain == explicit
    assert explicit[-1] < 0.8 * explicit[0]  # it learned: identical losses of a frozen model would prove nothing


def with_multipliers(model: nn.Module, planned: Plan) -> nn.Module:
    """The built-in decoder with the plan's multipliers on the outputs of its matrices, from outside."""
    multipliers = {row.parameter.name: row.multiplier for row in planned.rows}
    for name, module in model.named_modules():
        multiplier = multipliers.get(f"{name}.weight", 1.0)
        if multiplier != 1.0:
            module.register_forward_hook(lambda _m, _i, output, multiplier=multiplier: multiplier * output)
    return model


@pytest.mark.parametrize("optimizer", HYPERPARAMETERS)
@pytest.mark.parametrize("name", CASES)
def test_decoder_trains_alike(name: str, optimizer: str) -> None:
    """The built-in decoder, unmodified, trains as one whose readout and branches are multiplied in forward."""
    model = GptModel(kind="gpt", context=8, head_dim=4)
    base, target = Size(4, 1, 4, 800), Size(16, 4, 4, 800)
    parameters = parameters_of(model, base, target)
    random = np.random.default_rng(0)
    tokens = torch.from_numpy((random.integers(0, 8, (STEPS, 4, 1)) + 2 * np.arange(9)) % 256)
    seen = {}
    for gauge in ("plain", "multipliers"):
        planned = plan(
            CASES[name][0], base, target, parameters, HYPERPARAMETERS[optimizer], optimizer=optimizer, gauge=gauge
        )
        module = with_multipliers(build_model(model, 16, 4), planned)
        seen[gauge] = losses(module, planned, tokens[..., :-1], tokens[..., 1:])

    assert seen["plain"] == seen["multipliers"]
    assert seen["plain"][-1] < 0.8 * seen["plain"][0]


@pytest.mark.parametrize("kept", ["eps", "weight_decay", "learning_rate", "init_std"])
def test_leaving_one_quantity_behind_is_seen(kept: str) -> None:
    """Negative control: absorbing all but one quantity gives other losses."""
    whole = residual_plan("completep-1", "adamw", "plain")
    explicit = residual_plan("completep-1", "adamw", "multipliers")
    rows = [replace(row, **{kept: getattr(other, kept)}) for row, other in zip(whole.rows, explicit.rows, strict=True)]

    right = losses(Residual(32, 8), whole, *teacher())
    wrong = losses(Residual(32, 8), replace(whole, rows=rows), *teacher())

    assert max(abs(a / b - 1) for a, b in zip(right, wrong, strict=True)) > 1e-4


def test_plain_gauge_leaves_nothing_in_forward() -> None:
    """Every multiplier of a plain plan is 1, and explicit ones are the published numbers."""
    plain, explicit = (residual_plan("completep-1", "adamw", gauge) for gauge in ("plain", "multipliers"))

    assert {row.multiplier for row in plain.rows} == {1.0}
    assert {row.parameter.name: row.multiplier for row in explicit.rows if row.multiplier != 1} == {
        "readout.weight": 0.25,
        **{f"blocks.{layer}.down.{part}": 0.25 for layer in range(8) for part in ("weight", "bias")},
    }


def test_factors_that_are_no_powers_of_two_agree_to_rounding() -> None:
    """With m_N = 3 and m_L = 3/2 losses agree to 1e-10, not bit by bit."""
    base, target = Size(8, 2, 16, 800), Size(24, 3, 16, 800)
    parameters = read_module(Residual, base, target, residual_writers=WRITERS)
    seen = []
    for gauge, model in (
        ("plain", Residual(24, 3)),
        ("multipliers", Residual(24, 3, readout=1 / 3, branch=math.sqrt(2 / 3))),
    ):
        planned = plan(
            Parameterization("completep", 0.5),
            base,
            target,
            parameters,
            HYPERPARAMETERS["adamw"],
            optimizer="adamw",
            gauge="plain" if gauge == "plain" else "multipliers",
        )
        seen.append(losses(model, planned, *teacher()))

    assert seen[0] == pytest.approx(seen[1], rel=1e-10)


def test_names_of_before_are_read() -> None:
    """`table8` is `multipliers`, in a plan as well; other names are refused with those that exist."""
    assert gauge_named("table8") == "multipliers"
    with pytest.raises(UsageError, match="plain, multipliers, unit"):
        gauge_named("table9")
