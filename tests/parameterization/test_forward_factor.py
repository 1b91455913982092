"""Factors in the model's own forward: with them in the plan, training is that of the plain model, in float64.

Factors are powers of two, for which scaling is exact in floating point; so the expected difference is 0.
"""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from hptransfer.errors import UsageError
from hptransfer.parameterization.applied_rules import Chosen
from hptransfer.parameterization.gauge import Gauge
from hptransfer.parameterization.plan import Plan, plan
from hptransfer.parameterization.roles import Parameter, Role
from hptransfer.parameterization.rules import Options
from hptransfer.parameterization.tables import Parameterization
from hptransfer.sizes import Size
from tests.support.gauge_training import (
    BASE,
    HYPERPARAMETERS,
    TARGET,
    WRITERS,
    Block,
    Residual,
    losses,
    optimizers,
    teacher,
)
from tests.support.reading import read_module

COMPLETEP = Parameterization("completep", 1.0)


class Factored(Residual):
    """The residual network with a factor behind its input layer, as `sqrt(width)` behind an embedding."""

    def __init__(
        self, width: int, depth: int, *, input_factor: float = 1.0, readout: float = 1.0, branch: float = 1.0
    ) -> None:
        super().__init__(width, depth, readout=readout, branch=branch)
        self.input_factor = input_factor

    def forward(self, x_Bx8: Tensor) -> Tensor:
        """Logits of five classes."""
        h_BxD = self.input_factor * self.input(x_Bx8)
        for block in self.blocks:
            h_BxD = h_BxD + self.branch_multiplier * block(h_BxD)
        logits_Bx5: Tensor = self.readout(self.readout_multiplier * self.norm(h_BxD))
        return logits_Bx5


def read(size: Size = TARGET) -> tuple[Parameter, ...]:
    """The residual network's parameters."""
    return read_module(Residual, BASE, size, residual_writers=WRITERS)


def carrying(powers: dict[str, dict[str, float]], parameters: tuple[Parameter, ...]) -> tuple[Parameter, ...]:
    """The parameters whose names start so, in a model whose forward has these powers for them."""
    return tuple(
        replace(each, **next((of for name, of in powers.items() if each.name.startswith(name)), {}))  # type: ignore[arg-type]  # powers by name
        for each in parameters
    )


def branches(**powers: float) -> dict[str, dict[str, float]]:
    """The same powers on every branch, weight and bias."""
    return {f"blocks.{layer}.down.": powers for layer in range(8)}


#: what forward has at four times the base's width and depth, and how the plan is told; input layer's bias included
FACTORS: dict[str, tuple[dict[str, float], dict[str, dict[str, float]]]] = {
    "sqrt(width) behind the input": ({"input_factor": 2.0}, {"input.": {"forward_width": 0.5}}),
    "width behind the input": ({"input_factor": 4.0}, {"input.": {"forward_width": 1.0}}),
    "base / width before the readout": ({"readout": 0.25}, {"readout.weight": {"forward_width": -1.0}}),
    "1 / sqrt(width) before the readout": ({"readout": 0.5}, {"readout.weight": {"forward_width": -0.5}}),
    "1 / depth on branches": ({"branch": 0.25}, branches(forward_depth=-1.0)),
    "1 / sqrt(depth) on branches": ({"branch": 0.5}, branches(forward_depth=-0.5)),
    "depth and width on branches": ({"branch": 1.0}, branches(forward_depth=-1.0, forward_width=1.0)),
    "everything": (
        {"input_factor": 2.0, "readout": 0.25, "branch": 0.25},
        {"input.": {"forward_width": 0.5}, "readout.weight": {"forward_width": -1.0}, **branches(forward_depth=-1.0)},
    ),
}


def planned(parameters: tuple[Parameter, ...], optimizer: str, gauge: Gauge = "plain", name: str = "completep") -> Plan:
    """The plan at the target."""
    which = COMPLETEP if name == "completep" else Parameterization(name)
    return plan(which, BASE, TARGET, parameters, HYPERPARAMETERS[optimizer], optimizer=optimizer, gauge=gauge)


def _by_default(name: str, parameterization: str) -> bool:
    """Every factor under CompleteP, and all factors at once under every parameterization; the others are slow."""
    return "everything" in name or parameterization == "completep"


