"""Published numbers: Tensor Programs V's tables, Megatron-LM, nanoGPT-mup, unit-scaling, Complete(d)P."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from hptransfer.errors import UsageError
from hptransfer.parameterization.gauge import Gauge
from hptransfer.parameterization.notes import attention_note, attention_scale
from hptransfer.parameterization.plan import Plan, plan
from hptransfer.parameterization.roles import Parameter, Role
from hptransfer.parameterization.rules import Options
from hptransfer.parameterization.tables import Parameterization
from hptransfer.sizes import Size
from tests.support.parameter_shapes import UNIT, growing, parameter

BASE = Size(256, 2, 8, 800)
WIDER = Size(1024, 2, 8, 800)  # width x 4
WIDER_AND_DEEPER = Size(1024, 32, 8, 800)  # width x 4, depth x 16


def planned(
    name: str,
    *parameters: Parameter,
    size: Size = WIDER,
    optimizer: str = "adamw",
    gauge: Gauge = "multipliers",
    options: Options | None = None,
    alpha: float | None = None,
    values: Mapping[str, float] = UNIT,
) -> Plan:
    """A plan of these parameters, the last of which writes a residual stream."""
    writer = growing(Role.HIDDEN_WEIGHT, 256, 1024, writes_residual=True)
    return plan(
        Parameterization(name, alpha),
        BASE,
        size,
        (*parameters, writer),
        values,
        optimizer=optimizer,
        gauge=gauge,
        options=options,
    )


# Tensor Programs V (arXiv 2203.03466), Tables 3 and 8, with fan_in and fan_out of width 4 times the base's.
# (init std, multiplier, SGD LR, Adam LR); variances in the tables are squares of the first column.
TWO_FORMS: dict[tuple[Gauge, Role], tuple[float, float, float, float]] = {
    ("plain", Role.EMBEDDING): (1, 1, 4, 1),  # Table 3: var 1/fan_in; SGD fan_out; Adam 1
    ("plain", Role.HIDDEN_WEIGHT): (0.5, 1, 1, 0.25),  # var 1/fan_in; SGD 1; Adam 1/fan_in
    ("plain", Role.READOUT): (0.25, 1, 0.25, 0.25),  # var 1/fan_in^2; SGD and Adam 1/fan_in
    ("multipliers", Role.EMBEDDING): (1, 1, 4, 1),  # Table 8
    ("multipliers", Role.HIDDEN_WEIGHT): (0.5, 1, 1, 0.25),
    ("multipliers", Role.READOUT): (1, 0.25, 4, 1),  # var 1; multiplier 1/fan_in; SGD fan_in; Adam 1
}


@pytest.mark.parametrize(("gauge", "role"), TWO_FORMS)
def test_two_forms_of_mup_are_gauges_of_one_table(gauge: Gauge, role: Role) -> None:
    """Each cell of the two tables comes out of the one that is written down."""
    row = growing(role, 256, 1024)
    sgd = planned("mup", row, optimizer="sgd", gauge=gauge).rows[0]
    adam = planned("mup", row, gauge=gauge).rows[0]

    assert (adam.init_std, adam.multiplier, sgd.learning_rate, adam.learning_rate) == TWO_FORMS[gauge, role]
    assert (sgd.init_std, sgd.multiplier) == TWO_FORMS[gauge, role][:2]


# Megatron-LM, tests/unit_tests/transformer/test_mup.py: hidden size 1024 over base 256, lr 1e-3, min lr 1e-5, eps 1e-8,
# init std 0.02. Its weight decay is one value for all parameters.
MEGATRON = {
    "hidden": (2.5e-4, 2.5e-9, 0.01),  # lr / 4, eps / 4, .02 / sqrt(4)
    "embedding": (1e-3, 1e-8, 0.02),
    "norm": (1e-3, 1e-8, None),
    "output": (1e-3, 1e-8, 0.02),
}


def test_megatron_values() -> None:
    """Width-muP as Megatron-LM applies it: `eps` published, weight decay unscaled, form of Table 8."""
    roles = (Role.HIDDEN_WEIGHT, Role.EMBEDDING, Role.HIDDEN_VECTOR, Role.READOUT)
    result = planned(
        "mup",
        *(growing(role, 256, 1024) for role in roles),
        values={"learning_rate": 1e-3, "weight_decay": 0.1, "init_scale": 0.02, "eps": 1e-8},
        options=Options(eps="published", weight_decay="unscaled"),
    )

    for row, (rate, eps, std) in zip(result.rows[:-1], MEGATRON.values(), strict=True):
        assert (row.learning_rate, row.eps) == pytest.approx((rate, eps), rel=1e-12)
        assert row.init_std == (None if std is None else pytest.approx(std, rel=1e-12))
        assert row.weight_decay == 0.1


# the same suite: a width multiplier of 0.5 doubles the hidden rate, one of 1 changes nothing
@pytest.mark.parametrize(("width", "rate"), [(128, 2e-3), (256, 1e-3)])
def test_megatron_fractional_width(width: int, rate: float) -> None:
    """Narrower than the base is as good as wider."""
    hidden, values = growing(Role.HIDDEN_WEIGHT, 256, width), UNIT | {"learning_rate": 1e-3}

    assert planned("mup", hidden, values=values).rows[0].learning_rate == pytest.approx(rate, rel=1e-12)


# the same suite: vectors under SGD have lr * 4; with Muon, its matrices are left alone where their aspect is kept
def test_megatron_vectors_and_muon() -> None:
    """SGD moves vectors with the width; Muon's matrices keep their rate."""
    sgd = planned("mup", growing(Role.HIDDEN_VECTOR, 256, 1024), optimizer="sgd").rows[0]
    muon = planned("mup", growing(Role.HIDDEN_WEIGHT, 256, 1024), optimizer="muon").rows[0]

    assert sgd.learning_rate == 4
    assert muon.learning_rate == 1


