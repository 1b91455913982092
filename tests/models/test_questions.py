"""Hints answer for the parameters they name and no others; answers that the axes contradict are refused."""

from __future__ import annotations

import re

import pytest
import torch
from torch import nn

from hptransfer.errors import UsageError
from hptransfer.models.api import plan
from hptransfer.models.shape_reading import read_model
from hptransfer.parameterization.roles import Parameter, Role
from hptransfer.sizes import Size
from tests.support import role_models, table_models, zoo
from tests.support.role_models import Builder, Parts, raw, stack

BASE, TARGET = Size(64, 2, 1, 1), Size(512, 8, 1, 1)
NO_PATTERN = "no pattern is right at every depth"


def refusal(build: Builder, size: Size = TARGET, **options: object) -> UsageError:
    """The error that reading earns."""
    with pytest.raises(UsageError) as caught:
        read_model(build, BASE, size, **options)  # type: ignore[arg-type]  # options of one test
    return caught.value


def pasted(error: UsageError) -> dict[str, str]:
    """The roles that the hints say, as they would be pasted into a recipe."""
    lines = [re.search(r"`roles: \{(.*?)\}` \(", str(finding.hint)) for finding in error.findings]
    pairs = [re.findall(r"'([^']+)': '([^']+)'", line[1]) for line in lines if line]
    return {pattern: role for each in pairs for pattern, role in each}


def answered(build: Builder, size: Size) -> tuple[Parameter, ...]:
    """What is read once every hint is pasted."""
    try:
        return read_model(build, BASE, size).parameters
    except UsageError as error:
        roles = pasted(error)
    return read_model(build, BASE, size, roles=roles).parameters


def brought(name: str) -> Builder:
    """A model of the roles' collection, of the users' zoo, of their recipes, or a family of transformers."""
    kind, _, own = name.partition(":")
    if kind == "roles":
        return role_models.MODELS[own]
    if kind == "huggingface":
        pytest.importorskip("transformers", reason="needs the extra `hf`")
        from tests.support.families import family

        return family(own).build
    found: Builder = getattr(zoo if kind == "zoo" else table_models, own)
    return found


BROUGHT = [
    *(f"roles:{name}" for name in sorted(set(role_models.MODELS) - {"own_linear"})),
    *("zoo:SequentialMlp", "zoo:plain", "zoo:biased_gate", "zoo:layer_scale", "zoo:numbered_attributes"),
    *("zoo:mha", "zoo:post_norm", "zoo:Upsampler", "zoo:HeadsTensor", "zoo:gain_one_plus_w"),
    *("tables:Seq", "tables:Tied", "tables:FixedHeads", "tables:Conv", "tables:Raw", "tables:Mamba", "tables:BinHead"),
    *(f"huggingface:{name}" for name in ("gpt2", "llama", "mixtral", "deepseek_v3", "mamba", "bloom", "gpt_oss")),
]


@pytest.mark.parametrize("size", [BASE, Size(512, 2, 1, 1), Size(64, 8, 1, 1), TARGET], ids=str)
@pytest.mark.parametrize("name", BROUGHT)
def test_pasted_hints_keep_the_invariants(name: str, size: Size) -> None:
    """No readout lost, no matrix that grows on both sides an embedding, no m_in = 1 where the input grows."""
    parameters = answered(brought(name), size)
    wide = size.width != BASE.width

    assert any(each.role in (Role.READOUT, Role.TIED_EMBEDDING) for each in parameters)
    for each in parameters if wide else ():
        grows = each.fan_in != each.base_fan_in, each.fan_out != each.base_fan_out
        assert not (each.role is Role.EMBEDDING and grows[0]), each
        assert not (each.role is Role.READOUT and not grows[0]), each
        if each.role in (Role.HIDDEN_WEIGHT, Role.ROUTER):
            # what has m_in = 1 has a fixed axis for its input
            assert grows[0] or each.fan_in in each.shape or each.fan_in in (4, 9), each


@pytest.mark.parametrize("name", sorted(role_models.MODELS))
def test_hints_match_what_they_are_about(name: str) -> None:
    """Each pattern matches parameters that a question is about, at the base's depth, twice that and the target's."""
    build = role_models.MODELS[name]
    try:
        read_model(build, BASE, TARGET)
        return
    except UsageError as error:
        roles = pasted(error)
    with torch.device("meta"):
        names = {depth: [each for each, _ in build(64, depth).named_parameters()] for depth in (2, 4, 8)}
    settled = (
        {each.name for each in answered(build, TARGET) if not each.reason.startswith("named by")} if roles else set()
    )

    for pattern in roles:
        assert all(any(re.fullmatch(pattern, each) for each in of_depth) for of_depth in names.values())
        assert not [each for each in names[8] if re.fullmatch(pattern, each) and each in settled]


def test_axes_come_from_those_that_grow() -> None:
    """Tensors for einsum: width first, and heads with head_dim; stacked experts in either order."""
    assert pasted(refusal(role_models.heads_tensors)) == {
        r"layers\.\d+\.w_q": "hidden weight, fan-in 0",
        r"layers\.\d+\.w_o": "hidden weight, fan-in 0+1",
    }
    assert pasted(refusal(role_models.stacked_experts)) == {
        r"layers\.\d+\.up": "hidden weight, fan-in 1",
        r"layers\.\d+\.down": "hidden weight, fan-in 1",
    }
    assert pasted(refusal(role_models.stacked_experts_by_output)) == {
        r"layers\.\d+\.gate_up": "hidden weight, fan-in 2",
        r"layers\.\d+\.down": "hidden weight, fan-in 2",
    }