@pytest.mark.parametrize(
    ("name", "optimizer", "parameterization"),
    [
        pytest.param(name, by, of, marks=() if _by_default(name, of) else pytest.mark.slow, id=f"{name}-{by}-{of}")
        for name in FACTORS
        for by in HYPERPARAMETERS
        for of in ("completep", "mup", "standard", "complete-d-p")
    ],
)
def test_training_is_that_of_the_plain_model(name: str, optimizer: str, parameterization: str) -> None:
    """With weight decay, eps and biases, a factor that the plan knows changes no loss by a bit."""
    if parameterization == "complete-d-p" and optimizer == "sgd":
        with pytest.raises(UsageError, match="complete-d-p"):  # the paper has AdamW only
            planned(read(), optimizer, name=parameterization)
        return
    factors, powers = FACTORS[name]
    plain = losses(Factored(32, 8), planned(read(), optimizer, name=parameterization), *teacher())
    known = planned(carrying(powers, read()), optimizer, name=parameterization)
    compensated = losses(Factored(32, 8, **factors), known, *teacher())

    assert plain == compensated
    assert compensated[-1] < 0.9 * compensated[0]  # it learned: equal losses of a frozen model would prove nothing
    assert {row.multiplier for row in known.rows} == {1.0}


@pytest.mark.parametrize("name", ["sqrt(width) behind the input", "1 / depth on branches"])
def test_an_unknown_factor_is_seen(name: str) -> None:
    """Negative control: without its power the plan of the same model trains otherwise."""
    factors, _ = FACTORS[name]
    plain = losses(Factored(32, 8), planned(read(), "adamw"), *teacher())
    unknown = losses(Factored(32, 8, **factors), planned(read(), "adamw"), *teacher())

    assert max(abs(a / b - 1) for a, b in zip(plain, unknown, strict=True)) > 1e-3


def trained(module: nn.Module, made: Plan, *, biases: bool = True) -> list[float]:
    """Losses with the unmodified optimizers of every family."""
    from hptransfer.models.applied_plan import AppliedPlan

    module.double()
    AppliedPlan.from_plan(made).init_(module, seed=0)
    for name, tensor in module.named_parameters():
        tensor.requires_grad_(biases or not name.endswith("bias"))
    steppers = optimizers(made, dict(module.named_parameters()))
    seen = []
    for input_, target in zip(*teacher(), strict=True):
        loss = nn.functional.cross_entropy(module(input_), target)
        for stepper in steppers:
            stepper.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        for stepper in steppers:
            stepper.step()
        seen.append(loss.item())
    return seen


@pytest.mark.parametrize("optimizer", ["lion", "muon", "adamh", "muonh", "adafactor"])
def test_other_families_too(optimizer: str) -> None:
    """Signs, polar factors and steps relative to a norm, each moved by its own powers; muP, as all of them have it."""
    factors = {"input_factor": 2.0, "readout": 0.25, "branch": 0.5}
    powers = {
        "input.": {"forward_width": 0.5},
        "readout.weight": {"forward_width": -1.0},
        **{f"blocks.{layer}.down.weight": {"forward_depth": -0.5} for layer in range(8)},
        **{f"blocks.{layer}.down.bias": {"forward_depth": -0.5} for layer in range(8)},
    }
    values = {"learning_rate": 0.01, "weight_decay": 0.0, "init_scale": 1.0, "eps": 1e-4}
    # with biases that start at zero, torch's Adafactor stands at its floor, which no rule follows
    seen = []
    for parameters, model in ((read(), Factored(32, 8)), (carrying(powers, read()), Factored(32, 8, **factors))):
        made = plan(Parameterization("mup"), BASE, TARGET, parameters, values, optimizer=optimizer)
        seen.append(trained(model, made, biases=optimizer != "adafactor"))

    assert seen[0] == pytest.approx(seen[1], rel=1e-9)
    assert seen[0][-1] < 0.9 * seen[0][0]