# the same suite: softmax scale 1/64 at head_dim 64 where the base's scale power is 1 and its head is 1 wide;
# mutransformers: attn_mult sqrt(base head_dim), so 8/128 at head_dim 128 over a base of 64
def test_attention_scale() -> None:
    """Attention logits are scaled by sqrt(base)/head_dim in forward, and only where heads grow."""
    assert attention_scale(64, 1) == 1 / 64
    assert attention_scale(128, 64) == 0.0625
    assert attention_note(64, 64) is None
    assert "0.0625" in str(attention_note(128, 64))


def test_the_plan_says_what_attention_needs() -> None:
    """Growing heads are noted in the plan, because no parameter carries their scale."""
    result = plan(Parameterization("mup"), BASE, WIDER, (), UNIT, optimizer="adamw", head_dims=(64, 128))

    assert any("attention logits by sqrt(64)/128 = 0.0625" in note for note in result.notes)


# nanoGPT-mup, branch completep, configure_optimizers: (lr_scale, weight decay factor) for m_N = 4, m_L = 16, alpha 1/2
NANOGPT_COMPLETEP: Mapping[Role, tuple[float, float]] = {
    Role.EMBEDDING: (1, 1),
    Role.HIDDEN_VECTOR: (0.25, 1),  # m_L^(alpha-1); its decay is 0 in the code, as GPT-2's vectors have none
    Role.HIDDEN_WEIGHT: (0.0625, 4),  # m_L^(alpha-1) / m_N, decay * m_N
    Role.OUTER_VECTOR: (1, 1),
}


def test_nanogpt_completep_groups() -> None:
    """The groups of the released code, and its one eps: adam_eps / m_N * m_L^-alpha = 1/4 * 1/4."""
    rows = planned(
        "completep",
        *(growing(role, 256, 1024) for role in NANOGPT_COMPLETEP),
        size=WIDER_AND_DEEPER,
        alpha=0.5,
        options=Options(eps="published"),
    ).rows

    for row, expected in zip(rows[:-1], NANOGPT_COMPLETEP.values(), strict=True):
        assert (row.learning_rate, row.weight_decay) == expected
        assert row.eps == 0.0625


