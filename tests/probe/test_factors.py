"""Numbers in `forward` that change with the size: which, by which power, and what each does."""

from __future__ import annotations

import math
from collections.abc import Callable

import mup
import pytest
import torch
from torch import nn

from hptransfer.probe.alignment import power
from hptransfer.probe.findings import Factor
from hptransfer.probe.probing import probe
from tests.support import probed_models as models
from tests.support.probed_models import Bytes

Build = Callable[[int, int], nn.Module]
BASE = (64, 2)


def found(build: Build) -> list[Factor]:
    """The factors, in the order of the run."""
    seen = probe(build, BASE)
    assert seen.unknown == ()
    return list(seen.factors)


def test_a_factor_of_the_embedding_is_named_with_its_weights() -> None:
    """sqrt(width) as a buffer of no axes, behind token and position tables: both can absorb it as tables."""

    def build(width: int, depth: int) -> nn.Module:
        return Bytes(width, depth, embed=torch.tensor(width**0.5), positions=True, tied=True)

    (factor,) = found(build)

    assert (factor.width_power, factor.depth_power, factor.purpose, factor.use) == (0.5, 0.0, "output", "lookup")
    assert set(factor.parameters) == {"tok.weight", "pos.weight"}
    assert factor.values == pytest.approx((8.0, math.sqrt(128), 8.0), rel=1e-6)
    assert factor.where.code.startswith("probed_models.py:")


def test_a_factor_that_half_precision_rounds_is_a_power_still() -> None:
    """Gemma's normalizer is sqrt(width) in the model's own precision: 11.3125 in bfloat16 where 11.3137 is meant."""
    (factor,) = found(lambda width, depth: Bytes(width, depth, embed=torch.tensor(width**0.5)).to(torch.bfloat16))

    assert factor.values[1] == 11.3125
    assert factor.width_power == 0.5


@pytest.mark.parametrize(
    ("build", "purpose", "parameters"),
    [
        (lambda width, depth: Bytes(width, depth, logits=64 / width), "output", ("head.weight",)),
        (lambda width, depth: Bytes(width, depth, before_head=width / 64, tied=True), "input", ("tok.weight",)),
        (models.Conditional, "output", ("head.weight",)),
    ],
    ids=["logits", "before the readout", "where it is not one"],
)
def test_mup_by_hand_is_a_factor_of_the_readout(build: Build, purpose: str, parameters: tuple[str, ...]) -> None:
    """Logits times base width / width, written at three places; the readout can absorb it, as a matrix."""
    (factor,) = found(build)

    assert (factor.width_power, factor.depth_power) == (-1.0, 0.0)
    assert (factor.purpose, factor.parameters, factor.use) == (purpose, parameters, "matrix")


def test_the_readout_of_mup_divides_its_input() -> None:
    """`MuReadout` of microsoft/mup: its forward is `output_mult * x / width_mult()`."""

    def plain(width: int) -> nn.Module:
        return nn.Sequential(nn.Linear(6, width), nn.ReLU(), mup.MuReadout(width, 3))

    def build(width: int, depth: int) -> nn.Module:
        model: nn.Module = mup.set_base_shapes(plain(width), plain(64), delta=plain(128))
        return model

    (factor,) = found(build)

    assert (factor.width_power, factor.purpose, factor.parameters) == (-1.0, "input", ("2.weight",))


@pytest.mark.parametrize("checkpointed", [False, True])
def test_a_factor_of_depth_on_branches_belongs_to_their_writers(checkpointed: bool) -> None:
    """1/sqrt(2 depth) on both branches, checkpointed or not: one factor per branch and layer, with weight and bias."""
    factors = found(lambda width, depth: Bytes(width, depth, form="depth", checkpointed=checkpointed))

    assert [(each.width_power, each.depth_power, each.purpose) for each in factors] == [(0.0, -0.5, "output")] * 4
    assert [each.parameters for each in factors] == [
        ("layers.0.attn.out.weight",),
        ("layers.0.feed.down.weight", "layers.0.feed.down.bias"),
        ("layers.1.attn.out.weight",),
        ("layers.1.feed.down.weight", "layers.1.feed.down.bias"),
    ]