def test_rules_and_sources_say_it() -> None:
    """A rule is what is left to do, and its source says what forward does already."""
    rows = {row.parameter.name: row for row in planned(carrying(FACTORS["everything"][1], read()), "adamw").rows}

    embedding = rows["input.weight"]
    assert embedding.rules == {
        "init_std": "m_N^-0.5",
        "multiplier": "1",
        "learning_rate": "m_N^-0.5",
        "weight_decay": "m_N^0.5",
        "eps": "m_out^-1 m_N^0.5",
    }
    assert "forward multiplies by m_N^0.5 already: the difference from 1 absorbed" in embedding.sources["init_std"]
    readout = rows["readout.weight"]  # as Table 8 has it: nothing but eps scales
    assert readout.rules == {
        "init_std": "1",
        "multiplier": "1",
        "learning_rate": "1",
        "weight_decay": "1",
        "eps": "m_in^-1",
    }
    assert readout.sources["multiplier"].endswith("forward multiplies by m_in^-1 already")
    writer = rows["blocks.3.down.weight"]
    assert writer.rules["init_std"] == "m_in^-0.5"
    assert writer.sources["multiplier"].endswith("forward multiplies by m_L^-1 already")


@pytest.mark.parametrize("gauge", ["multipliers", "unit"])
def test_other_gauges_ask_for_the_rest(gauge: Gauge) -> None:
    """What `forward` must apply in addition to what it has: nothing where it has all."""
    powers = {"readout.weight": {"forward_width": -1.0}, **branches(forward_depth=-0.5)}
    made = {row.parameter.name: row for row in planned(carrying(powers, read()), "adamw", gauge).rows}
    without = {row.parameter.name: row for row in planned(read(), "adamw", gauge).rows}

    assert made["readout.weight"].multiplier == 4 * without["readout.weight"].multiplier
    assert made["blocks.0.down.weight"].multiplier == 2 * without["blocks.0.down.weight"].multiplier
    for name, row in made.items():
        other = without[name]
        assert (row.init_std, row.learning_rate, row.weight_decay, row.eps) == (
            other.init_std,
            other.learning_rate,
            other.weight_decay,
            other.eps,
        )


def test_a_gauge_without_a_multiplier_there_absorbs_it() -> None:
    """Table 8 multiplies no embedding, so a model in that form with one is not asked to take its factor back."""
    powers = {"input.": {"forward_width": 0.5}}
    row = {row.parameter.name: row for row in planned(carrying(powers, read()), "adamw", "multipliers").rows}[
        "input.weight"
    ]

    assert row.multiplier == 1
    assert row.init_std is not None
    assert row.parameter.base_init_std is not None
    assert row.init_std == row.parameter.base_init_std / 2


@pytest.mark.parametrize("factor", FACTORS)
def test_nothing_moves_at_the_base(factor: str) -> None:
    """At the base every factor counts as one."""
    base = read_module(Residual, BASE, BASE, residual_writers=WRITERS)
    values = HYPERPARAMETERS["adamw"]
    made, plain = (
        plan(COMPLETEP, BASE, BASE, parameters, values, optimizer="adamw")
        for parameters in (carrying(FACTORS[factor][1], base), base)
    )

    for row, other in zip(made.rows, plain.rows, strict=True):
        assert (row.init_std, row.learning_rate, row.weight_decay, row.eps, row.multiplier) == (
            other.init_std,
            other.learning_rate,
            other.weight_decay,
            other.eps,
            other.multiplier,
        )


def test_an_absolute_table_counts_the_factor_from_the_base() -> None:
    """u-muP has powers of the size itself; a factor 64 / width in forward is one at the base."""
    values = {"learning_rate": 1.0, "weight_decay": 0.1, "init_scale": 1.0, "eps": 1e-8}
    powers = {"readout.weight": {"forward_width": -1.0}, **branches(forward_depth=-0.5)}
    made, plain = (
        plan(Parameterization("u-mup"), BASE, TARGET, parameters, values, optimizer="adamw")
        for parameters in (carrying(powers, read()), read())
    )
    ratios = {
        row.parameter.name: (row.init_std or 1.0) / (other.init_std or 1.0)
        for row, other in zip(made.rows, plain.rows, strict=True)
    }

    assert ratios["readout.weight"] == pytest.approx(4)
    assert ratios["blocks.5.down.weight"] == pytest.approx(2)