def test_biases_of_experts_are_no_routers() -> None:
    """As many rows as experts, and as long as the stream: what stands beside stacked experts is asked."""
    assert pasted(refusal(role_models.stacked_biases)) == {
        r"layers\.\d+\.up": "hidden weight, fan-in 1",
        r"layers\.\d+\.up_bias": "hidden weight, fan-in 0",
        r"layers\.\d+\.down": "hidden weight, fan-in 1",
        r"layers\.\d+\.down_bias": "hidden weight, fan-in 0",
        r"layers\.\d+\.router": "router, fan-in 1",
    }


def test_layouts_are_those_of_the_first() -> None:
    """A square stack is laid out as the one before it, whose longer side tells outputs from inputs."""

    def build(width: int, depth: int) -> nn.Module:
        def layer(w: int) -> nn.Module:
            return Parts(experts=Parts(gate_up=raw(4, 2 * w, w), down=raw(4, w, w)), norm=nn.LayerNorm(w))

        return stack(width, depth, layer)

    assert set(pasted(refusal(build)).values()) == {"hidden weight, fan-in 2"}


def test_a_raw_readout_is_suggested_as_one() -> None:
    """Where no other readout is known, a raw matrix outside the layers may be it."""
    assert pasted(refusal(role_models.raw_head)) == {"head": "readout, fan-in 1"}


def test_names_that_move_have_no_pattern() -> None:
    """No pattern tells numbers of an nn.Sequential apart at every depth: the hint says what to do instead."""
    error = refusal(role_models.own_linear)

    assert not pasted(error)
    assert all(NO_PATTERN in str(finding.hint) for finding in error.findings)


def test_all_questions_are_in_the_message() -> None:
    """From Python the refusal says what the command line does: every question, with its line."""
    with pytest.raises(UsageError) as caught:
        plan(role_models.stacked_experts, base=(64, 2), target=(512, 8), hyperparameters={"learning_rate": 0.01})

    said = str(caught.value)
    assert said.count("received: layers.0.") == len(caught.value.findings) == 2
    assert said.count(r"roles: {'layers\.\d+\.") == 2
    assert "(): " not in said


@pytest.mark.parametrize(
    ("build", "pattern", "role", "why", "right"),
    [
        (role_models.sequential, r"\d+\.weight", "embedding", "fan-in grows and its fan-out grows", "hidden weight"),
        (role_models.sequential, r"18\.weight", "embedding", "fan-in grows and its fan-out is fixed", "readout"),
        (role_models.sequential, r"18\.weight", "hidden weight", "it reads out", "readout"),
        (role_models.sequential, r"2\.weight", "hidden vector", "it is a matrix", "hidden weight"),
        (role_models.sequential, r"2\.weight", "readout", "fan-in grows and its fan-out grows", "hidden weight"),
        (role_models.upsampler, r"body\.\d+\.weight", "hidden weight, fan-in 2", "other axes", "hidden weight"),
        (role_models.heads_tensors, r"layers\.\d+\.w_q", "hidden weight, fan-in 2", "is fixed while", "fan-in 0"),
        (role_models.heads_tensors, r"layers\.\d+\.w_o", "embedding", "two of its axes grow", "fan-in 0+1"),
        (role_models.heads_tensors, r"layers\.\d+\.w_o", "hidden vector", "no vector", "fan-in 0+1"),
        (role_models.heads_tensors, r"layers\.\d+\.w_o", "hidden weight, fan-in 3", "no axis 3", "fan-in 0"),
        (role_models.raw_head, "head", "readout, fan-in 0", "its inputs, is fixed", "readout, fan-in 1"),
        (role_models.raw_head, "head", "embedding, fan-in 1", "its inputs, grows", "readout, fan-in 1"),
        (role_models.raw_head, r"table\.weight", "readout", "looked up", "embedding"),
    ],
)
def test_answers_must_agree_with_the_axes(build: Builder, pattern: str, role: str, why: str, right: str) -> None:
    """The refusal names the parameter, the pattern and the right role."""
    finding = refusal(build, roles={pattern: role}).findings[0]

    assert finding.rule == "a role that is named must agree with the axes that grow"
    assert why in str(finding.received)
    assert f"'{pattern}' makes " in str(finding.received)
    assert right in str(finding.hint)


def test_depth_rules_are_not_given_up() -> None:
    """`embedding` inside a layer has no rule for depth, so it is refused where such rules apply."""
    roles = {r"layers\.\d+\.lora_b\.weight": "embedding"}
    writers = [r"layers\.\d+\.(base|lora_b)\.weight"]

    assert "rules for depth" in str(
        refusal(role_models.adapters, roles=roles, residual_writers=writers).findings[0].received
    )


def test_answers_that_agree_are_taken() -> None:
    """A router may be named for keys and values, several axes may be summed over, an init may be given."""
    roles = {r"layers\.\d+\.scores\.weight": "router"}
    found = {each.name: each for each in read_model(role_models.bottlenecks, BASE, TARGET, roles=roles).parameters}
    assert found["layers.0.scores.weight"].role is Role.ROUTER

    roles = {r"layers\.\d+\.w_q": "hidden weight, fan-in 0", r"layers\.\d+\.w_o": "hidden weight, fan-in 0+1, zeros"}
    found = {each.name: each for each in read_model(role_models.heads_tensors, BASE, TARGET, roles=roles).parameters}
    out = found["layers.0.w_o"]
    assert (out.base_fan_in, out.fan_in, out.fan_out, out.init) == (64, 512, 512, "zeros")
