"""Muon against the unmodified torch.optim.Muon: what our rate leaves to its own factor of the shape."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from hptransfer.parameterization.plan import plan
from hptransfer.parameterization.roles import Role
from hptransfer.parameterization.rules import MuonScale, Options
from hptransfer.parameterization.tables import Parameterization
from hptransfer.sizes import Size
from tests.support.parameter_shapes import UNIT, growing, parameter

BASE, SIZE = Size(64, 2, 8, 800), Size(256, 32, 8, 800)


def rate(
    fan_in: tuple[int, int],
    fan_out: tuple[int, int],
    scale: MuonScale,
    name: str = "mup",
    alpha: float | None = None,
) -> float:
    """Our learning rate of a matrix for an optimizer that applies `scale` by itself."""
    row = parameter(Role.HIDDEN_WEIGHT, fan_in=fan_in, fan_out=fan_out, writes_residual=True)
    options = Options(muon_scale=scale)
    spec = Parameterization(name, alpha)
    return (
        plan(spec, BASE, SIZE, (row,), UNIT, optimizer="muon", gauge="multipliers", options=options)
        .rows[0]
        .learning_rate
    )


def step_size(shape: tuple[int, int], adjust: str) -> float:
    """How far one step of torch's Muon moves a matrix, over that of a square 8x8 one under `original`."""

    def moved(of: tuple[int, int], how: str) -> float:
        weight = nn.Parameter(torch.zeros(of))
        # a gradient with equal singular values: the orthogonal update is then the same for every shape, up to size
        weight.grad = torch.eye(*of)
        torch.optim.Muon([weight], lr=1.0, weight_decay=0.0, adjust_lr_fn=how).step()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        return float(torch.linalg.matrix_norm(weight.detach(), 2))

    return moved(shape, adjust) / moved((8, 8), "original")


# torch's documented factors of (rows, columns):
# original sqrt(max(1, rows/columns)), match_rms_adamw 0.2 sqrt(max(rows, columns))
ADJUSTMENTS = {
    ((32, 8), "original"): 2.0,
    ((8, 32), "original"): 1.0,
    ((32, 8), "match_rms_adamw"): 0.2 * 32**0.5,
    ((8, 32), "match_rms_adamw"): 0.2 * 32**0.5,
}


@pytest.mark.parametrize(("shape", "adjust"), ADJUSTMENTS)
def test_torch_applies_the_documented_factors(shape: tuple[int, int], adjust: str) -> None:
    """The peer does what our table assumes of it; its iteration is accurate to a few per cent only."""
    assert step_size(shape, adjust) == pytest.approx(ADJUSTMENTS[shape, adjust], rel=0.25)


# (base fan-in, fan-in), (base fan-out, fan-out): square, wide to narrow and back, an aspect that turns over
SHAPES = [((8, 32), (8, 32)), ((8, 32), (32, 128)), ((32, 128), (8, 32)), ((8, 16), (16, 8)), ((8, 32), (8, 8))]


@pytest.mark.parametrize("scale", ["original", "match_rms_adamw"])
@pytest.mark.parametrize(("fan_in", "fan_out"), SHAPES)
def test_rate_and_torch_together_meet_the_spectral_condition(
    fan_in: tuple[int, int], fan_out: tuple[int, int], scale: MuonScale
) -> None:
    """Our rate times torch's own adjustment grows as sqrt(fan_out/fan_in), whatever the shape."""
    from torch.optim._muon import _adjust_lr

    adjusted = [
        _adjust_lr(ours, scale, torch.Size((fan_out[index], fan_in[index])))
        for index, ours in enumerate((1.0, rate(fan_in, fan_out, scale)))
    ]
    wanted = [(fan_out[index] / fan_in[index]) ** 0.5 for index in (0, 1)]

    assert adjusted[1] / adjusted[0] == pytest.approx(wanted[1] / wanted[0], rel=1e-12)


# expected where every aspect is kept and the width grows fourfold: 1, 1, 1 and m^-1/2 for Moonshot's factor
@pytest.mark.parametrize(
    ("scale", "expected"), [("original", 1), ("spectral", 1), ("none", 1), ("match_rms_adamw", 0.5)]
)
def test_rates_where_aspects_are_kept(scale: MuonScale, expected: float) -> None:
    """Only the factor that imitates Adam's size needs a power of the width."""
    assert rate((64, 256), (64, 256), scale) == expected


# arXiv 2512.05620: with branches of 1/L Muon's rate does not depend on the depth; m_L = 16
@pytest.mark.parametrize(("alpha", "expected"), [(1.0, 1), (0.5, 0.25)])
def test_rates_follow_the_depth(alpha: float, expected: float) -> None:
    """Branch times rate times depth is constant."""
    assert rate((64, 256), (64, 256), "original", "completep", alpha) == expected


def test_the_rest_follows_adam_or_lion() -> None:
    """Embeddings, readouts and vectors have the rows of the other optimizer, with its own base rate."""
    rows = [growing(role) for role in (Role.HIDDEN_WEIGHT, Role.EMBEDDING, Role.READOUT, Role.HIDDEN_VECTOR)]
    values = UNIT | {"adam_learning_rate": 0.5}

    planned = {
        beside: plan(
            Parameterization("mup"), BASE, SIZE, rows, values, optimizer="muon", options=Options(beside_muon=beside)
        )
        for beside in ("adamw", "lion")
    }

    for beside, result in planned.items():
        assert [row.optimizer for row in result.rows] == ["muon", beside, beside, beside]
        # plain: Table 3's readout rate is 1/fan_in, m_N = 4
        assert [row.learning_rate for row in result.rows] == [1, 0.5, 0.125, 0.5]
    assert [row.eps for row in planned["adamw"].rows] == [None, 0.25, 1, 0.25]
    assert [row.eps for row in planned["lion"].rows] == [None, None, None, None]


def test_the_plan_says_which_scale_it_assumes() -> None:
    """The colliding names are printed with their formulas."""
    notes = plan(Parameterization("mup"), BASE, SIZE, (growing(Role.HIDDEN_WEIGHT),), UNIT, optimizer="muon").notes

    assert any("`original`, sqrt(max(1, fan_out/fan_in))" in note and "`match_rms_adamw`" in note for note in notes)
