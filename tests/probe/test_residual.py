"""The residual stream: who writes to it, behind which norm, and which norms it passes itself."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

from hptransfer.probe.findings import Writer
from hptransfer.probe.probing import probe
from tests.support import probed_models as models
from tests.support.probed_models import Bytes

Build = Callable[[int, int], nn.Module]
#: attention's projection without a bias, the feed-forward's with one
WRITERS = [
    (f"layers.{layer}.{name}.weight", *((f"layers.{layer}.{name}.bias",) if name == "feed.down" else ()))
    for layer in range(2)
    for name in ("attn.out", "feed.down")
]


def writers(build: Build) -> list[Writer]:
    """Who writes, in the order of the run."""
    answer = probe(build, (64, 2))
    assert answer.unknown == ()
    return list(answer.writers)


@pytest.mark.parametrize("form", ["plain", "parallel", "in place", "after", "depth", "constant"])
def test_both_projections_of_every_layer_write(form: str) -> None:
    """X + a + m, x + a then + m, +=, post-LN, with factors on the branch."""
    found = writers(lambda width, depth: Bytes(width, depth, form=form, positions=True))

    assert [each.parameters for each in found] == WRITERS
    assert not any(each.norm or each.normed for each in found)


@pytest.mark.parametrize(
    ("norm", "names", "centred"),
    [
        (nn.LayerNorm, ("weight", "bias"), False),
        (nn.RMSNorm, ("weight",), False),
        (models.OnePlus, ("w",), True),
        (models.NormalizedGain, ("gain",), False),
        (models.HandNorm, ("gain",), False),
        (lambda width: nn.LayerNorm(width, elementwise_affine=False), (), False),
    ],
    ids=["layer norm", "rms norm", "one plus", "unit vector", "by hand", "without gain"],
)
def test_a_norm_between_writer_and_stream(
    norm: Callable[[int], nn.Module], names: tuple[str, ...], centred: bool
) -> None:
    """Its gain and bias, whether the gain is one plus w, and that it stands there even without a gain."""

    class Block(models.Layer):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = x + self.first(self.attn(x))
            branch: torch.Tensor = self.second(self.feed(x))
            return x + branch

    class Model(Bytes):
        def __init__(self, width: int, depth: int) -> None:
            super().__init__(width, depth)
            self.layers = nn.ModuleList(Block(width, depth, index, "", norm) for index in range(depth))

    found = writers(Model)

    assert [each.parameters for each in found] == WRITERS
    assert [each.norm for each in found] == [
        tuple(f"layers.{layer}.{place}.{name}" for name in names) for layer in range(2) for place in ("first", "second")
    ]
    assert {each.normed for each in found} == {True}
    assert {each.zero_centred for each in found} == {centred}


def test_the_stream_itself_passes_norms_after_each_sum() -> None:
    """Post-LN: all of them, the last block's too; none in a pre-norm model, whose last norm is no such."""
    after = probe(lambda width, depth: Bytes(width, depth, form="after"), (64, 2))
    before = probe(Bytes, (64, 2))

    assert set(after.stream_norms) == {
        f"layers.{layer}.{place}.{kind}"
        for layer in range(2)
        for place in ("first", "second")
        for kind in ("weight", "bias")
    }
    assert before.stream_norms == ()


def test_residual_networks_of_convolutions() -> None:
    """Batch norm stands between the second convolution and the sum, also where the shortcut is a convolution."""
    found = writers(models.ResNet)

    assert [each.parameters for each in found] == [(f"blocks.{block}.conv2.weight",) for block in range(4)]
    assert [each.norm for each in found] == [
        (f"blocks.{block}.bn2.weight", f"blocks.{block}.bn2.bias") for block in range(4)
    ]


def test_experts_write_through_gates_and_scattered_sums() -> None:
    """Down projections of every expert; stacked ones are one parameter; the router does not write."""
    each = writers(lambda width, depth: models.Mixture(width, depth, models.Experts))
    stacked = writers(lambda width, depth: models.Mixture(width, depth, models.StackedExperts))

    assert {writer.parameters for writer in each} == {
        tuple(f"mixtures.{layer}.experts.{expert}.down.{kind}" for kind in ("weight", "bias"))
        for layer in range(2)
        for expert in range(4)
    }
    assert [writer.parameters for writer in stacked] == [("mixtures.0.down",), ("mixtures.1.down",)]


def test_modulated_branches_write_through_their_gate() -> None:
    """A DiT: the gate comes from the condition, which the stream does not enter, so its layer does not write."""
    found = writers(models.DiT)

    assert [each.parameters[0] for each in found] == [
        f"blocks.{layer}.{name}.weight" for layer in range(2) for name in ("attn.out_proj", "feed.down")
    ]


def test_raw_tensors_write_too() -> None:
    """`F.linear` on a parameter of a list."""
    assert [each.parameters for each in writers(models.Rotary)] == [("out.0",), ("out.1",)]


@pytest.mark.parametrize(
    "build",
    [
        models.UNet,
        models.HandGelu,
        models.Recurrent,
        lambda width, depth: models.Recurrent(width, depth, "GRU"),
        models.Cosine,
        models.Factorized,
    ],
    ids=["concatenated skips", "gelu by hand", "lstm", "gru", "two towers", "two tables"],
)
def test_other_sums_are_no_stream(build: Build) -> None:
    """Skips that are concatenated, curves written out, recurrences over time, sums of biases."""
    assert writers(build) == []


def test_low_rank_updates_and_mixed_values_do_not_write() -> None:
    """Sums inside a branch: the branch's last projection alone writes."""
    assert [each.parameters[0] for each in writers(models.Adapted)] == ["down.0.weight", "down.1.weight"]
    assert [each.parameters[0] for each in writers(models.ValueResidual)] == ["o.0.weight", "o.1.weight"]


def test_relu_passes_a_factor_and_tanh_does_not() -> None:
    """X + relu(W x): W writes. x + tanh(W x): no weight can take the factor, which is said by name."""
    relu = probe(lambda width, depth: models.Curved(width, depth, torch.relu), (64, 2))
    tanh = probe(lambda width, depth: models.Curved(width, depth, torch.tanh), (64, 2))

    assert [each.parameters[0] for each in relu.writers] == ["layers.0.weight", "layers.1.weight"]
    assert tanh.writers == ()
    assert [each.partition("`")[2].partition("`")[0] for each in tanh.unknown] == ["layers.0.weight", "layers.1.weight"]


def test_one_block_that_is_run_again_and_again() -> None:
    """Its weights are used more often the deeper the model, and write each time."""
    answer = probe(models.Looped, (64, 2))

    assert {each.parameters[0] for each in answer.writers} == {"block.attn.out.weight", "block.feed.down.weight"}
    assert "block.attn.q.weight" in answer.repeated_use
    assert "tok.weight" not in answer.repeated_use
