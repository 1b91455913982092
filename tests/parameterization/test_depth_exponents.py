"""Exponents in the depth, measured: how far one step moves the residual stream.

A pre-norm residual network, depths 8 to 64; the change of the final stream over its size at init, whose exponent is 0
under a depth rule, whatever alpha and the optimizer. Without one the stream moves by up to its depth (CompleteP, arXiv
2505.01618, Figure 7). Branches are small from the start, so that the stream's size at init is nearly that of the input
at every depth; otherwise it changes between the base and large depths, and with it the gradients.
"""

from __future__ import annotations

import pytest

from hptransfer.parameterization.rules import OptimizerFamily
from tests.support.depth_exponents import WITH_DEPTH, exponent

TOLERANCE = 0.2  # measured: within 0.04 of 0, and 0.85 to 0.94 without a depth rule


@pytest.mark.parametrize(("name", "family", "alpha"), WITH_DEPTH)
def test_the_stream_moves_alike_at_every_depth(name: str, family: OptimizerFamily, alpha: float | None) -> None:
    """Every table with a depth rule moves the residual stream by its share."""
    assert exponent(name, family, alpha) == pytest.approx(0.0, abs=TOLERANCE)


@pytest.mark.parametrize("family", ["adam", "sgd", "orthogonal"])
def test_without_a_depth_rule_deeper_streams_move_more(family: OptimizerFamily) -> None:
    """Negative control: muP, which has no rule for depth."""
    assert exponent("mup", family) == pytest.approx(1.0, abs=TOLERANCE)


@pytest.mark.parametrize(
    ("name", "family", "alpha", "power"),
    [("completep", "adam", 0.5, 0.5), ("completep", "sgd", 1.0, -1.0), ("completep", "orthogonal", 0.5, 0.5)],
)
def test_a_wrong_depth_power_is_seen(name: str, family: OptimizerFamily, alpha: float, power: float) -> None:
    """Negative control: leaving out the rate's power of the depth shows as that power."""
    assert exponent(name, family, alpha, rate=lambda m_l: m_l**power) == pytest.approx(power, abs=TOLERANCE)