# nanoGPT-mup, branch master: weight decay is the same for every group, lr / m
def test_nanogpt_master_leaves_decay_alone() -> None:
    """Where decay is unscaled, the decay per step shrinks with the width."""
    row = planned("mup", growing(Role.HIDDEN_WEIGHT, 256, 1024), options=Options(weight_decay="unscaled")).rows[0]

    assert (row.learning_rate, row.weight_decay) == (0.25, 1)


# unit-scaling, tests/test_optim.py, test_scaled_parameters: embedding (256, 16), a stack of depth 3 of 16x16 layers
# with biases, an output; lr 1, weight decay lambda gives lr/4, lr/4/sqrt(3), lr/sqrt(3), lr and lambda / rate
UNIT_SCALING = {
    "embedding": 0.25,
    "stack": 0.25 / 3**0.5,
    "stack bias": 1 / 3**0.5,
    "output": 1.0,
}
UNIT_SIZE = Size(16, 3, 8, 800)


def unit_rows() -> tuple[Parameter, ...]:
    """The test's parameters; fans at a base do not matter."""
    return (
        parameter(Role.EMBEDDING, fan_in=(1, 1), fan_out=(1, 16)),
        parameter(Role.HIDDEN_WEIGHT, fan_in=(1, 16), fan_out=(1, 16)),
        parameter(Role.HIDDEN_VECTOR, fan_out=(1, 16)),
        parameter(Role.READOUT, fan_in=(1, 16), fan_out=(7, 7)),
    )


def test_unit_scaling_numbers() -> None:
    """Learning rates and independent weight decay are those of unit-scaling's own test."""
    result = planned("u-mup", *unit_rows(), size=UNIT_SIZE, gauge="unit", values=UNIT | {"weight_decay": 0.1})

    for row, rate in zip(result.rows[:-1], UNIT_SCALING.values(), strict=True):
        assert row.learning_rate == pytest.approx(rate, rel=1e-12)
        assert row.weight_decay == pytest.approx(0.1 / rate, rel=1e-12)
        assert row.init_std in {None, 1.0}


# u-muP (arXiv 2407.17465) Table 2: parameter multiplier 1/sqrt(fan_in) for hidden, 1/fan_in for output weights
def test_unit_multipliers() -> None:
    """Hidden outputs are divided by 4 and logits by 16 at width 16; plain, both go into init and rate."""
    unit = planned("u-mup", *unit_rows(), size=UNIT_SIZE, gauge="unit").rows
    plain = planned("u-mup", *unit_rows(), size=UNIT_SIZE, gauge="plain").rows

    assert [row.multiplier for row in unit[:4]] == [1, 0.25, 1, 0.0625]
    assert [plain[index].init_std for index in (0, 1, 3)] == [1, 0.25, 0.0625]
    assert plain[3].learning_rate == 0.0625


def test_unit_scaling_itself_gives_our_groups() -> None:
    """The unmodified package groups its own model as the table does."""
    uu = pytest.importorskip("unit_scaling", reason="the peer is not installed")
    from unit_scaling.optim import lr_scale_func_adam, scaled_parameters

    model = [uu.Embedding(256, 16), uu.DepthModuleList([uu.Linear(16, 16, bias=True) for _ in range(3)])]
    model.append(uu.LinearReadout(16, 7))
    tensors = [
        model[0].weight,
        model[1][0].weight,
        model[1][0].bias,
        model[2].weight,
    ]
    groups = scaled_parameters(tensors, lr_scale_func_adam, lr=1.0, weight_decay=0.1)
    ours = planned("u-mup", *unit_rows(), size=UNIT_SIZE, gauge="unit", values=UNIT | {"weight_decay": 0.1}).rows

    for group, row in zip(groups, ours[:-1], strict=True):
        assert (row.learning_rate, row.weight_decay) == pytest.approx((group["lr"], group["weight_decay"]), rel=1e-12)


