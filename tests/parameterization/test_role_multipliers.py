"""Multipliers of roles: what they cover, that they are exact, that they transfer, and what they refuse."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional

from hptransfer.errors import UsageError
from hptransfer.hyperparameters import MULTIPLIERS
from hptransfer.models.applied_plan import AppliedPlan
from hptransfer.models.build import build_model
from hptransfer.parameterization.gauge import Gauge
from hptransfer.parameterization.plan import Plan, plan
from hptransfer.parameterization.role_multipliers import RATE_RATIO
from hptransfer.parameterization.roles import Role
from hptransfer.parameterization.rules import Options
from hptransfer.parameterization.tables import Parameterization
from hptransfer.recipe.model_sections import GptModel, MlpModel
from hptransfer.sizes import Size
from tests.support.gauge_training import BASE, HYPERPARAMETERS, STEPS, TARGET, WRITERS, Residual, losses, teacher
from tests.support.parameter_shapes import UNIT, growing, parameter
from tests.support.reading import parameters_of, read_module

MUP = Parameterization("mup")
LEARNING_RATES = {
    "embedding_learning_rate": 2.0,
    "input_learning_rate": 4.0,
    "hidden_learning_rate": 8.0,
    "readout_learning_rate": 16.0,
}
INITS = {"embedding_init": 2.0, "input_init": 4.0, "hidden_init": 8.0, "readout_init": 16.0}


def planned(
    model: MlpModel | GptModel,
    multipliers: Mapping[str, float],
    **options: Any,
) -> Plan:
    """The plan of a built-in model under muP from width 8 and depth 2, with unit base values."""
    base, size = Size(8, 2, 4, 800), Size(16, 2, 4, 800)
    parameters = parameters_of(model, base, size)
    values = {**UNIT, **multipliers}
    return plan(MUP, base, size, parameters, values, optimizer="adamw", options=Options(**options))


MLP = MlpModel(kind="mlp", context=4, embedding=4)
GPT = GptModel(kind="gpt", context=8, head_dim=4)


def ratios(quantity: str, multipliers: Mapping[str, float], model: MlpModel | GptModel = MLP) -> dict[str, float]:
    """What the multipliers change of one quantity, by parameter; those left alone are left out."""
    with_, without = planned(model, multipliers), planned(model, {})
    pairs = {
        row.parameter.name: (getattr(row, quantity), getattr(other, quantity))
        for row, other in zip(with_.rows, without.rows, strict=True)
    }
    return {name: new / old for name, (new, old) in pairs.items() if new != old}


def test_learning_rates_cover_every_parameter_once() -> None:
    """Tables, input layers, readouts with their bias; hidden weights, all gains and other biases go together."""
    assert ratios("learning_rate", LEARNING_RATES) == {
        "embedding.weight": 2.0,
        "input.weight": 4.0,
        "input.bias": 8.0,
        "input_norm.weight": 8.0,
        "input_norm.bias": 8.0,
        "hidden.0.weight": 8.0,
        "hidden.0.bias": 8.0,
        "hidden_norms.0.weight": 8.0,
        "hidden_norms.0.bias": 8.0,
        "readout.weight": 16.0,
        "readout.bias": 16.0,
    }


def test_init_multipliers_cover_random_inits() -> None:
    """Gains and biases have constant inits, which nothing scales."""
    assert ratios("init_std", INITS) == {
        "embedding.weight": 2.0,
        "input.weight": 4.0,
        "hidden.0.weight": 8.0,
        "readout.weight": 16.0,
    }


def test_multipliers_change_nothing_else() -> None:
    """Learning rates leave decay, eps and init alone, as a hand-written group with another `lr` does; so do inits."""
    for quantity in ("weight_decay", "eps", "multiplier"):
        assert ratios(quantity, LEARNING_RATES | INITS) == {}
    assert ratios("init_std", LEARNING_RATES) == {}
    assert ratios("learning_rate", INITS) == {}


def test_an_independent_decay_stays_the_decay_per_step() -> None:
    """Where the base value is the decay per step of every parameter, a larger rate needs a smaller coefficient."""
    rows = planned(MLP, LEARNING_RATES, weight_decay="independent").rows

    assert {row.learning_rate * row.weight_decay for row in rows if row.weight_decay} == {1.0}


def test_routers_go_with_hidden_weights_and_tied_readouts_with_embeddings() -> None:
    """What no built-in model has."""
    parameters = [growing(Role.ROUTER), growing(Role.TIED_EMBEDDING)]
    rows = plan(
        MUP, BASE, BASE, parameters, UNIT | {"hidden_learning_rate": 8.0, "embedding_learning_rate": 2.0},
        optimizer="adamw", gauge="multipliers",
    ).rows  # fmt: skip

    assert [row.learning_rate for row in rows] == [8.0, 2.0]


def trained(module: nn.Module, groups: list[dict[str, Any]], optimizer: str) -> list[float]:
    """Losses of the fixed batches of `test_gauge`, from a module that is initialised already."""
    inputs, labels = teacher()
    adam = optimizer == "adamw"
    made = torch.optim.AdamW(groups, betas=(0.9, 0.95)) if adam else torch.optim.SGD(groups, momentum=0.9)
    seen = []
    for x, y in zip(inputs, labels, strict=True):
        loss = functional.cross_entropy(module(x), y)
        made.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        made.step()
        seen.append(loss.item())
    return seen


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_learning_rates_and_inits_train_as_hand_written_groups(optimizer: str) -> None:
    """In float64 the same losses, bit for bit, as scaling weights and groups by hand on top of the plan without."""
    parameters = read_module(Residual, BASE, TARGET, residual_writers=WRITERS)
    values = HYPERPARAMETERS[optimizer]
    multipliers = {"input_learning_rate": 4.0, "hidden_learning_rate": 0.5, "readout_learning_rate": 2.0}
    multipliers |= {"input_init": 0.5, "hidden_init": 2.0, "readout_init": 4.0}
    tuned = plan(MUP, BASE, TARGET, parameters, values | multipliers, optimizer=optimizer)
    without = plan(MUP, BASE, TARGET, parameters, values, optimizer=optimizer)

    module = Residual(TARGET.width, TARGET.depth).double()
    applied = AppliedPlan.from_plan(without)
    applied.init_(module, seed=0)
    groups = []
    for name, tensor, row in applied.matched(module):
        part = name.partition(".")[0] if name in ("input.weight", "readout.weight", "readout.bias") else "hidden"
        if tensor.dim() == 2:
            with torch.no_grad():
                tensor.mul_(multipliers[f"{part}_init"])
        rate = multipliers[f"{part}_learning_rate"] * row.learning_rate
        groups.append({"params": [tensor], "lr": rate, "weight_decay": row.weight_decay})
        if row.eps is not None:
            groups[-1]["eps"] = row.eps

    seen = losses(Residual(TARGET.width, TARGET.depth), tuned, *teacher())
    assert seen == trained(module, groups, optimizer)
    assert seen != losses(Residual(TARGET.width, TARGET.depth), without, *teacher())


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_the_output_multiplier_is_absorbed_exactly(optimizer: str) -> None:
    """A plain model trains as one whose readout multiplies its input by the width's rule times the multiplier."""
    parameters = read_module(Residual, BASE, TARGET, residual_writers=WRITERS)
    values = HYPERPARAMETERS[optimizer] | {"output_multiplier": 8.0, "readout_learning_rate": 0.5}
    plain, explicit = (
        plan(MUP, BASE, TARGET, parameters, values, optimizer=optimizer, gauge=gauge)
        for gauge in ("plain", "multipliers")
    )
    in_forward = {row.parameter.name: row.multiplier for row in explicit.rows if row.multiplier != 1}

    assert in_forward == {"readout.weight": 2.0}  # 8 times 1/m_N = 1/4
    assert {row.multiplier for row in plain.rows} == {1.0}
    seen = losses(Residual(32, 8), plain, *teacher())
    assert seen == losses(Residual(32, 8, readout=2.0), explicit, *teacher())
    assert seen[-1] < 0.9 * seen[0]


