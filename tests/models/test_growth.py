"""What repeats with depth, by structure: numbers anywhere in a name, two stacks, layers of several kinds."""

from __future__ import annotations

import re

import pytest
from torch import nn

from hptransfer.errors import UsageError
from hptransfer.models.comparison import SharedDepthError
from hptransfer.models.found import Found
from hptransfer.models.shape_reading import read_model
from hptransfer.parameterization.roles import Parameter, Role
from hptransfer.sizes import Size
from tests.support import role_models
from tests.support.role_models import Builder, Parts, linear, stack

BASE = Size(64, 2, 1, 1)
DEPTHS = (1, 2, 8)


def read(build: Builder, depth: int, *, width: int = 512, base: Size = BASE) -> dict[str, Parameter]:
    """By name, at one depth."""
    return {each.name: each for each in read_model(build, base, Size(width, depth, 1, 1)).parameters}


@pytest.mark.parametrize("depth", DEPTHS)
@pytest.mark.parametrize("width", [64, 512])
@pytest.mark.parametrize("base_depth", [1, 2, 3])
def test_names_that_are_numbers(width: int, depth: int, base_depth: int) -> None:
    """First, hidden and last layer of an nn.Sequential, whose numbers move with the depth, at every depth."""
    found = read(role_models.sequential, depth, width=width, base=Size(64, base_depth, 1, 1))
    matrices = [each for name, each in found.items() if name.endswith("weight")]

    assert [each.role for each in matrices] == [Role.EMBEDDING, *[Role.HIDDEN_WEIGHT] * depth, Role.READOUT]
    assert [each.base_fan_in for each in matrices] == [64] * (depth + 2)
    assert [each.fan_in for each in matrices] == [64, *[width] * (depth + 1)]
    biases = [each.role for name, each in found.items() if name.endswith("bias")]
    assert biases == [Role.OUTER_VECTOR, *[Role.HIDDEN_VECTOR] * depth, Role.READOUT_BIAS]


def test_numbers_within_numbers() -> None:
    """A last layer that holds a hidden matrix and the readout: the readout stays one."""
    found = read(role_models.nested_sequential, 8)

    assert found["0.0.weight"].role is Role.EMBEDDING
    assert found["9.0.weight"].role is Role.HIDDEN_WEIGHT
    assert (found["9.2.weight"].role, found["9.2.bias"].role) == (Role.READOUT, Role.READOUT_BIAS)


@pytest.mark.parametrize("build", [role_models.sequential_blocks, role_models.attributes, role_models.dictionary])
def test_layers_under_any_name(build: Builder) -> None:
    """Blocks in nn.Sequential, as attributes `layer_0` and in nn.ModuleDict: they lie in layers, nothing else does."""
    reading = read_model(build, BASE, Size(512, 8, 1, 1), residual_writers=[r".*\.(out|down)\.(weight|bias)"])
    inside = [each.name for each in reading.parameters if each.in_block]
    outside = [each for each in reading.parameters if not each.in_block]

    assert len(inside) == 8 * 8  # a norm's gain and bias, four matrices, two biases
    assert sum(each.writes_residual for each in reading.parameters) == 8 * 4
    assert [each.role for each in outside if len(each.shape) == 2] == [Role.EMBEDDING, Role.READOUT]


def test_two_stacks_of_different_depth() -> None:
    """Encoder and decoder repeat, whichever is deeper."""
    found = read(role_models.two_stacks, 8)

    assert found["decoder.15.norm.weight"].role is Role.HIDDEN_VECTOR
    assert found["encoder.7.norm.weight"].role is Role.HIDDEN_VECTOR


def test_stages_keep_their_number() -> None:
    """`layer1` and `layer2` are stages and no layers: each has its own fans, and its blocks repeat."""
    reading = read_model(
        role_models.residual_stages, BASE, Size(512, 4, 1, 1), residual_writers=[r"layer\d\.\d+\.conv2\.weight"]
    )
    found = {each.name: each for each in reading.parameters}

    assert found["layer2.3.conv1.weight"].base_fan_in == 128 * 9
    assert found["layer1.3.conv1.weight"].base_fan_in == 64 * 9
    # the first block of a stage has another shape than the others, and is a block all the same
    assert {name for name, each in found.items() if not each.in_block} == {"stem.weight", "stem.bias", "fc.weight"}