def test_u_mup_branches_count_the_root_of_the_depth() -> None:
    """In units of the embedding's part of the stream, every branch counts depth^-1/2: 1/2 at depth 4."""
    writer = planned("u-mup", size=Size(1, 4, 8, 800), gauge="unit").rows[0]

    assert writer.multiplier == pytest.approx(0.5 / 1024**0.5)  # times fan_in^-1/2 of the weight itself


# Complete(d)P (arXiv 2512.22382) Table 1: s = sqrt(m_B / m_D); (LR, lambda, eps) times (s, s, 1/s), 1 - beta times s^2
@pytest.mark.parametrize(
    ("m_b", "m_d", "s"),
    [(4, 1, 2.0), (4, 4, 1.0), (1, 4, 0.5)],
    ids=["batch x4", "batch and tokens x4", "tokens x4"],
)
def test_complete_d_p_arithmetic(m_b: int, m_d: int, s: float) -> None:
    """Batch and duration enter as sqrt(m_B / m_D) into every parameter, and squared into 1 - beta."""
    size = Size(256, 2, 8 * m_b, 800 * m_d)
    roles = (Role.EMBEDDING, Role.HIDDEN_VECTOR, Role.OUTER_VECTOR, Role.READOUT, Role.READOUT_BIAS)
    values = UNIT | {"beta1": 0.9, "beta2": 0.95}
    result = planned("complete-d-p", *(growing(role, 256, 256) for role in roles), size=size, values=values)

    for row in result.rows[:-1]:
        assert (row.learning_rate, row.weight_decay, row.eps) == (s, s, 1 / s)
    assert 1 - result.optimizer_values["beta1"] == pytest.approx(0.1 * s**2)
    assert 1 - result.optimizer_values["beta2"] == pytest.approx(0.05 * s**2)


# Complete(d)P Table 1 with m_N = 4, m_L = 16, alpha = 1/2, no change of batch and tokens
# columns: init std, learning rate, weight decay, eps
COMPLETE_D_P = {
    Role.EMBEDDING: (1, 1, 1, 0.25),
    Role.HIDDEN_WEIGHT: (0.5, 0.0625, 4, 0.0625),
    Role.HIDDEN_VECTOR: (None, 0.25, 1, 0.0625),
    Role.OUTER_VECTOR: (None, 1, 1, 1),
    Role.READOUT: (0.25, 0.25, 4, 1),
    Role.READOUT_BIAS: (None, 1, 1, 1),
}


@pytest.mark.parametrize("role", COMPLETE_D_P)
def test_complete_d_p_in_width_and_depth(role: Role) -> None:
    """Its readout has no multiplier: init and rate fall as 1/m_N and eps does not."""
    row = planned("complete-d-p", growing(role, 256, 1024), size=WIDER_AND_DEEPER, gauge="plain", alpha=0.5).rows[0]

    assert (row.init_std, row.learning_rate, row.weight_decay, row.eps) == COMPLETE_D_P[role]
    assert row.multiplier == 1


def test_shared_gains_have_no_width_in_eps() -> None:
    """Complete(d)P, QK-norm row: eps m_L^-alpha without the width, because heads share the gain."""
    gain = parameter(Role.HIDDEN_VECTOR, fan_out=(64, 64))

    assert planned("complete-d-p", gain, size=WIDER_AND_DEEPER, alpha=0.5).rows[0].eps == 0.25


# beta2 0.95 with a batch 64 times as large: 1 - 0.05 * 64 = -2.2; the half-life form gives 0.95^64 = 0.0375
def test_linear_betas_that_leave_their_range_are_refused() -> None:
    """The refusal names the half-life form, which works."""
    size, values = Size(256, 2, 512, 800), UNIT | {"beta1": 0.9, "beta2": 0.95}

    with pytest.raises(UsageError, match="beta") as caught:
        planned("complete-d-p", size=size, values=values)
    halved = planned("complete-d-p", size=size, values=values, options=Options(betas="half-life"))

    assert "half-life" in str(caught.value.findings[0].hint)
    assert halved.optimizer_values["beta2"] == pytest.approx(0.037524, rel=1e-4)


