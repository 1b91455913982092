"""Roles read from shapes and module types, on the meta device."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from torch import nn

from hptransfer.errors import UsageError
from hptransfer.models.shape_reading import Builder
from hptransfer.parameterization.roles import Parameter, Role
from hptransfer.recipe.model_sections import GptModel, MlpModel
from hptransfer.sizes import Size
from tests.support.reading import parameters_of, read_module

BASE = Size(64, 2, 8, 800)
TARGET = Size(256, 4, 8, 800)


def by_name(parameters: tuple[Parameter, ...]) -> dict[str, Parameter]:
    """Parameters by name."""
    return {parameter.name: parameter for parameter in parameters}


def test_decoder_roles() -> None:
    """Each parameter of the decoder has its role."""
    found = by_name(parameters_of(GptModel(kind="gpt", positions="learned"), BASE, TARGET))

    assert {name: parameter.role for name, parameter in found.items() if ".1." not in name} == {
        "embedding.weight": Role.EMBEDDING,
        "positions.weight": Role.EMBEDDING,
        "final_norm.weight": Role.OUTER_VECTOR,
        "readout.weight": Role.READOUT,
        **{
            f"blocks.{layer}.{part}.weight": Role.HIDDEN_VECTOR if part.endswith("norm") else Role.HIDDEN_WEIGHT
            for layer in (0, 2, 3)
            for part in ("attention_norm", "q", "k", "v", "attention_out", "mlp_norm", "up", "down")
        },
    }


def test_decoder_residual_writers() -> None:
    """Attention and MLP outputs write the residual stream, and every block parameter knows that it lies in a block."""
    found = by_name(parameters_of(GptModel(kind="gpt"), BASE, TARGET))

    assert {name for name, parameter in found.items() if parameter.writes_residual} == {
        f"blocks.{layer}.{part}.weight" for layer in range(4) for part in ("attention_out", "down")
    }
    assert {name for name, parameter in found.items() if not parameter.in_block} == {
        "embedding.weight",
        "final_norm.weight",
        "readout.weight",
    }


def test_mlp_roles() -> None:
    """Each parameter of the MLP has its role; it has no residual blocks, so nothing lies in one."""
    found = by_name(parameters_of(MlpModel(kind="mlp"), BASE, Size(256, 2, 8, 800)))

    assert {name: parameter.role for name, parameter in found.items()} == {
        "embedding.weight": Role.EMBEDDING,
        "input.weight": Role.EMBEDDING,
        "input.bias": Role.OUTER_VECTOR,
        "input_norm.weight": Role.OUTER_VECTOR,
        "input_norm.bias": Role.OUTER_VECTOR,
        "hidden.0.weight": Role.HIDDEN_WEIGHT,
        "hidden.0.bias": Role.HIDDEN_VECTOR,
        "hidden_norms.0.weight": Role.HIDDEN_VECTOR,
        "hidden_norms.0.bias": Role.HIDDEN_VECTOR,
        "readout.weight": Role.READOUT,
        "readout.bias": Role.READOUT_BIAS,
    }
    assert not any(parameter.in_block or parameter.writes_residual for parameter in found.values())


def test_fans_of_each_kind() -> None:
    """Fan-in and fan-out at base and target: a matrix sums its inputs, a lookup and a vector sum one."""
    found = by_name(parameters_of(GptModel(kind="gpt"), BASE, TARGET))
    fans = {
        name: (row.base_fan_in, row.fan_in, row.base_fan_out, row.fan_out)
        for name, row in found.items()
        if not name.startswith("blocks.") or name.startswith("blocks.3.")
    }

    assert fans["embedding.weight"] == (1, 1, 64, 256)
    assert fans["blocks.3.up.weight"] == (64, 256, 256, 1024)
    assert fans["blocks.3.down.weight"] == (256, 1024, 64, 256)
    assert fans["blocks.3.mlp_norm.weight"] == (1, 1, 64, 256)
    assert fans["readout.weight"] == (64, 256, 256, 256)


def test_base_inits() -> None:
    """At base, matrices have std 1/sqrt(fan-in), tables 1, gains are ones and biases zeros."""
    found = by_name(parameters_of(MlpModel(kind="mlp", context=8, embedding=32), BASE, TARGET))

    assert found["embedding.weight"].base_init_std == 1.0
    assert found["input.weight"].base_init_std == 0.0625  # 1/sqrt(8 * 32)
    assert found["hidden.0.weight"].base_init_std == 0.125  # 1/sqrt(64)
    assert (found["hidden_norms.0.weight"].init, found["hidden_norms.0.weight"].base_init_std) == ("ones", None)
    assert (found["hidden.0.bias"].init, found["hidden.0.bias"].base_init_std) == ("zeros", None)


def test_layers_that_the_base_lacks_are_read() -> None:
    """A base of depth 1 has no hidden matrix; a deeper target's are read from a deeper model of the base width."""
    found = by_name(parameters_of(MlpModel(kind="mlp"), Size(64, 1, 8, 800), TARGET))

    assert (found["hidden.2.weight"].role, found["hidden.2.weight"].base_fan_in) == (Role.HIDDEN_WEIGHT, 64)


