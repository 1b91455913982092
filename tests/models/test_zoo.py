"""Models that a user may bring: each planned as it must be at widths 512 and 1024, depths 2 and 8.

Stds are those of torch's own inits: `nn.Linear` and convolutions draw uniformly below 1/sqrt(fan_in), std
1/sqrt(3 fan_in); `nn.MultiheadAttention` below sqrt(6 / (fan_in + fan_out)); `nn.Embedding` with std 1. Powers are
those of Tensor Programs V (arXiv 2203.03466), table 3 (Adam), and of CompleteP (arXiv 2505.01618), table 1.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache

import pytest
import torch
from torch import nn

import hptransfer
from hptransfer.errors import UsageError
from hptransfer.models.applied_plan import AppliedPlan
from hptransfer.parameterization.plan import PlannedParameter
from hptransfer.parameterization.roles import Role
from tests.support import zoo

BASE = (64, 2)
RATE, DECAY = 0.01, 0.1
TARGETS = [(512, 2), (1024, 2), (512, 8), (1024, 8)]
RULES = ["mup", "completep"]
DECODERS = [
    *("plain", "embed_factor", "fixed_heads", "post_norm", "layer_scale", "zero_writers", "biased_gate"),
    *("gain_one_plus_w", "numbered_attributes", "mha", "tuple_output", "lora"),
]
#: what the code of `Block` and of `TransformerEncoderLayer` adds to the stream
WRITERS = (
    "proj.weight",
    "down.weight",
    "down.bias",
    "out_proj.weight",
    "out_proj.bias",
    "linear2.weight",
    "linear2.bias",
)
IN_BLOCKS = ("blocks.", "layer_")
every_size = pytest.mark.parametrize("target", TARGETS, ids=str)
every_rule = pytest.mark.parametrize("rule", RULES)


@cache
def planned(name: str, target: tuple[int, int], rule: str) -> AppliedPlan:
    """A model's plan, without an answer to anything.

    Args:
        name: of the model in the zoo.
        target: width and depth that are planned for.
        rule: name of the parameterization.
    """
    return hptransfer.plan(
        getattr(zoo, name),
        base=BASE,
        target=target,
        parameterization=rule,
        hyperparameters={"learning_rate": RATE, "weight_decay": DECAY},
    )


def rows(name: str, target: tuple[int, int], rule: str) -> dict[str, PlannedParameter]:
    """By name."""
    return {row.parameter.name: row for row in planned(name, target, rule).rows}


def notes(name: str, target: tuple[int, int] = (512, 2), rule: str = "mup") -> str:
    """All that the plan says."""
    return "\n".join(planned(name, target, rule).whole_plan.notes)


def linear_std(fan_in: int) -> float:
    """Of `nn.Linear` and of convolutions."""
    return 1 / math.sqrt(3 * fan_in)


def branch(target: tuple[int, int], rule: str) -> float:
    """What a residual branch is multiplied by: base depth / depth under completep."""
    return BASE[1] / target[1] if rule == "completep" else 1.0


@every_rule
@every_size
@pytest.mark.parametrize("name", [name for name in DECODERS if name != "lora"])
def test_decoders(name: str, target: tuple[int, int], rule: str) -> None:
    """Roles as a reader gives them; hidden rates fall as 1/width; those of all writers, and no others, as 1/depth."""
    width, found = target[0] / BASE[0], rows(name, target, rule)
    behind_norm = ("n1.weight", "n1.bias", "n2.weight", "n2.bias")
    writes = behind_norm if name == "post_norm" else WRITERS
    factor = 8**0.5 if name == "embed_factor" and target[0] == 512 else 4.0 if name == "embed_factor" else 1.0

    assert len([each for each in found if each.endswith(writes)]) == target[1] * (
        4 if name in ("post_norm", "mha") else 3
    )
    for each, row in found.items():
        inside, matrix = each.startswith(IN_BLOCKS), len(row.parameter.shape) == 2
        expected = {
            each == "tok.weight": Role.EMBEDDING,
            each == "head.weight": Role.READOUT,
            each == "head.bias": Role.READOUT_BIAS,
            each.endswith("gate.weight"): Role.ROUTER,
            each in ("norm.weight", "norm.bias"): Role.OUTER_VECTOR,
        }.get(True, Role.HIDDEN_WEIGHT if matrix else Role.HIDDEN_VECTOR)
        small = branch(target, rule) if each.endswith(writes) else 1.0
        rate = RATE * small / (width if matrix and each != "tok.weight" else 1.0)
        rate /= factor if each == "tok.weight" else 1.0

        assert row.parameter.role is expected, each
        assert row.parameter.writes_residual == (inside and each.endswith(writes)), each
        assert row.learning_rate == pytest.approx(rate), each
        assert row.learning_rate * row.weight_decay == pytest.approx(RATE * DECAY), each
        assert row.multiplier == 1, each


@every_rule
@every_size
def test_plain_starts_as_torch_does_times_its_rule(target: tuple[int, int], rule: str) -> None:
    """Own stds at the base, hidden weights by 1/sqrt(width), the readout by 1/width, writers by 1/depth."""
    found, width, small = rows("plain", target, rule), target[0] / BASE[0], branch(target, rule)
    last = f"blocks.{target[1] - 1}"

    for each, std in {
        "tok.weight": 0.02,
        f"{last}.qkv.weight": linear_std(64) * width**-0.5,
        f"{last}.proj.weight": linear_std(64) * width**-0.5 * small,
        f"{last}.up.weight": linear_std(64) * width**-0.5,
        f"{last}.up.bias": linear_std(64),
        f"{last}.down.weight": linear_std(256) * width**-0.5 * small,
        f"{last}.down.bias": linear_std(256) * small,
        "head.weight": linear_std(64) / width,
    }.items():
        assert found[each].init_std == pytest.approx(std), each


@every_size
def test_sequential_mlp_is_planned_without_a_question(target: tuple[int, int]) -> None:
    """First Linear input, middle ones hidden, last one readout; own stds; at every depth."""
    found, width = rows("SequentialMlp", target, "mup"), target[0] / BASE[0]
    last = f"{2 * target[1] + 2}.weight"
    hidden = [f"{2 * layer + 2}.weight" for layer in range(target[1])]
    matrices = {each for each in found if each.endswith("weight")}

    assert matrices == {"0.weight", *hidden, last}
    assert found["0.weight"].parameter.role is Role.EMBEDDING
    assert found["0.weight"].init_std == pytest.approx(linear_std(16))
    assert found["0.weight"].learning_rate == RATE
    for each in hidden:
        assert found[each].parameter.role is Role.HIDDEN_WEIGHT
        assert found[each].init_std == pytest.approx(linear_std(64) * width**-0.5)
        assert found[each].learning_rate == pytest.approx(RATE / width)
    assert found[last].parameter.role is Role.READOUT
    assert found[last].init_std == pytest.approx(linear_std(64) / width)
    assert found[last].learning_rate == pytest.approx(RATE / width)


@pytest.mark.parametrize("name", ["SequentialMlp", "Upsampler"])
def test_depth_without_a_residual_stream_has_no_rule(name: str) -> None:
    """At the base's depth completep plans it as mup does; another depth is refused with what has no rule for it."""
    same = {each: (row.init_std, row.learning_rate) for each, row in rows(name, (512, 2), "completep").items()}

    assert same == {each: (row.init_std, row.learning_rate) for each, row in rows(name, (512, 2), "mup").items()}
    with pytest.raises(UsageError, match="residual") as caught:
        planned(name, (512, 8), "completep")
    assert "`mup`" in str(caught.value.findings[0].hint)


