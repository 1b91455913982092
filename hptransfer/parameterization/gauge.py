"""Gauge: the same training with a forward multiplier, or with the multiplier moved into init and optimizer.

A weight acts as W = A w with w drawn at std B and learning rate C. For every theta > 0 training is unchanged under
    Adam-like: A -> A theta, B -> B / theta, C -> C / theta,   eps -> eps theta, weight decay -> weight decay * theta
    SGD:       A -> A theta, B -> B / theta, C -> C / theta^2,                   weight decay -> weight decay * theta^2
The abc-symmetry of Tensor Programs V (arXiv 2203.03466), kept exact in float64 by tests/parameterization/test_gauge.py;
the columns for eps and decay follow because the gradient of w is A times that of W and because the decay per step is
C * weight decay. Clipping by the global gradient norm compares gradients of all weights and is not unchanged.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from hptransfer.parameterization.rules import Exponents, Family, Quantity

#: "plain": nothing in `forward`; "multipliers": as the tables are printed
Gauge = Literal["plain", "multipliers"]

#: exponent of theta in each quantity
_TRANSFORMATION: Mapping[Family, Mapping[Quantity, int]] = {
    "adam": {
        Quantity.MULTIPLIER: 1,
        Quantity.INIT_STD: -1,
        Quantity.LEARNING_RATE: -1,
        Quantity.WEIGHT_DECAY: 1,
        Quantity.EPS: 1,
    },
    "sgd": {
        Quantity.MULTIPLIER: 1,
        Quantity.INIT_STD: -1,
        Quantity.LEARNING_RATE: -2,
        Quantity.WEIGHT_DECAY: 2,
    },
}


def transform(exponents: Mapping[Quantity, Exponents], family: Family, theta: Exponents) -> dict[Quantity, Exponents]:
    """Multiply the forward multiplier by theta and let every other quantity follow, so that training is unchanged."""
    return {quantity: power * theta ** _TRANSFORMATION[family][quantity] for quantity, power in exponents.items()}


def absorb(exponents: Mapping[Quantity, Exponents], family: Family) -> dict[Quantity, Exponents]:
    """Move the forward multiplier into init, learning rate, weight decay and eps; what is left in `forward` is 1."""
    return transform(exponents, family, exponents[Quantity.MULTIPLIER] ** -1)