def test_the_output_multiplier_is_mups() -> None:
    """The readout's output is that of microsoft/mup's MuReadout with `output_mult`, bias included."""
    from mup import MuReadout, set_base_shapes

    def net(width: int) -> nn.Sequential:
        return nn.Sequential(nn.Linear(4, width), MuReadout(width, 3, output_mult=0.5))

    module = net(32)
    set_base_shapes(module, net(8), delta=net(16), rescale_params=False)
    parameters = [
        replace(growing(Role.READOUT, 8, 32), name="1.weight", shape=(3, 32)),
    ]
    (row,) = plan(
        MUP, BASE, TARGET, parameters, UNIT | {"output_multiplier": 0.5}, optimizer="adamw", gauge="multipliers"
    ).rows
    x = torch.randn(5, 32)
    readout = module[1]
    assert isinstance(readout, MuReadout)

    expected = row.multiplier * functional.linear(x, readout.weight) + readout.bias
    assert torch.allclose(readout(x), expected, atol=1e-6)


class Attending(nn.Module):
    """The built-in decoder with its attention logits multiplied in `forward`, written by hand."""

    def __init__(self, multiplier: float) -> None:
        super().__init__()
        self.model = build_model(GPT, 16, 2)
        for block in self.model.get_submodule("blocks").children():
            block.get_submodule("q").register_forward_hook(lambda _module, _input, output: multiplier * output)

    def forward(self, tokens: Tensor) -> Tensor:
        """Logits."""
        return self.model(tokens)  # type: ignore[no-any-return]  # torch leaves it untyped


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_the_attention_multiplier_is_absorbed_exactly(optimizer: str) -> None:
    """A plain decoder trains as one whose attention logits are multiplied in `forward`, rotary positions and all."""
    base, size = Size(8, 2, 4, 800), Size(16, 2, 4, 800)
    parameters = parameters_of(GPT, base, size)
    values = HYPERPARAMETERS[optimizer] | {"attention_multiplier": 2.0}
    plain = plan(MUP, base, size, parameters, values, optimizer=optimizer)
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randint(0, 8, (STEPS, 4, 9), generator=generator)
    seen = losses(build_model(GPT, 16, 2), plain, tokens[..., :-1], tokens[..., 1:])

    without = plan(MUP, base, size, parameters, HYPERPARAMETERS[optimizer], optimizer=optimizer)
    inner = Attending(2.0)
    assert seen == losses_of(inner, without, tokens)
    assert seen != losses_of(Attending(1.0), without, tokens)


