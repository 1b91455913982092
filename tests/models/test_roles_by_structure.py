"""Roles that follow from what stands beside a parameter, and those that a run's findings decide."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from hptransfer.errors import UsageError
from hptransfer.models.found import Found
from hptransfer.models.shape_reading import read_model
from hptransfer.parameterization.plan import plan
from hptransfer.parameterization.roles import Parameter, Role
from hptransfer.parameterization.tables import Parameterization
from hptransfer.sizes import Size
from tests.support import role_models
from tests.support.role_models import Builder, Parts, linear, raw, stack

BASE, TARGET = Size(64, 2, 1, 1), Size(512, 8, 1, 1)
EMPTY = Found()


def read(build: Builder, found: Found = EMPTY, **options: object) -> dict[str, Parameter]:
    """By name."""
    return {each.name: each for each in read_model(build, BASE, TARGET, found=found, **options).parameters}  # type: ignore[arg-type]  # options of one test


def test_low_rank_pairs_are_hidden_weights() -> None:
    """MLA: what reads the stream has m_in = 8, what has a fixed rank as its input m_in = 1; both keep depth rules."""
    found = read(role_models.mixture, residual_writers=[r".*(o_proj|down_proj)\.weight"])
    parts = {name: found[f"layers.7.attention.{name}.weight"] for name in ("q_a", "q_b", "kv_a", "kv_b")}

    assert {each.role for each in parts.values()} == {Role.HIDDEN_WEIGHT}
    assert {name: each.fan_in / each.base_fan_in for name, each in parts.items()} == {
        "q_a": 8,
        "q_b": 1,
        "kv_a": 8,
        "kv_b": 1,
    }
    assert all(each.in_block for each in parts.values())


def test_adapters_are_hidden_weights() -> None:
    """LoRA: A's fan-in grows, B's is the rank (here a fixed axis); the frozen matrix is left alone."""
    found = read(role_models.adapters)

    assert found["layers.0.base.weight"].role is Role.FROZEN
    assert (found["layers.0.lora_a.weight"].role, found["layers.0.lora_a.weight"].fan_in) == (Role.HIDDEN_WEIGHT, 512)
    assert (found["layers.0.lora_b.weight"].role, found["layers.0.lora_b.weight"].fan_in) == (Role.HIDDEN_WEIGHT, 4)


def test_routers_and_gates() -> None:
    """As many outputs as experts stand beside it, listed or stacked, or a single one."""
    assert read(role_models.mixture)["layers.7.mlp.gate.weight"].role is Role.ROUTER
    assert read(role_models.gated)["layers.7.gate.weight"].role is Role.ROUTER
    summed = Found(summed_axes={"layers.0.up": (1,), "layers.0.down": (1,)})
    assert read(role_models.stacked_experts, summed)["layers.7.router.weight"].role is Role.ROUTER


def test_raw_routers() -> None:
    """Transformers stores the router as a raw matrix: its inputs are the axis that grows."""
    summed = Found(summed_axes={"layers.0.gate_up": (2,), "layers.0.down": (2,)})
    router = read(role_models.stacked_experts_by_output, summed)["layers.7.router.weight"]

    assert (router.role, router.fan_in, router.fan_out) == (Role.ROUTER, 512, 4)


def test_keys_and_values_of_fixed_heads() -> None:
    """Two of a shape beside a square matrix are keys and values."""
    keys = read(role_models.fixed_key_values)["layers.7.k.weight"]

    assert (keys.role, keys.fan_in, keys.fan_out) == (Role.HIDDEN_WEIGHT, 512, 32)


def test_state_spaces() -> None:
    """Mamba: only A_log and D are raw; x_proj goes on through dt_proj, the convolution is depthwise."""
    found = read(role_models.state_space, Found(summed_axes={"layers.0.A_log": (), "layers.0.D": ()}))
    layer = {name.removeprefix("layers.7."): each for name, each in found.items() if name.startswith("layers.7.")}

    assert {name: (each.role, each.fan_in // each.base_fan_in) for name, each in layer.items()} == {
        "A_log": (Role.HIDDEN_VECTOR, 1),
        "D": (Role.HIDDEN_VECTOR, 1),
        "in_proj.weight": (Role.HIDDEN_WEIGHT, 8),
        "conv1d.weight": (Role.HIDDEN_WEIGHT, 1),
        "conv1d.bias": (Role.HIDDEN_VECTOR, 1),
        "x_proj.weight": (Role.HIDDEN_WEIGHT, 8),
        "dt_proj.weight": (Role.HIDDEN_WEIGHT, 1),
        "dt_proj.bias": (Role.HIDDEN_VECTOR, 1),
        "out_proj.weight": (Role.HIDDEN_WEIGHT, 8),
    }


def test_what_a_run_saw_summed_decides() -> None:
    """Tensors for einsum: width is summed over, and heads times head_dim."""
    summed = {"layers.0.w_q": (0,), "layers.1.w_o": (0, 1)}  # of any layer of the base
    found = read(role_models.heads_tensors, Found(summed_axes=summed))

    for name in ("w_q", "w_o"):
        each = found[f"layers.7.{name}"]
        assert (each.role, each.base_fan_in, each.fan_in) == (Role.HIDDEN_WEIGHT, 64, 512)


def test_tables_seen_reading_out() -> None:
    """A table whose transpose is multiplied in `forward` is tied, though no other module has it."""
    found = read(role_models.two_stacks, Found(readouts=["table.weight", "head.weight"]))

    assert (found["table.weight"].role, found["head.weight"].role) == (Role.TIED_EMBEDDING, Role.READOUT)


def test_rows_for_every_example_are_embeddings() -> None:
    """A class token and a table of positions with an axis for the batch."""
    found = read(role_models.tokens_and_positions)

    assert (found["cls"].role, found["positions"].role) == (Role.EMBEDDING, Role.EMBEDDING)


def test_ties_in_either_order() -> None:
    """Whichever comes first, table or readout, it is one tied table with the fans of a lookup."""

    def build(width: int, depth: int, *, first: str) -> nn.Module:
        parts = {"table": nn.Embedding(16, width), "head": linear(width, 16)}
        parts["head"].weight = parts["table"].weight
        layers = nn.ModuleList(linear(width, width) for _ in range(depth))
        return Parts(**dict(sorted(parts.items(), key=lambda each: each[0] != first)), layers=layers)

    for first in ("table", "head"):
        tied = read(lambda width, depth, first=first: build(width, depth, first=first))[f"{first}.weight"]  # type: ignore[misc]  # bound per turn
        assert (tied.role, tied.fan_in, tied.fan_out, tied.base_fan_out) == (Role.TIED_EMBEDDING, 1, 512, 64)


def test_tables_of_two_stacks_are_one() -> None:
    """An encoder and a decoder may look up one table, and it may read out too."""

    def build(width: int, depth: int, readout: bool = False) -> nn.Module:
        model = Parts(
            shared=nn.Embedding(16, width),
            decoder=Parts(table=nn.Embedding(16, width)),
            layers=nn.ModuleList(linear(width, width) for _ in range(depth)),
            head=linear(width, 16),
        )
        model.decoder.table.weight = model.shared.weight  # type: ignore[union-attr]  # both are modules
        if readout:
            model.head.weight = model.shared.weight  # type: ignore[union-attr]  # both are modules
        return model

    assert read(build)["shared.weight"].role is Role.EMBEDDING
    assert read(lambda width, depth: build(width, depth, True))["shared.weight"].role is Role.TIED_EMBEDDING


def test_one_module_in_two_places_is_no_tie() -> None:
    """Torch reports its weights once."""

    def build(width: int, depth: int) -> nn.Module:
        model = stack(width, depth, lambda w: linear(w, w))
        model.again = model.layers[0]  # type: ignore[index]  # a list of modules
        return model

    assert read(build)["layers.0.weight"].role is Role.HIDDEN_WEIGHT


def test_a_forgotten_inner_size_is_asked() -> None:
    """Where nothing in a layer grows on both sides, a fixed inner size may have been left behind."""
    with pytest.raises(UsageError) as caught:
        read(lambda width, depth: stack(width, depth, lambda w: Parts(up=linear(w, 96), down=linear(96, w))))

    assert [str(each.received).split(" ")[0] for each in caught.value.findings] == [
        "layers.0.up.weight",
        "layers.0.down.weight",
    ]


def test_raw_vectors_under_own_init() -> None:
    """A raw gain needs no init from its user where the model's own is kept: it is read, at 1e-4."""

    def build(width: int, depth: int) -> nn.Module:
        def layer(w: int) -> nn.Module:
            scale = nn.Parameter(torch.full((w,), 1e-4))
            return Parts(up=linear(w, w), scale=scale)

        return stack(width, depth, layer)

    scale = read(build, init="own")["layers.7.scale"]

    assert (scale.role, scale.init) == (Role.HIDDEN_VECTOR, "constant")
    assert scale.init_value == pytest.approx(1e-4)