@every_rule
@every_size
@pytest.mark.parametrize(
    ("name", "ending", "value", "said"),
    [
        ("gain_one_plus_w", ("n1.weight", "n2.weight", "norm.weight"), 0.0, ""),
        ("layer_scale", (".ls",), 1e-4, "kept at every size as the model starts them: blocks.*.ls 0.0001"),
        ("biased_gate", (".gate.bias",), -2.0, "kept at every size as the model starts them: blocks.*.gate.bias -2"),
        (
            "zero_writers",
            (".proj.weight", ".down.weight"),
            0.0,
            "the model's own init is zero at every size: blocks.*.proj.weight, blocks.*.down.weight",
        ),
    ],
)
def test_constants_are_kept(
    name: str, ending: tuple[str, ...], value: float, said: str, target: tuple[int, int], rule: str
) -> None:
    """What the module's own code fills stays, in the plan and in a model that it starts."""
    found = {each: row for each, row in rows(name, target, rule).items() if each.endswith(ending)}
    kept = {"zeros": 0.0, "ones": 1.0}

    assert len(found) >= target[1]
    for row in found.values():
        start = row.parameter.init
        assert (row.parameter.init_value if start == "constant" else kept[start]) == pytest.approx(value)
        assert row.init_std is None
    assert said in notes(name, target, rule)