def losses_of(wrapped: Attending, without: Plan, tokens: Tensor) -> list[float]:
    """Losses of the wrapped decoder; hooks stay when the inner model is trained by itself."""
    return losses(wrapped.model, without, tokens[..., :-1], tokens[..., 1:])


POWERS = st.sampled_from([0.25, 0.5, 2.0, 4.0])


@given(st.dictionaries(st.sampled_from(MULTIPLIERS), POWERS), st.integers(3, 9), st.integers(3, 9))
def test_multipliers_transfer(multipliers: dict[str, float], middle: int, last: int) -> None:
    """Base to middle to target gives what base to target gives, and at the base the multiplier is all there is."""
    roles = [Role.EMBEDDING, Role.HIDDEN_WEIGHT, Role.HIDDEN_VECTOR, Role.READOUT, Role.READOUT_BIAS]
    lengths = [8, 2**middle, 2**last]
    sizes = [Size(length, 2, 1, 1) for length in lengths]

    def rows(start: int, end: int) -> list[Any]:
        table = parameter(Role.EMBEDDING, fan_in=(1, 1), fan_out=(lengths[start], lengths[end]), name="table")
        query = replace(growing(Role.HIDDEN_WEIGHT, lengths[start], lengths[end]), name="q", scales_attention=True)
        others = [growing(role, lengths[start], lengths[end]) for role in roles]
        values, optimizer = {**UNIT, **multipliers}, "muon" if RATE_RATIO in multipliers else "adamw"
        return list(plan(MUP, sizes[start], sizes[end], [table, query, *others], values, optimizer=optimizer).rows)

    def values_of(row: Any) -> list[float]:
        return [row.init_std or 1.0, row.learning_rate, row.weight_decay, row.eps or 1.0]

    at_base, first, second, whole = rows(0, 0), rows(0, 1), rows(1, 2), rows(0, 2)
    for origin, one, two, all_at_once in zip(at_base, first, second, whole, strict=True):
        pairs = zip(values_of(origin), values_of(one), values_of(two), values_of(all_at_once), strict=True)
        for base, part, rest, total in pairs:
            assert total == pytest.approx(part * rest / base, rel=1e-12)


