"""Loss curves with known optima, from laws that the estimator does not assume: shapes with cliffs, and exact oracles.

A shape is a function of u, the octaves above a place that moves with the size; its optimum is found by scanning the
function itself. An oracle is a learning problem whose loss after T steps is known exactly (tests/support/oracles.py).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

from tests.support.oracles import (
    IsotropicSgd,
    LinearRegressionSgd,
    QuadraticDescent,
    ShallowLinearNet,
    exact_optimum,
)

Array = npt.NDArray[np.float64]

#: 0.018 nats per squared natural log unit, the median of 155 slices of a published sweep (StepLaw), per squared octave
BEND = 0.018 * math.log(2) ** 2
#: sizes of every ladder
RUNGS = 4
_SPECTRUM = tuple(1 / k for k in range(1, 9))


@dataclass(frozen=True)
class Law:
    """A family of loss curves, one per rung of a ladder.

    Attributes:
        name: what the table calls it.
        losses: (x as log2 of the value, rung, seed) to losses, infinite where training diverges.
        optimum: log2 of the value with the lowest expected loss at a rung.
        cliff: whether losses break off within the grid.
        moves: the ladder may be shifted by a drift; False where sizes have optima of their own.
        seeded: whether seeds have curves of their own.
    """

    name: str
    losses: Callable[[Array, int, int], Array]
    optimum: Callable[[int], float]
    cliff: bool = False
    moves: bool = True
    seeded: bool = False


def _shape(name: str, curve: Callable[[Array, int], Array], *, cliff: bool = False) -> Law:
    """A law from a function of (u, rung); the optimum is where a fine scan of it is lowest."""

    @cache
    def optimum(rung: int) -> float:
        return exact_optimum(lambda rates: curve(np.log2(rates), rung), -4, 4)

    return Law(name, lambda x, rung, _: curve(x, rung), optimum, cliff)


def _parabola(u: Array) -> Array:
    return 3 + BEND * u * u


def _lopsided(u: Array, skew: float) -> Array:
    """Like the parabola at its minimum; a flank that rises exponentially and one that rises linearly."""
    return 3 + BEND * (np.exp(skew * u) - 1 - skew * u) * 2 / skew**2


def _ends(u: Array, at: float, then: float) -> Array:
    return np.where(u < at, _parabola(u), then)


def _seeded_end(u: Array, seed: int) -> Array:
    """Every seed diverges at a place of its own."""
    return _ends(u, 1.2 + 0.15 * float(np.random.default_rng([seed, 5]).standard_normal()), math.inf)


def _trained(losses: Callable[[Array], Array], x: Array) -> Array:
    """Losses at x = log2 rates; above the loss before training they count as diverged."""
    found, start = losses(np.exp2(x)), float(losses(np.zeros(1))[0])
    return np.where(found <= start, found, math.inf)


def _oracle(
    name: str,
    losses: Callable[[int], Callable[[Array], Array]],
    low: float,
    high: float,
    *,
    cliff: bool = True,
    moves: bool = True,
) -> Law:
    """A law from exact losses at rates, per rung, and a range of log2 rates that holds the optima."""

    @cache
    def optimum(rung: int) -> float:
        return exact_optimum(losses(rung), low, high)

    return Law(name, lambda x, rung, _: _trained(losses(rung), x), optimum, cliff, moves)


def _truncated(rung: int) -> LinearRegressionSgd:
    return LinearRegressionSgd(width=32 * 2**rung, steps=200, batch=4)


def _shallow(rung: int) -> ShallowLinearNet:
    return ShallowLinearNet(_SPECTRUM, 8, 2 ** (10 + rung))


@cache
def _shallow_optimum(rung: int) -> float:
    """Of the loss averaged over 4,000 draws of the initial weights."""
    draws = [_shallow(rung).draw(10**6 + number) for number in range(4_000)]
    return exact_optimum(lambda rates: np.mean([draw(rates) for draw in draws], axis=0), 3.0, 4.2)


_DESCENT = QuadraticDescent(_SPECTRUM, tuple(math.sqrt(k) for k in range(1, 9)), steps=8)
_SMOOTH = LinearRegressionSgd(width=64, steps=200, batch=4)
_EDGE = LinearRegressionSgd(width=64, steps=50, batch=32)

LAWS = (
    _shape("parabola", lambda u, _: _parabola(u)),
    _shape("steeper right", lambda u, _: _lopsided(u, 0.6)),
    _shape("steeper left", lambda u, _: _lopsided(u, -0.6)),
    _shape("skew grows with size", lambda u, rung: _lopsided(u, (0.15, 0.4, 0.65, 0.9)[rung])),
    _shape("bend differs by size", lambda u, rung: 3 + (1.3, 0.75, 1.25, 0.8)[rung] * (_lopsided(u, 0.3) - 3)),
    _shape("bend grows with size", lambda u, rung: 3 + 1.3 ** (rung - 1) * (_lopsided(u, 0.6) - 3)),
    _shape("deep valley", lambda u, _: 3 + BEND * 5 * (np.cosh(u) - 1)),
    _shape("4x bend right of the optimum", lambda u, _: 3 + BEND * u * u * np.where(u < 0, 1, 4), cliff=True),
    _shape("diverges at +1.2", lambda u, _: _ends(u, 1.2, math.inf), cliff=True),
    _shape("diverges at +0.4", lambda u, _: _ends(u, 0.4, math.inf), cliff=True),
    _shape("jumps to 7.8 at +1.2", lambda u, _: _ends(u, 1.2, 7.8), cliff=True),
    _shape("jumps to 7.8 at +0.4", lambda u, _: _ends(u, 0.4, 7.8), cliff=True),
    _shape("step of 4.8 at +0.5", lambda u, _: _parabola(u) + 4.8 / (1 + np.exp(-(u - 0.5) / 0.08)), cliff=True),
    _shape("steep wall from +0.3", lambda u, _: _parabola(u) + np.maximum(u - 0.3, 0) ** 2, cliff=True),
    _shape("divergence comes closer", lambda u, r: _ends(u, (2.2, 1.6, 1.1, 0.7)[r], math.inf), cliff=True),
    Law("seeds diverge near +1.2", lambda x, _, seed: _seeded_end(x, seed), lambda _: 0.0, cliff=True, seeded=True),
    _oracle("O1 descent at the edge", lambda _: _DESCENT.losses, -4, 2),
    _oracle("O2 SGD regression", lambda _: _SMOOTH.losses, -8, 1),
    _oracle("O2 SGD at the edge", lambda _: _EDGE.losses, -8, 2),
    _oracle("O2 truncated widths", lambda rung: _truncated(rung).losses, -8, 1, moves=False),
    _oracle("O3 isotropic SGD", lambda rung: IsotropicSgd(4 * 2**rung, 16, steps=10).losses, -8, 1, moves=False),
    Law(
        "O4 shallow network, muP",
        lambda x, rung, seed: _trained(_shallow(rung).draw(seed), x),
        _shallow_optimum,
        cliff=True,
        moves=False,
        seeded=True,
    ),
)