def test_keys_hold_exact_powers() -> None:
    """What enters a trial's key is a fraction, and changes with the power."""
    chosen = Chosen.of(COMPLETEP, "adamw", Options())
    plain, carried = (
        {each.name: chosen.rules_of(each) for each in parameters}
        for parameters in (read(), carrying(FACTORS["sqrt(width) behind the input"][1], read()))
    )

    assert carried["input.weight"]["init_std"] == {"width": "-1/2"}
    assert carried["input.weight"]["learning_rate"] == {"width": "-1/2"}
    assert plain["input.weight"]["init_std"] == {}
    assert {name for name in plain if plain[name] != carried[name]} == {"input.weight", "input.bias"}


def test_clipping_compares_with_the_form_without_factors() -> None:
    """A gradient behind a factor is as much larger; the plan's clipping takes that out at every size."""
    from hptransfer.models.planning import plan_reading
    from hptransfer.models.shape_reading import ModelParameters

    values = {"learning_rate": 0.01, "weight_decay": 0.0, "init_scale": 1.0, "eps": 1e-8}
    norms = []
    for powers, factors in (({}, {}), (FACTORS["everything"][1], FACTORS["everything"][0])):
        reading = ModelParameters(carrying(powers, read()))
        applied = plan_reading(COMPLETEP, BASE, TARGET, reading, values, optimizer="adamw")
        module = Factored(32, 8, **factors).double()
        applied.init_(module, seed=0)
        inputs, targets = teacher()
        nn.functional.cross_entropy(module(inputs[0]), targets[0]).backward()  # type: ignore[no-untyped-call]
        norms.append(applied.clip_grad_norm_(module, 1e9))

    assert norms[0] == pytest.approx(norms[1], rel=1e-6)


# Norms behind residual writers: the branch's multiplier on a gain.


class PostNormBlock(Block):
    """A block whose output a norm of its own sizes before it is added."""

    def __init__(self, width: int, *, centred: bool = False) -> None:
        super().__init__(width)
        self.post = Centred(width) if centred else nn.LayerNorm(width)

    def forward(self, x_BxD: Tensor) -> Tensor:
        """What the block adds to the stream."""
        out_BxD: Tensor = self.post(super().forward(x_BxD))
        return out_BxD


class Centred(nn.Module):
    """A norm that multiplies by one plus its gain."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.zeros(width)), nn.Parameter(torch.zeros(width))

    def forward(self, x_BxD: Tensor) -> Tensor:
        """The normed input times 1 + gain, plus the bias."""
        normed = nn.functional.layer_norm(x_BxD, x_BxD.shape[-1:])
        return normed * (1 + self.weight) + self.bias


class PostNorm(Residual):
    """The residual network with norms between the branches and the stream."""

    def __init__(
        self, width: int, depth: int, *, centred: bool = False, branch: float = 1.0, readout: float = 1.0
    ) -> None:
        super().__init__(width, depth, branch=branch, readout=readout)
        self.blocks = nn.ModuleList(PostNormBlock(width, centred=centred) for _ in range(depth))


POST = (r"blocks\.\d+\.post\.(weight|bias)",)


def post_norm(*, centred: bool) -> tuple[Parameter, ...]:
    """The parameters of the network with norms behind its branches."""
    roles = {r"blocks\.\d+\.post\.weight": "hidden vector, zeros"} if centred else None
    parameters = read_module(
        lambda width, depth: PostNorm(width, depth, centred=centred), BASE, TARGET, residual_writers=POST, roles=roles
    )
    return tuple(
        replace(each, zero_centred=True) if centred and each.name.endswith("post.weight") else each
        for each in parameters
    )


def explicit(centred: bool, optimizer: str, values: dict[str, float]) -> list[float]:
    """Losses with the multipliers in forward."""
    made = plan(COMPLETEP, BASE, TARGET, post_norm(centred=centred), values, optimizer=optimizer, gauge="multipliers")
    by_name = {row.parameter.name: row.multiplier for row in made.rows}
    assert by_name["blocks.0.post.weight"] == by_name["blocks.0.post.bias"] == 0.25
    return losses(PostNorm(32, 8, centred=centred, branch=0.25, readout=0.25), made, *teacher())


@pytest.mark.parametrize("centred", [False, True])
@pytest.mark.parametrize("optimizer", HYPERPARAMETERS)
def test_the_gain_of_a_norm_takes_the_branchs_multiplier(optimizer: str, centred: bool) -> None:
    """X + A norm(f(x)) in forward, and x + norm(f(x)) with the gain planned: the same losses, to the last bit."""
    values = HYPERPARAMETERS[optimizer] | ({"weight_decay": 0.0} if centred else {})
    made = plan(COMPLETEP, BASE, TARGET, post_norm(centred=centred), values, optimizer=optimizer)
    absorbed = losses(PostNorm(32, 8, centred=centred), made, *teacher())

    gain = {row.parameter.name: row for row in made.rows}["blocks.2.post.weight"]
    assert gain.parameter.init == "constant"
    assert gain.parameter.init_value == (-0.75 if centred else 0.25)
    assert gain.multiplier == 1
    seen = explicit(centred, optimizer, values)
    assert absorbed == (pytest.approx(seen, rel=1e-12) if centred else seen)
    assert seen[-1] < 0.9 * seen[0]


def test_a_centred_gain_that_decays_is_refused() -> None:
    """Decay pulls g of 1 + g to zero, and so the gain from what is planned; at the base's depth nothing moves."""
    with pytest.raises(UsageError, match="only where it does not decay") as refused:
        plan(COMPLETEP, BASE, TARGET, post_norm(centred=True), HYPERPARAMETERS["adamw"], optimizer="adamw")
    assert "blocks.0.post.weight (32,): a gain 1 + g, times 0.25, weight decay" in str(
        refused.value.findings[0].received
    )

    same_depth = Size(TARGET.width, BASE.depth, TARGET.batch_size, TARGET.tokens)
    parameters = [
        replace(each, zero_centred=each.name.endswith("post.weight"))
        for each in read_module(
            lambda width, depth: PostNorm(width, depth, centred=True),
            BASE,
            same_depth,
            residual_writers=POST,
            roles={r"blocks\.\d+\.post\.weight": "hidden vector, zeros"},
        )
    ]
    plan(COMPLETEP, BASE, same_depth, parameters, HYPERPARAMETERS["adamw"], optimizer="adamw")