def test_a_plan_says_which_multiplier_and_what_it_covers() -> None:
    """The rule, the source and a note of the plan carry the multiplier's name."""
    result = planned(MLP, {"readout_learning_rate": 4.0, "output_multiplier": 2.0})
    row = next(row for row in result.rows if row.parameter.name == "readout.weight")

    assert row.rules["learning_rate"] == "output_multiplier readout_learning_rate m_in^-1"
    assert row.sources["learning_rate"].endswith("; readout_learning_rate, tuned; output_multiplier, tuned")
    assert row.learning_rate == row.factors["learning_rate"] == 4.0 * 2.0 / 2.0
    assert row.rules["eps"].startswith("output_multiplier^-1")
    assert any(
        note.startswith("readout_learning_rate 4 multiplies the learning rate of readouts") for note in result.notes
    )


def test_tied_readouts_keep_the_output_multiplier_in_forward() -> None:
    """A shared weight cannot absorb it, so every form keeps it with the logits, and the plan says so."""
    tied = [growing(Role.TIED_EMBEDDING)]  # from 64 to 256
    values = UNIT | {"output_multiplier": 2.0}
    gauges: tuple[Gauge, ...] = ("plain", "multipliers")
    for gauge in gauges:
        result = plan(MUP, BASE, BASE, tied, values, optimizer="adamw", gauge=gauge)
        assert result.rows[0].multiplier == 0.5
        assert result.rows[0].init_std == 1
        assert any("logits" in note and "0.5" in note for note in result.notes)


@pytest.mark.parametrize(
    ("multipliers", "parameters", "hint"),
    [
        ({"attention_multiplier": 2.0}, [growing(Role.HIDDEN_WEIGHT)], "model.queries"),
        ({"input_learning_rate": 2.0}, [growing(Role.READOUT)], "leave it out"),
        ({"readout_init": 2.0}, [growing(Role.TIED_EMBEDDING)], "use `embedding_init`"),
        ({"hidden_init": 2.0}, [growing(Role.HIDDEN_VECTOR)], "leave it out"),
    ],
)
def test_a_multiplier_of_nothing_is_refused(multipliers: dict[str, float], parameters: list[Any], hint: str) -> None:
    """It would be silently ignored."""
    with pytest.raises(UsageError, match="must multiply something") as caught:
        plan(MUP, BASE, BASE, parameters, UNIT | multipliers, optimizer="adamw", gauge="multipliers")

    assert hint in str(caught.value.findings[0].hint)


@pytest.mark.parametrize("value", [0.0, -1.0, math.inf, math.nan])
def test_a_multiplier_must_be_positive(value: float) -> None:
    """Zero would freeze a role, and the rest is no number."""
    with pytest.raises(UsageError, match="must be a finite number > 0"):
        plan(MUP, BASE, BASE, [growing(Role.READOUT)], UNIT | {"readout_init": value}, optimizer="adamw")