def test_roles_do_not_depend_on_the_target() -> None:
    """A target as wide as the base has the same roles: growth is read from the base and its deltas."""
    models = (MlpModel(kind="mlp"), GptModel(kind="gpt"))
    for model in models:
        same = [(row.name, row.role) for row in parameters_of(model, BASE, BASE)]
        wide = [(row.name, row.role) for row in parameters_of(model, BASE, Size(256, 2, 8, 800))]

        assert same == wide


def test_every_decision_has_a_reason() -> None:
    """Each role says how it was decided."""
    found = by_name(parameters_of(GptModel(kind="gpt"), BASE, TARGET))

    assert found["blocks.0.up.weight"].reason == "fan-in and fan-out grow"
    assert found["readout.weight"].reason == "fan-in grows, fan-out does not"
    assert all(parameter.reason for parameter in found.values())


def test_parameters_come_in_the_order_of_the_module() -> None:
    """The order is that of named_parameters()."""
    names = [parameter.name for parameter in parameters_of(GptModel(kind="gpt"), BASE, TARGET)]

    assert names[0] == "embedding.weight"
    assert names[-2:] == ["final_norm.weight", "readout.weight"]


def test_a_large_model_takes_little_memory() -> None:
    """A 64-billion-parameter decoder is read and planned in a fresh process in under 1 GB of memory."""
    code = """
import json, math
from hptransfer.models.recipe_reading import read_recipe_model
from hptransfer.parameterization.groups import group_rows
from hptransfer.parameterization.plan import plan
from hptransfer.parameterization.tables import Parameterization
from hptransfer.recipe.model_sections import GptModel
from hptransfer.sizes import Size
base, size = Size(256, 2, 8, 800), Size(8192, 80, 8, 800)
parameters = read_recipe_model(GptModel(kind="gpt"), base, size).parameters
values = {"learning_rate": 0.01, "weight_decay": 0.1, "init_scale": 1.0, "eps": 1e-8}
rows = plan(Parameterization("completep"), base, size, parameters, values, optimizer="adamw").rows
# not ru_maxrss, which begins with the size of the process that started this one
with open("/proc/self/status") as status:
    (kilobytes,) = [int(line.split()[1]) for line in status if line.startswith("VmHWM:")]
print(json.dumps({
    "parameters": sum(math.prod(row.parameter.shape) for row in rows),
    "groups": len(group_rows(rows)),
    "kilobytes": kilobytes,
}))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    measured = json.loads(done.stdout)

    # 80 blocks of 12 D^2 and 2 D, two tables of 256 D, a final norm of D, with D = 8192
    assert measured["parameters"] == 80 * (12 * 8192**2 + 2 * 8192) + 2 * 256 * 8192 + 8192
    assert measured["groups"] == 11
    assert measured["kilobytes"] < 1_000_000


def read(build: Builder, **options: object) -> dict[str, Parameter]:
    """A hand-made module's parameters; its depth stays at the base's, so that builders may ignore it."""
    wide = Size(TARGET.width, BASE.depth, TARGET.batch_size, TARGET.tokens)
    return by_name(read_module(build, BASE, wide, **options))  # type: ignore[arg-type]  # keyword options of one test


def refusal(build: Builder, **options: object) -> UsageError:
    """The error a hand-made module earns."""
    with pytest.raises(UsageError) as caught:
        read(build, **options)
    return caught.value


class Named(nn.Module):
    """Modules under names."""

    def __init__(self, **parts: nn.Module) -> None:
        super().__init__()
        for name, part in parts.items():
            setattr(self, name, part)


def test_any_builder_is_read() -> None:
    """A module that is no built-in is read by its shapes, unequal axes included."""
    found = read(lambda width, depth: Named(a=nn.Linear(width, width**2), norm=nn.RMSNorm(width**2)))

    assert (found["a.weight"].role, found["a.weight"].fan_out, found["a.weight"].base_fan_out) == (
        Role.HIDDEN_WEIGHT,
        256**2,
        64**2,
    )
    assert found["norm.weight"].role is Role.OUTER_VECTOR


def test_finite_matrices_have_a_role() -> None:
    """A matrix of which no axis grows is left unscaled, as an input is when nothing grows."""
    found = read(lambda width, depth: Named(a=nn.Linear(3, 4), b=nn.Linear(3, width)))

    assert found["a.weight"].role is Role.EMBEDDING


def test_a_finite_matrix_inside_the_layers_is_ambiguous() -> None:
    """A router or fixed key-value projection is refused by name and shape, with the line that decides it."""

    def build(width: int, depth: int) -> nn.Module:
        return Named(layers=nn.ModuleList(nn.Linear(width, 8, bias=False) for _ in range(depth)))

    error = refusal(build)

    assert len(error.findings) == 1  # one question, whatever the number of layers
    assert "layers.0.weight (8, 256)" in str(error.findings[0].received)
    assert r"roles: {'layers\.\d+\.weight': 'router'}" in str(error.findings[0].hint)
    assert "`hidden weight` for keys and values" in str(error.findings[0].hint)


def test_named_roles_decide() -> None:
    """A role given by pattern is used where shapes do not decide."""

    def build(width: int, depth: int) -> nn.Module:
        return Named(layers=nn.ModuleList(nn.Linear(width, 8, bias=False) for _ in range(depth)))

    found = read(build, roles={r"layers\.\d+\.weight": Role.HIDDEN_WEIGHT})

    assert found["layers.1.weight"].role is Role.HIDDEN_WEIGHT
    assert found["layers.1.weight"].reason == r"named by layers\.\d+\.weight"


def test_raw_parameters_are_refused() -> None:
    """A raw nn.Parameter does not say which axis is fan-in."""

    class Raw(nn.Module):
        def __init__(self, width: int) -> None:
            super().__init__()
            self.scale = nn.Parameter(nn.Linear(width, width).weight)

    assert "scale (256, 256)" in str(refusal(lambda width, depth: Raw(width)).findings[0].received)


def test_a_tied_readout_is_one_parameter() -> None:
    """A table that also reads out has a role of its own, and no second entry under the readout's name."""

    def build(width: int, depth: int) -> nn.Module:
        module = Named(embedding=nn.Embedding(16, width), readout=nn.Linear(width, 16, bias=False))
        module.readout.weight = module.embedding.weight  # type: ignore[union-attr]  # both are modules
        return module

    found = read(build)

    assert list(found) == ["embedding.weight"]
    assert found["embedding.weight"].role is Role.TIED_EMBEDDING


