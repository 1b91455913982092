"""Exponents in the width, measured on a network and held against theory: gradients at init, one step's spectral norm.

A tanh MLP of two hidden matrices, widths 64 to 512, three seeds; theory's exponents are limits, and earlier
measurements up to width 2048 lay within 0.17 of them; hence the tolerance of 0.2.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import pytest

from hptransfer.parameterization.gauge import Gauge
from hptransfer.parameterization.rules import OptimizerFamily, Options, UpdateRank
from hptransfer.parameterization.tables import TABLES
from tests.support.width_exponents import FLAT, MATRICES, STEPS, WIDTHS, planned, slopes, step_exponents, with_gradients

if TYPE_CHECKING:
    from torch import Tensor

TOLERANCE = 0.2


def rms(gradient: Tensor | None) -> float:
    """Root mean square over entries."""
    assert gradient is not None
    return float(gradient.square().mean().sqrt())


# Exponents of the gradient's RMS: input, hidden, readout, hidden bias. Theory from the backward pass: a readout of size
# n^-1/2 (SP, NTK) or n^-1 (muP, mean-field) sends back gradients of that size; a weight's own multiplier adds
# its power.
GRADIENTS: Mapping[tuple[str, Gauge], tuple[float, float, float, float]] = {
    ("standard", "plain"): (-0.5, -0.5, 0.0, -0.5),
    ("ntk", "unit"): (-0.5, -1.0, -0.5, -0.5),
    ("mean-field", "unit"): (-1.0, -1.5, -1.0, -1.0),
    ("mup", "plain"): (-1.0, -1.0, 0.0, -1.0),
    ("mup", "multipliers"): (-1.0, -1.0, -1.0, -1.0),
    ("spectral", "plain"): (-1.0, -1.0, 0.0, -1.0),
}


@pytest.mark.parametrize(("name", "gauge"), GRADIENTS)
def test_gradients_shrink_as_eps_does(name: str, gauge: Gauge) -> None:
    """Measured exponents agree with theory, and the choice `gradient` scales eps by theory's exponent exactly."""
    order = (*MATRICES, "second.bias")
    options = Options(eps="gradient")

    def measure(width: int, seed: int) -> dict[str, float]:
        tensors, _ = with_gradients(planned(name, "adam", width, gauge, options), seed)
        return {part: rms(tensors[part].grad) for part in order}

    found = slopes(measure)
    eps = {row.parameter.name: row.factors["eps"] for row in planned(name, "adam", 256, gauge, options).rows}

    assert [found[part] for part in order] == pytest.approx(GRADIENTS[name, gauge], abs=TOLERANCE)
    assert [eps[part] for part in order] == pytest.approx([4**power for power in GRADIENTS[name, gauge]])


@pytest.mark.parametrize("key", TABLES, ids="-".join)
def test_one_step_meets_the_spectral_condition(key: tuple[str, OptimizerFamily]) -> None:
    """Every table moves every matrix by its share at every width, except where theory says it does not."""
    assert step_exponents(*key) == pytest.approx(STEPS.get(key, FLAT), abs=TOLERANCE)


def test_muon_with_the_size_of_adam() -> None:
    """Torch's `match_rms_adamw` needs m^-1/2 (flat with it), and grows as m^1/2 under the rate for `original`."""
    right = step_exponents("mup", "orthogonal", Options(muon_scale="match_rms_adamw"))
    wrong = step_exponents(
        "mup", "orthogonal", Options(muon_scale="match_rms_adamw"), rate=lambda width: (width / WIDTHS[0]) ** 0.5
    )

    assert right[1] == pytest.approx(0.0, abs=TOLERANCE)
    assert wrong[1] == pytest.approx(0.5, abs=TOLERANCE)


# theory: 0 where the rule is that of the rank which gradients have, else the difference of the rules, 1/2; a batch of
# 64 examples has 64 directions at most, and the signs of Adam's first step are aligned in any batch
@pytest.mark.parametrize(
    ("family", "examples", "rank", "power"),
    [
        ("orthogonal-sphere", 2048, "full", 0.0),
        ("orthogonal-sphere", 64, "full", 0.5),
        ("orthogonal-sphere", 64, "fixed", 0.0),
        ("orthogonal-sphere", 2048, "fixed", -0.5),
        ("sphere", 64, "fixed", 0.0),
        ("sphere", 64, "full", 0.5),
    ],
)
def test_rates_on_a_sphere_follow_the_rank_of_updates(
    family: OptimizerFamily, examples: int, rank: UpdateRank, power: float
) -> None:
    """Hyperball's one relative rate needs gradients whose rank grows with the width; else the rate falls."""
    found = step_exponents("mup", family, Options(update_rank=rank), examples=examples)

    assert found[1] == pytest.approx(power, abs=TOLERANCE)


# MuAdam(impl=torch.optim.Muon) divides Muon's rate by the width; ezmup gives Adam SGD's rate
@pytest.mark.parametrize(
    ("family", "power"),
    [
        ("orthogonal", -1.0),
        ("adam", 1.0),
        ("sgd", 0.5),
        ("sign", 0.5),
        ("adafactor", 0.5),
        ("sphere", 0.5),
        ("orthogonal-sphere", -0.5),
    ],
)
def test_a_wrong_rate_is_seen(family: OptimizerFamily, power: float) -> None:
    """Negative control: a rate that is off by a power of the width lies outside the tolerance by that power."""
    found = step_exponents("mup", family, rate=lambda width: (width / WIDTHS[0]) ** power)

    assert found[1] == pytest.approx(power, abs=TOLERANCE)
    assert abs(found[1]) > TOLERANCE