@pytest.mark.parametrize(
    "build",
    [
        lambda width, depth: Bytes(width, depth, form="constant", softcap=30.0),
        lambda width, depth: Bytes(width, depth, form="index"),
        lambda width, depth: Bytes(width, depth, norm=models.OnePlus),
        models.ResNet,
        models.DiT,
        models.HandGelu,
        models.Adapted,
        models.Recurrent,
    ],
    ids=["constant", "layer index", "eps", "resnet", "dit", "gelu by hand", "adapters", "lstm"],
)
def test_numbers_that_do_not_change_with_the_size_are_no_factors(build: Build) -> None:
    """Constants, softcaps, eps, dropout, rotary and time frequencies, 1/sqrt(layer index + 1)."""
    assert found(build) == []


@pytest.mark.parametrize("norm", [models.NormalizedGain, models.HandNorm, models.NormOverRoot])
def test_a_norm_by_hand_takes_back_the_size_of_its_sum(norm: Callable[[int], nn.Module]) -> None:
    """sqrt(width) on a unit vector, 1/width on a sum of squares, width^-1/2 on a norm: nothing is wrong with them."""
    factors = found(lambda width, depth: Bytes(width, depth, norm=norm))

    assert len(factors) == 5  # two norms per layer, and the last
    assert {each.purpose for each in factors} == {"normalizer"}


def test_means_by_hand_are_normalizers() -> None:
    """A sum over experts divided by their number, a sum over the width divided by the width."""
    assert [(each.width_power, each.purpose) for each in found(models.MeanOfExperts)] == [(-1.0, "normalizer")] * 2


def test_what_stands_before_and_behind_a_factor_decides() -> None:
    """Output of a linear layer; input of one, behind a curve; between a curve and two readers."""
    factors = found(models.OutputThenInput)

    assert [(each.width_power, each.purpose, each.parameters) for each in factors] == [
        (0.5, "output", ("a.weight", "a.bias")),
        (-1.0, "input", ("c.weight",)),
        (-0.25, "open", ()),
    ]


def test_factors_of_raw_parameters_and_of_their_uses() -> None:
    """Weights times width^-1/2 before `F.linear`, outputs over sqrt(width) and depth, logits over width."""
    seen = probe(models.Rotary, BASE)

    assert [(each.width_power, each.depth_power, each.parameters) for each in seen.factors] == [
        *[
            row
            for layer in range(2)
            for row in [
                (-0.5, 0.0, (f"qkv.{layer}",)),
                (-0.5, 0.0, (f"out.{layer}",)),
                (0.0, -1.0, (f"out.{layer}",)),
            ]
        ],
        (-1.0, 0.0, ("head",)),
    ]
    assert {each.purpose for each in seen.factors} == {"output"}


def test_a_weight_that_is_normalized_absorbs_nothing() -> None:
    """Under `weight_norm` a factor on v changes nothing."""

    class Normed(nn.Module):
        def __init__(self, width: int, depth: int) -> None:
            super().__init__()
            self.first, self.depth = nn.Linear(6, width), depth
            self.layer = nn.utils.parametrizations.weight_norm(nn.Linear(width, 2))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            answer: torch.Tensor = self.layer(self.first(x).relu()) / self.depth
            return answer

    (factor,) = found(Normed)

    assert (factor.depth_power, factor.purpose, factor.parameters) == (-1.0, "open", ())


@pytest.mark.parametrize(
    ("base", "other", "growth", "expected"),
    [
        (8.0, math.sqrt(128), 2.0, 0.5),
        (1.0, 2 ** (-1 / 3), 2.0, -1 / 3),
        (0.125, 0.125, 2.0, 0.0),
        (math.log(64), math.log(128), 2.0, None),
        (1 / 3, 1 / 5, 2.0, None),  # 1/(depth + 1)
        (1.0, -2.0, 2.0, None),
        (0.0, 1.0, 2.0, None),
        (3.0, 3.0 * 1.5**1.25, 1.5, 1.25),
        (None, 1.0, 2.0, None),
    ],
)
def test_a_power_is_exact_or_none(base: float | None, other: float, growth: float, expected: float | None) -> None:
    """Multiples of a twelfth, to the rounding of single precision."""
    assert power(base, other, growth) == (None if expected is None else pytest.approx(expected, abs=1e-12))