def test_other_tied_weights_are_refused() -> None:
    """One tensor in two linear layers has no published rule."""

    def build(width: int, depth: int) -> nn.Module:
        module = Named(a=nn.Linear(width, width), b=nn.Linear(width, width))
        module.b.weight = module.a.weight  # type: ignore[union-attr]  # both are modules
        return module

    assert refusal(build).findings[0].received == "a.weight and b.weight are one tensor"


def test_vocabularies_that_grow_are_refused() -> None:
    """A lookup table whose number of entries follows the width has no rule."""
    error = refusal(lambda width, depth: Named(table=nn.Embedding(width, 8)))

    assert "table.weight" in str(error.findings[0].received)


def test_axes_that_change_without_width_are_refused() -> None:
    """An axis that depends on something other than width is not silently finite."""
    error = refusal(lambda width, depth: Named(a=nn.Linear(8 if width == 256 else 9, width)))

    assert "an axis changed" in str(error.findings[0].received)


def test_patterns_that_match_nothing_are_refused() -> None:
    """A misspelt residual writer would leave the depth rule unapplied."""
    error = refusal(lambda width, depth: Named(a=nn.Linear(width, width)), residual_writers=[r"b\.weight"])

    assert error.findings[0].received == r"b\.weight"


def test_convolutions_sum_over_channels_and_kernel() -> None:
    """Fan-in of a convolution is channels times kernel; the first one, from a fixed number of channels, embeds."""
    found = read(lambda width, depth: Named(stem=nn.Conv2d(3, width, 5), deep=nn.Conv1d(width, 2 * width, 7)))

    assert (found["stem.weight"].role, found["stem.weight"].fan_in) == (Role.EMBEDDING, 3 * 5 * 5)
    assert (found["deep.weight"].role, found["deep.weight"].fan_in) == (Role.HIDDEN_WEIGHT, 256 * 7)
    assert (found["deep.weight"].base_fan_in, found["deep.weight"].fan_out) == (64 * 7, 512)