def test_dense_layers_before_sparse_ones() -> None:
    """What stands once, in a layer that repeats otherwise, lies in a block: it has the depth factor of the others."""
    reading = read_model(
        role_models.mixture, BASE, Size(512, 8, 1, 1), residual_writers=[r"layers\.\d+\..*(o_proj|down_proj)\.weight"]
    )

    assert {each.name for each in reading.parameters if not each.in_block} == {"table.weight", "head.weight"}
    assert next(each for each in reading.parameters if each.name == "layers.0.mlp.down_proj.weight").writes_residual


def test_layers_of_recurrent_modules() -> None:
    """The layers of an LSTM are numbers in its parameters' names."""

    def build(width: int, depth: int) -> nn.Module:
        return nn.LSTM(width, width, num_layers=depth)

    found = read(build, 8)
    assert found["weight_ih_l7"].role is Role.HIDDEN_WEIGHT
    assert found["bias_hh_l7"].role is Role.HIDDEN_VECTOR


@pytest.mark.parametrize("name", ["sequential", "attributes", "mixture", "residual_stages"])
def test_roles_at_the_base_depth_and_beyond(name: str) -> None:
    """A parameter that both depths have and that is no last layer has one role at both."""
    build = role_models.MODELS[name]
    shallow, deep = read(build, 2), read(build, 8)
    shared = [each for each in shallow if each in deep and not re.match(r"6\.", each)]  # the readout of depth 2

    assert [shallow[each].role for each in shared] == [deep[each].role for each in shared]


def periodic(width: int, depth: int) -> nn.Module:
    """Every fourth layer has attention."""
    layers = [
        Parts(attention=linear(width, width)) if i % 4 == 3 else Parts(state=linear(width, width)) for i in range(depth)
    ]
    return role_models.around(width, nn.ModuleList(layers))


def test_kinds_of_layers_that_the_base_lacks() -> None:
    """Nothing was tuned on a kind of layer that the base has none of; the smallest depth that has it is named."""
    with pytest.raises(UsageError, match="every kind of layer must occur at the base size") as caught:
        read(periodic, 8)

    (finding,) = caught.value.findings
    assert "layers.3.attention.weight at depth 8" in str(finding.received)
    assert str(finding.hint).endswith("4 is the smallest")
    assert read(periodic, 8, base=Size(64, 4, 1, 1))["layers.7.attention.weight"].role is Role.HIDDEN_WEIGHT


def looped(width: int, depth: int) -> nn.Module:
    """One layer, used as often as the depth says."""
    layer = linear(width, width)
    return role_models.around(width, nn.ModuleList([layer] * depth))


def test_shared_layers() -> None:
    """A depth that changes no parameter is an error of its own, and none where layers are known to be shared."""
    with pytest.raises(SharedDepthError, match="depth must change the number of layers"):
        read(looped, 8)
    known = read_model(looped, BASE, Size(512, 8, 1, 1), found=Found(shared_layers=True))

    assert [each.name for each in known.parameters] == ["table.weight", "layers.0.weight", "head.weight"]


def test_writers_that_a_run_found_apply_at_any_depth() -> None:
    """Names of the base stand for their place in every layer, and one expert of a list for all."""
    found = Found(
        writers=[
            "layers.0.attention.o_proj.weight",
            "layers.0.mlp.down_proj.weight",
            "layers.1.attention.o_proj.weight",
            "layers.1.mlp.experts.5.down_proj.weight",
            "layers.1.mlp.shared.down_proj.weight",
        ]
    )
    reading = read_model(role_models.mixture, BASE, Size(512, 8, 1, 1), found=found)

    # one per attention, one dense, and in seven layers eight experts and a shared one
    assert sum(each.writes_residual for each in reading.parameters) == 8 + 1 + 7 * 9


def test_a_sequential_inside_a_layer_is_no_list_of_experts() -> None:
    """The second of two square matrices writes the stream, the first does not."""

    def build(width: int, depth: int) -> nn.Module:
        return stack(width, depth, lambda w: Parts(mlp=nn.Sequential(linear(w, w), nn.ReLU(), linear(w, w))))

    found = Found(writers=["layers.0.mlp.2.weight", "layers.1.mlp.2.weight"])
    reading = read_model(build, BASE, Size(512, 4, 1, 1), found=found)

    assert [each.name for each in reading.parameters if each.writes_residual] == [
        f"layers.{i}.mlp.2.weight" for i in range(4)
    ]