def test_a_kept_start_cannot_take_a_factor() -> None:
    """What starts as a structure of its own is not scaled."""
    kept = replace(read()[0], init="kept", base_init_std=None, forward_width=0.5)
    with pytest.raises(UsageError, match="whose start can be scaled"):
        plan(Parameterization("mup"), BASE, TARGET, [kept], HYPERPARAMETERS["adamw"], optimizer="adamw")


# Tied tables.


def tied(**powers: float) -> Parameter:
    """A table that is looked up and reads out, at four times its width."""
    read_ = {each.name: each for each in read()}["input.weight"]
    return replace(
        read_,
        role=Role.TIED_EMBEDDING,
        fan_in=1,
        base_fan_in=1,
        fan_out=32,
        base_fan_out=8,
        shape=(64, 32),
        **powers,  # type: ignore[arg-type]  # powers by name
    )


@pytest.mark.parametrize(
    ("powers", "asked", "std"),
    [
        ({}, 0.25, 1.0),
        ({"forward_width": -1.0}, 1.0, 1.0),
        ({"forward_width": -0.5}, 0.5, 1.0),
        # Gemma: sqrt(width) behind the lookup of a table that reads out
        ({"lookup_width": 0.5}, 0.5, 0.5),
        ({"lookup_width": 0.5, "forward_width": -0.5}, 1.0, 0.5),
    ],
)
@pytest.mark.parametrize("gauge", ["plain", "multipliers", "unit"])
def test_a_tied_table_keeps_the_readouts_factor_in_forward(
    powers: dict[str, float], asked: float, std: float, gauge: Gauge
) -> None:
    """Tensor Programs V, Table 8: init and rate of the shared table are constant, the logits are divided by m_N."""
    row = plan(
        Parameterization("mup"),
        BASE,
        TARGET,
        [tied(**powers)],
        HYPERPARAMETERS["adamw"],
        optimizer="adamw",
        gauge=gauge,
    ).rows[0]

    assert row.multiplier == asked
    assert row.factors["init_std"] == row.factors["learning_rate"] == std
    assert row.parameter.base_init_std is not None
    assert math.isclose(row.init_std or 0.0, std * row.parameter.base_init_std)