def test_torch_attention_is_read() -> None:
    """The fused projection of nn.MultiheadAttention is a matrix with rows as outputs, its bias a bias."""
    found = read(lambda width, depth: Named(attention=nn.MultiheadAttention(width, width // 16)))

    fused = found["attention.in_proj_weight"]
    assert (fused.role, fused.fan_in, fused.fan_out) == (Role.HIDDEN_WEIGHT, 256, 3 * 256)
    assert found["attention.in_proj_bias"].init == "zeros"
    assert found["attention.out_proj.weight"].role is Role.HIDDEN_WEIGHT


def test_recurrent_layers_are_read() -> None:
    """Weights of an LSTM have rows as outputs: input weights embed, recurrent ones are hidden."""
    found = read(lambda width, depth: Named(rnn=nn.LSTM(8, width)))

    assert {name: parameter.role for name, parameter in found.items()} == {
        "rnn.weight_ih_l0": Role.EMBEDDING,
        "rnn.weight_hh_l0": Role.HIDDEN_WEIGHT,
        "rnn.bias_ih_l0": Role.OUTER_VECTOR,
        "rnn.bias_hh_l0": Role.OUTER_VECTOR,
    }


def test_several_readouts() -> None:
    """Each linear layer from a growing to a fixed axis reads out, and so does its bias."""
    found = read(lambda width, depth: Named(policy=nn.Linear(width, 7), value=nn.Linear(width, 1)))

    assert [parameter.role for parameter in found.values()] == [Role.READOUT, Role.READOUT_BIAS] * 2


def test_buffers_are_ignored() -> None:
    """Running statistics are no parameters."""
    found = read(lambda width, depth: Named(norm=nn.BatchNorm1d(width)))

    assert list(found) == ["norm.weight", "norm.bias"]


class Experts(nn.Module):
    """A router and stacked experts (experts x inputs x outputs), as raw parameters in layers."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.router = nn.Linear(width, 8, bias=False)
        self.up = nn.Parameter(nn.init.zeros_(nn.Embedding(8 * width, 3 * width).weight).detach().view(8, width, -1))


def experts(width: int, depth: int) -> nn.Module:
    """A stack of mixtures of experts."""
    return Named(layers=nn.ModuleList(Experts(width) for _ in range(depth)))


def test_stacked_experts_ask_one_question() -> None:
    """Which of two growing axes is summed over is asked once; the router has as many outputs as there are experts."""
    findings = refusal(experts).findings

    assert [str(finding.received).split(" ")[0] for finding in findings] == ["layers.0.up"]
    assert r"roles: {'layers\.\d+\.up': 'hidden weight, fan-in 1'}" in str(findings[0].hint)


def test_named_experts_are_read() -> None:
    """With both lines, an expert's own fan-in and fan-out count and the router has its role."""
    roles = {r"layers\.\d+\.up": "hidden weight, fan-in 1", r"layers\.\d+\.router\.weight": "router"}
    found = read(experts, roles=roles)

    up = found["layers.0.up"]
    assert (up.fan_in, up.fan_out, up.base_fan_in, up.base_fan_out) == (256, 768, 64, 192)
    assert found["layers.1.router.weight"].role is Role.ROUTER


def test_raw_vectors_need_an_init() -> None:
    """A raw vector could be a gain or a bias, and the plan must know which."""

    class Scaled(nn.Module):
        def __init__(self, width: int) -> None:
            super().__init__()
            self.scale = nn.Parameter(nn.RMSNorm(width).weight.detach())

    def build(width: int, depth: int) -> nn.Module:
        return Scaled(width)

    assert "'scale': 'outer vector, ones'" in str(refusal(build).findings[0].hint)
    assert "init is not known" in str(refusal(build, roles={"scale": "outer vector"}).findings[0].received)
    assert read(build, roles={"scale": "outer vector, ones"})["scale"].init == "ones"


@pytest.mark.parametrize("text", ["hidden", "readout, fan-in x", "embedding, ones, fan-in 1", ""])
def test_roles_have_a_form(text: str) -> None:
    """A role that is misspelt is refused with the roles there are."""
    error = refusal(lambda width, depth: Named(a=nn.Linear(width, width)), roles={"a.weight": text})

    assert "outer vector" in error.findings[0].rule


def test_a_readout_may_start_at_zero() -> None:
    """A role with an init overrides the module's usual one."""
    found = read(lambda width, depth: Named(head=nn.Linear(width, 5)), roles={r"head\.weight": "readout, zeros"})

    assert (found["head.weight"].init, found["head.weight"].base_init_std) == ("zeros", None)


def test_width_must_change_shapes() -> None:
    """A function that ignores its width would silently train in the standard parameterization."""
    assert "width must change" in refusal(lambda width, depth: Named(a=nn.Linear(3, 4))).findings[0].rule


def test_depth_must_change_layers() -> None:
    """A function that ignores its depth is refused when another depth is planned."""
    with pytest.raises(UsageError, match="depth must change"):
        read_module(lambda width, depth: Named(a=nn.Linear(3, width)), BASE, TARGET)


def test_a_forgotten_axis_is_named() -> None:
    """A function whose feed-forward size does not follow the width: the error names that parameter, not the readout."""

    def build(width: int, depth: int) -> nn.Module:
        layers = nn.ModuleList(Named(up=nn.Linear(width, 128), down=nn.Linear(128, width)) for _ in range(depth))
        return Named(layers=layers, head=nn.Linear(width, 5))

    findings = refusal(build).findings

    assert [str(finding.received).split(" ")[0] for finding in findings] == [
        "layers.0.up.weight",
        "layers.0.down.weight",
    ]


def test_the_target_may_be_the_base() -> None:
    """At the base size itself axes are still known to grow, because they are compared with twice the width."""
    found = by_name(parameters_of(GptModel(kind="gpt"), BASE, BASE))

    assert found["blocks.0.q.weight"].role is Role.HIDDEN_WEIGHT
    assert found["readout.weight"].role is Role.READOUT


def test_models_that_cannot_be_built_are_reported() -> None:
    """An exception of the user's code becomes an error that says at which size."""

    def build(width: int, depth: int) -> nn.Module:
        raise AssertionError("heads must divide width")

    received = str(refusal(build).findings[0].received)
    line = build.__code__.co_firstlineno + 1
    assert received.startswith("width 64, depth 2: ")
    assert received.endswith(f"test_shape_reading.py:{line} in build: AssertionError: heads must divide width")