# marin, completed_adamh: lr = lr0 sqrt(B/B0) (T0/T)^0.3
def test_the_token_exponent_is_a_choice() -> None:
    """Only the learning rate follows another token exponent, and the plan prints the alternatives."""
    result = planned(
        "complete-d-p",
        growing(Role.EMBEDDING, 256, 256),
        size=Size(256, 2, 8, 800 * 1024),
        options=Options(token_exponent=0.3),
    )

    assert result.rows[0].learning_rate == pytest.approx(0.125)  # 1024^-0.3
    assert result.rows[0].eps == 32  # sqrt(1024)
    assert any("0.32: arXiv 2409.19913" in note for note in result.notes)


# Malladi et al. (arXiv 2205.10287): batch x 16 at the same tokens: lr x 4, eps / 4, 1 - beta x 16
def test_the_adam_batch_rule_serves_other_tables() -> None:
    """A table without a batch rule takes the SDE's, and says how far it holds."""
    size = Size(256, 2, 128, 800)
    result = planned(
        "mup",
        growing(Role.EMBEDDING, 256, 256),
        size=size,
        options=Options(batch_rule="sde"),
        values=UNIT | {"beta1": 0.96875, "beta2": 0.984375},
    )

    assert (result.rows[0].learning_rate, result.rows[0].eps) == (4, 0.25)
    assert dict(result.optimizer_values) == {"beta1": 0.5, "beta2": 0.75}
    assert any("critical batch" in note for note in result.notes)
    assert "arXiv 2205.10287" in result.rows[0].sources["learning_rate"]
    assert "batch" not in result.rows[0].sources["init_std"]


# Goyal et al. (arXiv 1706.02677): SGD's rate is multiplied by the growth of the batch
def test_the_linear_batch_rule_of_sgd() -> None:
    """SGD has the linear rule and no square-root rule."""
    size = Size(256, 2, 32, 800)
    row = growing(Role.EMBEDDING, 256, 256)

    linear = planned("mup", row, size=size, optimizer="sgd", options=Options(batch_rule="linear"))
    with pytest.raises(UsageError, match="batch rule"):
        planned("mup", row, size=size, optimizer="sgd", options=Options(batch_rule="sde"))

    assert linear.rows[0].learning_rate == 4


# Weight decay of a hidden weight at m_N = 4 with base rate 1 and base decay 1, and of an embedding:
# unscaled 1; constant m; independent: decay per step 1, so 1 / (1/4); sqrt m^1/2 and none elsewhere (arXiv 2510.15262);
# inverse: decay per step 1/m, so (1/4) / (1/4) (arXiv 2512.05620)
DECAYS = {"unscaled": (1, 1), "constant": (4, 1), "independent": (4, 1), "sqrt": (2, 0), "inverse": (1, 1)}


@pytest.mark.parametrize("choice", DECAYS)
def test_weight_decay_choices(choice: str) -> None:
    """Each named rule gives its published factor."""
    rows = planned(
        "mup",
        growing(Role.HIDDEN_WEIGHT, 256, 1024),
        growing(Role.EMBEDDING, 256, 1024),
        options=Options(weight_decay=choice),  # type: ignore[arg-type]  # a key of the table above
    ).rows

    assert (rows[0].weight_decay, rows[1].weight_decay) == DECAYS[choice]


def test_independent_decay_does_not_move_with_the_learning_rate() -> None:
    """With `independent` the decay per step is the base value; with `constant` it is rate times coefficient."""
    row, values = growing(Role.HIDDEN_WEIGHT, 256, 1024), UNIT | {"learning_rate": 0.01, "weight_decay": 1e-4}

    independent = planned("mup", row, values=values, options=Options(weight_decay="independent")).rows[0]
    constant = planned("mup", row, values=values).rows[0]

    assert independent.learning_rate * independent.weight_decay == pytest.approx(1e-4)
    assert constant.learning_rate * constant.weight_decay == pytest.approx(1e-6)