@pytest.mark.parametrize("name", ["gain_one_plus_w", "layer_scale", "zero_writers", "biased_gate", "lora"])
def test_what_is_kept_is_kept_in_the_model(name: str) -> None:
    """`init_` leaves these tensors as the module's code filled them, to the last bit."""
    torch.manual_seed(0)
    module = getattr(zoo, name)(128, 4)
    before = {each: tensor.clone() for each, tensor in module.state_dict().items()}
    plan = hptransfer.plan(getattr(zoo, name), base=BASE, target=(128, 4), hyperparameters={"learning_rate": RATE})
    plan.init_(module)
    kept = [row.parameter.name for row in plan.rows if row.init_std is None]

    assert kept
    assert all(torch.equal(module.get_parameter(each), before[each]) for each in kept)


@every_rule
@every_size
def test_lora_trains_its_adapters_alone(target: tuple[int, int], rule: str) -> None:
    """Frozen weights in no group; A by its fan-in, which grows; B zero, its inputs are the rank."""
    plan, found, width = planned("lora", target, rule), rows("lora", target, rule), target[0] / BASE[0]
    trained = {each for each in found if "lora" in each}
    module = zoo.lora(*target)
    grouped = {id(tensor) for group in plan.param_groups(module) for tensor in group["params"]}

    assert {each for each, row in found.items() if row.parameter.role is not Role.FROZEN} == trained
    assert grouped == {id(module.get_parameter(each)) for each in trained}
    for layer in range(target[1]):
        a, b = (found[f"blocks.{layer}.lora_{each}.weight"] for each in "ab")
        assert a.init_std == pytest.approx(linear_std(64) * width**-0.5)
        assert a.learning_rate == pytest.approx(RATE / width)
        assert (b.parameter.init, b.parameter.base_fan_in, b.parameter.fan_in) == ("zeros", 4, 4)
        assert b.learning_rate == pytest.approx(RATE)


@every_rule
@every_size
def test_embed_factor_is_compensated(target: tuple[int, int], rule: str) -> None:
    """sqrt(width) is named with its place; the table starts and moves smaller by as much, so that the stream stays."""
    row, width = rows("embed_factor", target, rule)["tok.weight"], target[0] / BASE[0]

    assert row.init_std == pytest.approx(0.02 * width**-0.5)
    assert row.learning_rate == pytest.approx(RATE * width**-0.5)
    assert "multiplies the output of tok.weight by width^0.5 at zoo.py:" in notes("embed_factor", target, rule)
    assert "the plan takes it into account" in notes("embed_factor", target, rule)


@every_rule
@pytest.mark.parametrize("name", ["fixed_heads", "mha"])
def test_growing_heads_are_named(name: str, rule: str) -> None:
    """Four heads: 16 entries at the base, 128 at 512; the place, what is done and the repair."""
    for target, head in (((512, 2), 128), ((1024, 8), 256)):
        said = notes(name, target, rule)
        assert f"heads grow (16 -> {head}): `forward` must scale attention logits by sqrt(16)/{head}" in said
        assert "at zoo.py:" in said
        assert "head_dim^-0.5, must be by head_dim^-1" in said


@every_size
def test_post_norm_scales_the_gain(target: tuple[int, int]) -> None:
    """A norm would remove the branch's factor from a projection: gain and bias take it, projections do not."""
    found, small = rows("post_norm", target, "completep"), BASE[1] / target[1]
    for layer in range(target[1]):
        gain, bias, proj = (found[f"blocks.{layer}.{each}"] for each in ("n1.weight", "n1.bias", "proj.weight"))
        start = 1.0 if gain.parameter.init == "ones" else gain.parameter.init_value
        assert start == pytest.approx(small)
        assert gain.learning_rate == bias.learning_rate == pytest.approx(RATE * small)
        assert proj.init_std == pytest.approx(linear_std(64) * (target[0] / BASE[0]) ** -0.5)
    assert "a norm stands between blocks.*.proj.weight and the residual stream" in notes(
        "post_norm", target, "completep"
    )


def test_post_norm_starts_as_planned() -> None:
    """The model that the plan starts has gains of base depth / depth."""
    module = zoo.post_norm(64, 8)
    hptransfer.plan(zoo.post_norm, base=BASE, target=(64, 8), hyperparameters={"learning_rate": RATE}).init_(module)

    assert all(torch.equal(block.n1.weight, torch.full((64,), 0.25)) for block in module.blocks)