def test_own_inits_of_layers_under_any_name() -> None:
    """`layer_7` has the init law of `layer_0`, though no such name is in the base."""
    weight = read(role_models.attributes, init="own")["layer_7.up.weight"]

    # torch draws uniformly within 1/sqrt(fan-in): std 1/sqrt(3 fan-in)
    assert weight.init == "uniform"
    assert weight.base_init_std == pytest.approx((3 * 64) ** -0.5)


@pytest.mark.parametrize("name", ["mup", "completep"])
def test_printed_numbers_follow_printed_rules(name: str) -> None:
    """Under Table 8 of Tensor Programs V a hidden weight's rate is 1/m_in; what has a fixed input keeps its rate."""
    parameters = read_model(
        role_models.adapters, BASE, TARGET, residual_writers=[r".*\.(base|lora_b)\.weight"]
    ).parameters
    values = {"learning_rate": 0.01, "weight_decay": 0.1, "init_scale": 1.0, "eps": 1e-8}
    wanted = Size(512, 2 if name == "mup" else 8, 1, 1)
    rows = {
        row.parameter.name: row
        for row in plan(Parameterization(name), BASE, wanted, parameters, values, optimizer="adamw").rows
    }

    assert rows["layers.0.lora_a.weight"].learning_rate == pytest.approx(0.01 / 8)
    # B writes the stream: CompleteP's 1/m_L = 1/4 is absorbed; its fan-in, the rank, does not grow
    assert rows["layers.0.lora_b.weight"].learning_rate == pytest.approx(0.01 if name == "mup" else 0.01 / 4)


def test_one_output_that_is_raw_is_asked() -> None:
    """Width x 1 may be a readout: it is never taken for a vector."""
    with pytest.raises(UsageError, match="readout, fan-in 0"):
        read(
            lambda width, depth: Parts(
                table=nn.Embedding(16, width),
                layers=nn.ModuleList(linear(width, width) for _ in range(depth)),
                head=raw(width, 1),
            )
        )
