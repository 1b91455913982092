"""Fan-in by module type: as many inputs as a forward of ones sums, and torch's own count where it has one."""

from __future__ import annotations

import pytest
import torch
from mup.infshape import InfShape, zip_infshape
from torch import Tensor, nn

from hptransfer.models.fans import base_dim, fans_of, lengths, summed


def fans(build: type[nn.Module], narrow: tuple[object, ...], wide: tuple[object, ...], local: str, **more: object):  # type: ignore[no-untyped-def]  # a tuple of one test
    """(base fan-in, fan-in, whether it grows, base fan-out, fan-out) of one parameter."""
    small, large = build(*narrow, **more), build(*wide, **more)
    shapes = [lengths(each, local, each.get_parameter(local).shape) for each in (small, large)]
    found = fans_of(large, local, zip_infshape(*shapes))
    assert found is not None
    sides = (found.fan_in, found.fan_out)
    return (base_dim(sides[0]), sides[0].dim, sides[0].isinf(), base_dim(sides[1]), sides[1].dim)


def summed_by(module: nn.Module, *inputs: Tensor) -> float:
    """Terms in the largest sum that one output is, by a forward of ones with weights of ones."""
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.fill_(1.0)
        return float(module(*inputs).max())


@pytest.mark.parametrize(
    ("build", "arguments", "inputs"),
    [
        (nn.Linear, (32, 5), [(1, 32)]),
        (nn.Conv1d, (32, 8, 3), [(1, 32, 9)]),
        (nn.Conv2d, (32, 8, 3), [(1, 32, 9, 9)]),
        (nn.Conv3d, (32, 8, 2), [(1, 32, 5, 5, 5)]),
        (nn.ConvTranspose1d, (32, 8, 3), [(1, 32, 9)]),
        (nn.ConvTranspose2d, (32, 8, 3), [(1, 32, 9, 9)]),
        (nn.ConvTranspose3d, (32, 8, 2), [(1, 32, 5, 5, 5)]),
        (nn.Bilinear, (32, 24, 5), [(1, 32), (1, 24)]),
    ],
)
def test_fan_in_is_what_a_forward_sums(
    build: type[nn.Module], arguments: tuple[int, ...], inputs: list[tuple[int, ...]]
) -> None:
    """Terms in the sum that one output is, counted by running the module."""
    counted = summed_by(build(*arguments, bias=False), *(torch.ones(shape) for shape in inputs))

    assert fans(build, arguments, arguments, "weight", bias=False)[1] == counted


@pytest.mark.parametrize("groups", [2, 4, 32])
def test_groups(groups: int) -> None:
    """Each output sums over its own group, in both kinds of convolutions."""
    for build in (nn.Conv2d, nn.ConvTranspose2d):
        counted = summed_by(build(32, 64, 3, groups=groups, bias=False), torch.ones(1, 32, 9, 9))
        assert fans(build, (32, 64, 3), (32, 64, 3), "weight", groups=groups, bias=False)[1] == counted


@pytest.mark.parametrize("build", [nn.Linear, nn.Conv2d])
def test_torch_counts_the_same(build: type[nn.Module]) -> None:
    """`nn.init`'s own count of fan-in, where rows are outputs."""
    arguments = (32, 8) if build is nn.Linear else (32, 8, 3)
    counted, _ = nn.init._calculate_fan_in_and_fan_out(build(*arguments).get_parameter("weight"))  # the peer

    assert fans(build, arguments, arguments, "weight")[1] == counted


@pytest.mark.parametrize("build", [nn.Conv1d, nn.ConvTranspose1d])
def test_depthwise_convolutions_do_not_grow(build: type[nn.Module]) -> None:
    """With as many groups as channels, fan-in is the kernel at every width, and outputs grow."""
    small, large = build(8, 8, 3, groups=8), build(32, 32, 3, groups=32)
    shapes = [lengths(each, "weight", each.get_parameter("weight").shape) for each in (small, large)]
    found = fans_of(large, "weight", zip_infshape(*shapes))

    assert found is not None
    assert (found.fan_in.dim, found.fan_in.isinf(), found.fan_out.dim, found.fan_out.isinf()) == (3, False, 32, True)


def test_recurrent_cells_and_layers() -> None:
    """Rows are the outputs of gates: four in an LSTM, three in a GRU (torch's documentation of weight_ih)."""
    assert fans(nn.LSTMCell, (7, 8), (7, 32), "weight_ih") == (7, 7, False, 4 * 8, 4 * 32)
    assert fans(nn.GRUCell, (7, 8), (7, 32), "weight_hh") == (8, 32, True, 3 * 8, 3 * 32)
    assert fans(nn.LSTM, (8, 8), (32, 32), "weight_ih_l0") == (8, 32, True, 4 * 8, 4 * 32)


def test_attention_with_other_keys_and_values() -> None:
    """Kdim and vdim are the inputs of their projections; bias_k is one more key and no matrix."""
    arguments = {"kdim": 12, "add_bias_kv": True, "num_heads": 4}
    assert fans(nn.MultiheadAttention, (16,), (64,), "k_proj_weight", **arguments) == (12, 12, False, 16, 64)
    assert fans(nn.MultiheadAttention, (16,), (64,), "q_proj_weight", **arguments) == (16, 64, True, 16, 64)
    bias = nn.MultiheadAttention(16, 4, add_bias_kv=True)
    found = fans_of(bias, "bias_k", zip_infshape((1, 1, 16), (1, 1, 64)))
    assert found is not None
    assert (found.kind, found.fan_out.dim) == ("bias", 64)


def test_classes_that_count_their_features() -> None:
    """A linear layer of one's own that says in_features and out_features is read by what it says."""

    class Transposed(nn.Module):
        def __init__(self, inputs: int, outputs: int) -> None:
            super().__init__()
            self.in_features, self.out_features = inputs, outputs
            self.weight = nn.Parameter(torch.zeros(inputs, outputs))

    assert fans(Transposed, (8, 24), (32, 96), "weight") == (8, 32, True, 24, 96)


def test_norms_of_several_axes() -> None:
    """A gain for every pixel of every channel is one vector."""
    found = fans_of(nn.LayerNorm((8, 4, 4)), "weight", zip_infshape((8, 4, 4), (32, 4, 4)))

    assert found is not None
    assert (found.kind, base_dim(found.fan_out), found.fan_out.dim) == ("norm gain", 8 * 16, 32 * 16)


def test_several_summed_axes() -> None:
    """Heads times head_dim are summed over; none summed over is a product element by element."""
    infshape: InfShape = zip_infshape((4, 16, 64), (32, 16, 512))
    both, none = summed(infshape, (0, 1)), summed(infshape, ())

    assert (base_dim(both.fan_in), both.fan_in.dim, both.fan_out.dim) == (64, 512, 512)
    assert (none.kind, none.fan_in.dim, none.init) == ("elementwise", 1, "kept")