def test_numbered_attributes_are_layers() -> None:
    """At depth 4 from base 2 all layers are alike; before, the first two lost the factor."""
    found = rows("numbered_attributes", (512, 4), "completep")
    plain = rows("plain", (512, 4), "completep")

    assert len(found) == len(plain)
    for each, row in plain.items():
        other = found[each.replace("blocks.", "layer_")]
        assert (row.init_std, row.learning_rate, row.eps) == (other.init_std, other.learning_rate, other.eps), each


@every_size
def test_upsampler_sums_over_channels_and_kernel(target: tuple[int, int]) -> None:
    """`nn.ConvTranspose2d(width, width, 2)`: fan-in 4 width; the rule's std at base 64 would be 0.0625, as is right."""
    found, width = rows("Upsampler", target, "mup"), target[0] / BASE[0]

    assert found["stem.weight"].parameter.role is Role.EMBEDDING
    assert found["out.weight"].parameter.role is Role.READOUT
    for layer in range(target[1]):
        row = found[f"body.{layer}.weight"]
        assert row.parameter.role is Role.HIDDEN_WEIGHT
        assert (row.parameter.base_fan_in, row.parameter.fan_in) == (4 * 64, 4 * target[0])
        assert row.init_std == pytest.approx(linear_std(4 * 64) * width**-0.5)
        assert row.learning_rate == pytest.approx(RATE / width)
    drawn = hptransfer.plan(
        zoo.Upsampler,
        base=BASE,
        target=BASE,
        parameterization="mup",
        hyperparameters={"learning_rate": 1.0},
        init="rule",
    )
    assert {row.init_std for row in drawn.rows if "body" in row.parameter.name and row.init_std} == {0.0625}


@every_rule
def test_a_factorisation_has_no_readout(rule: str) -> None:
    """Two tables and their product, which grows."""
    for width in (512, 1024):
        found = rows("Factorisation", (width, 2), rule)
        said = notes("Factorisation", (width, 2), rule)
        assert {row.parameter.role for row in found.values()} == {Role.EMBEDDING}
        assert "no readout: an output is a product of activations at zoo.py:" in said
        assert "grows as width^0.5 at init" in said


@every_rule
@every_size
def test_heads_tensors_are_summed_over_the_right_axes(target: tuple[int, int], rule: str) -> None:
    """`w_q` sums over axis 0, `w_o` over 0 and 1, so both have as many inputs as the width; no question."""
    found, width = rows("HeadsTensor", target, rule), target[0] / BASE[0]
    for layer in range(target[1]):
        q, o = (found[f"layers.{layer}.w_{each}"] for each in "qo")
        for row in (q, o):
            assert row.parameter.role is Role.HIDDEN_WEIGHT
            assert (row.parameter.base_fan_in, row.parameter.fan_in) == (64, target[0])
        assert q.init_std == pytest.approx(target[0] ** -0.5)
        assert q.learning_rate == pytest.approx(RATE / width)
        assert o.init_std == pytest.approx(target[0] ** -0.5 * branch(target, rule))
        assert o.learning_rate == pytest.approx(RATE / width * branch(target, rule))


@every_rule
def test_multihead_attention_starts_as_torch_does(rule: str) -> None:
    """Xavier's bound for 3 width x width: std sqrt(2 / (64 + 192)) at the base."""
    row = rows("mha", (512, 2), rule)["blocks.0.self_attn.in_proj_weight"]

    assert row.init_std == pytest.approx(math.sqrt(2 / (64 + 192)) * 8**-0.5)


@pytest.mark.parametrize("name", [*DECODERS, "SequentialMlp", "Upsampler", "HeadsTensor"])
def test_the_base_is_left_alone(name: str) -> None:
    """At the base `init_` changes no bit, and every rate and decay is as given."""
    build: Callable[[int, int], nn.Module] = getattr(zoo, name)
    plan = hptransfer.plan(
        build, base=BASE, target=BASE, hyperparameters={"learning_rate": RATE, "weight_decay": DECAY}
    )
    torch.manual_seed(0)
    module = build(*BASE)
    before = {each: tensor.clone() for each, tensor in module.state_dict().items()}
    plan.init_(module)

    assert all(torch.equal(tensor, before[each]) for each, tensor in module.state_dict().items())
    trained = [row for row in plan.rows if row.parameter.role is not Role.FROZEN]
    assert {(row.learning_rate, row.weight_decay) for row in trained} == {(RATE, DECAY)}
