"""Every layer must have its residual writers; what is missing is named with patterns that add it."""

from __future__ import annotations

import re

import pytest
from torch import nn

from hptransfer.errors import UsageError
from hptransfer.models.found import Found
from hptransfer.models.shape_reading import read_model
from hptransfer.sizes import Size
from tests.support import role_models
from tests.support.role_models import Builder, Parts, linear

BASE, TARGET = Size(64, 2, 1, 1), Size(512, 8, 1, 1)
EMPTY = Found()
ATTENTION = r"layers\.\d+\.attention\.o_proj\.weight"


def writers(build: Builder, patterns: list[str], found: Found = EMPTY) -> set[str]:
    """Names of what writes the stream."""
    reading = read_model(build, BASE, TARGET, residual_writers=patterns, found=found)
    return {each.name for each in reading.parameters if each.writes_residual}


def added(build: Builder, patterns: list[str], found: Found = EMPTY) -> list[str]:
    """The patterns that a refusal asks to add."""
    with pytest.raises(UsageError, match="every layer must have its residual writers") as caught:
        writers(build, patterns, found)
    return re.findall(r"'([^']+)'", str(caught.value.findings[0].hint))


@pytest.mark.parametrize(
    ("build", "patterns", "missing"),
    [
        (
            role_models.two_stacks,
            [r"encoder\.\d+\.(out|down)\.(weight|bias)"],
            [rf"decoder\.\d+\.{name}\.{part}" for name in ("out", "down") for part in ("weight", "bias")],
        ),
        (role_models.mixture, [ATTENTION, r"layers\.\d+\.mlp\.down_proj\.weight", r".*experts\.\d+\.down_proj\.weight"],
         [r"layers\.\d+\.mlp\.shared\.down_proj\.weight"]),
        (role_models.mixture, [ATTENTION, r".*experts\.\d+\.down_proj\.weight", r".*shared\.down_proj\.weight"],
         [r"layers\.\d+\.mlp\.down_proj\.weight"]),
        (role_models.attributes, [r"layer_[01]\.(out|down)\.(weight|bias)"],
         [rf"layer_\d+\.{name}\.{part}" for name in ("out", "down") for part in ("weight", "bias")]),
        (role_models.dictionary, [r"layers\.block\d+\.(out|down)\.weight"],
         [rf"layers\.block\d+\.{name}\.bias" for name in ("out", "down")]),
    ],
    ids=["one of two stacks", "shared experts", "first dense layer", "some layers", "biases"],
)  # fmt: skip
def test_what_is_missing_is_named(build: Builder, patterns: list[str], missing: list[str]) -> None:
    """By name and outputs; with the patterns that the hint adds, nothing is missing."""
    hint = added(build, patterns)

    assert hint == missing
    assert writers(build, [*patterns, *hint])


def test_layers_without_any_writer() -> None:
    """A stack whose names are all its own: its layers are named, with what may write the stream there."""

    def build(width: int, depth: int) -> nn.Module:
        model = role_models.stack(width, depth, role_models.block)
        others = [Parts(reads=linear(width, 2 * width), writes=linear(2 * width, width)) for _ in range(depth)]
        model.others = nn.ModuleList(others)
        return model

    with pytest.raises(UsageError, match=r"matches nothing in others\.0, others\.1") as caught:
        writers(build, [r"layers\.\d+\.(out|down)\.(weight|bias)"])
    assert "others.0.writes.weight" in str(caught.value.findings[0].hint)


def test_lists_of_single_modules_are_parts_of_layers() -> None:
    """Norms and convolutions in two lists: only the convolutions write."""

    def build(width: int, depth: int) -> nn.Module:
        return Parts(
            table=nn.Embedding(16, width),
            convolutions=nn.ModuleList(nn.Conv1d(width, width, 3) for _ in range(depth)),
            norms=nn.ModuleList(nn.LayerNorm(width) for _ in range(depth)),
            head=linear(width, 16),
        )

    assert len(writers(build, [r"convolutions\.\d+\.(weight|bias)"])) == 16


def test_a_run_knows_better_than_names() -> None:
    """Writers that were found and are not given are missing; nothing else is, whatever its name."""
    given = [ATTENTION, r"layers\.\d+\.mlp\.down_proj\.weight"]
    known = ["layers.1.attention.o_proj.weight", "layers.0.mlp.down_proj.weight"]

    assert len(writers(role_models.mixture, given, Found(writers=known))) == 8 + 1
    more = Found(writers=[*known, "layers.1.mlp.experts.3.down_proj.weight"])
    assert added(role_models.mixture, given, more) == [r"layers\.\d+\.mlp\.experts\.\d+\.down_proj\.weight"]


def test_presets_are_satisfied_only_by_all_layers() -> None:
    """Names of Llama in one stack of two, the other with experts that the preset does not know."""

    def build(width: int, depth: int) -> nn.Module:
        def layer() -> nn.Module:
            attention = Parts(q_proj=linear(width, width), o_proj=linear(width, width))
            mlp = Parts(up_proj=linear(width, 2 * width), down_proj=linear(2 * width, width))
            shared = Parts(up_proj=linear(width, 2 * width), down_proj=linear(2 * width, width))
            return Parts(self_attn=attention, mlp=mlp, shared_mlp=shared)

        return role_models.around(width, nn.ModuleList(layer() for _ in range(depth)))

    with pytest.raises(UsageError, match=r"the preset `llama` leaves out layers.0.shared_mlp.down_proj") as caught:
        read_model(build, BASE, TARGET, preset="llama")
    assert r"'layers\.\d+\.shared_mlp\.down_proj\.weight'" in str(caught.value.findings[0].hint)
