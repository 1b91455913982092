"""Gauge: the same training with a forward multiplier, or with the multiplier moved into init and optimizer.

A weight acts as W = A w with w drawn at std B and learning rate C. For every theta > 0 training is unchanged under
A -> A theta, B -> B / theta and

    family              learning rate   weight decay    eps
    adam                C / theta       * theta         * theta
    sign                C / theta       * theta         -
    orthogonal          C / theta       * theta         -
    sgd                 C / theta^2     * theta^2       -
    adafactor           C               * 1             -
    sphere              C               -               * theta
    orthogonal-sphere   C               -               -

The abc-symmetry of Tensor Programs V (arXiv 2203.03466), kept exact in float64 by tests/parameterization/test_gauge.py.
The gradient of w is A times that of W. Sign and polar factor do not see A, so the step on W is A C; SGD's is A^2 C.
Adafactor's step is C times the size of w, so on W it is C times the size of W, whatever A. On a sphere (AdamH, MuonH)
the same holds of norms, and nothing decays. Elsewhere decay per step is C * weight decay. Not unchanged: clipping by
the global gradient norm, which compares gradients of all weights (gradient_size.py has one that is); Adafactor's floor
eps2 of a weight's size, which would have to be divided by theta.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from hptransfer.errors import UsageError
from hptransfer.parameterization.roles import Role
from hptransfer.parameterization.rules import Exponents, OptimizerFamily, Quantity

Gauge = Literal["plain", "multipliers", "unit"]
#: where the multipliers of each gauge live
GAUGES: Mapping[Gauge, str] = {
    "plain": "none in forward, but for the logits of a tied table, which a hook multiplies",
    "multipliers": "the readout's and the residual branches' in forward, as in Table 8 of Tensor Programs V",
    "unit": "in forward, so that every init std keeps its base value",
}
#: names of version 0.1 that are still read
_FORMER: Mapping[str, Gauge] = {"table8": "multipliers", "table3": "plain"}

_ONE = Exponents()

#: Table 8 of Tensor Programs V: what `forward` multiplies in the gauge "multipliers"; other roles have no multiplier
TABLE_8: Mapping[Role, Exponents] = {
    Role.READOUT: Exponents(fan_in=-1),
    Role.ROUTER: Exponents(fan_in=-1),
    Role.TIED_EMBEDDING: Exponents(fan_out=-1),
}

#: exponent of theta in each quantity
_ADAM: Mapping[Quantity, int] = {
    Quantity.MULTIPLIER: 1,
    Quantity.INIT_STD: -1,
    Quantity.LEARNING_RATE: -1,
    Quantity.WEIGHT_DECAY: 1,
    Quantity.EPS: 1,
}
#: steps relative to a weight's own norm
_RELATIVE: dict[Quantity, int] = {
    Quantity.MULTIPLIER: 1,
    Quantity.INIT_STD: -1,
    Quantity.LEARNING_RATE: 0,
    Quantity.WEIGHT_DECAY: 0,
}
TRANSFORMATION: Mapping[OptimizerFamily, Mapping[Quantity, int]] = {
    "adam": _ADAM,
    "sign": _ADAM,
    "orthogonal": _ADAM,
    "sgd": {
        Quantity.MULTIPLIER: 1,
        Quantity.INIT_STD: -1,
        Quantity.LEARNING_RATE: -2,
        Quantity.WEIGHT_DECAY: 2,
    },
    "adafactor": _RELATIVE,
    "sphere": _RELATIVE | {Quantity.EPS: 1},
    "orthogonal-sphere": _RELATIVE,
}


def gauge_named(name: str) -> Gauge:
    """The gauge of this name; `table8` and `table3` are what version 0.1 called `multipliers` and `plain`.

    Raises:
        UsageError: no gauge has this name.
    """
    found = next((gauge for gauge in GAUGES if gauge == _FORMER.get(name, name)), None)
    if found is None:
        raise UsageError(f"the gauge must be one of {', '.join(GAUGES)}", received=name)
    return found


def transform(
    exponents: Mapping[Quantity, Exponents], family: OptimizerFamily, theta: Exponents
) -> dict[Quantity, Exponents]:
    """Multiply the forward multiplier by theta and let every other quantity follow, so that training is unchanged.

    Args:
        exponents: quantity -> its powers of the size's ratios.
        family: family of the optimizer, which says how the quantities follow.
        theta: factor on the multiplier in `forward`.
    """
    return {quantity: power * theta ** TRANSFORMATION[family][quantity] for quantity, power in exponents.items()}


def absorbed_factor(exponents: Mapping[Quantity, Exponents], branch: Exponents, role: Role, gauge: Gauge) -> Exponents:
    """What the forward multiplier of a parameter must be multiplied by to come into a gauge.

    Args:
        exponents: the parameter's powers per quantity as the table prints them, the branch in its multiplier.
        branch: the multiplier of the residual branch that the parameter writes; none is `Exponents()`.
        role: role of the parameter; it decides whether `forward` multiplies it.
        gauge: gauge that the parameter is brought into.
    """
    if gauge == "unit":
        return exponents[Quantity.INIT_STD]
    wanted = _ONE if gauge == "plain" else TABLE_8.get(role, _ONE) * branch
    return wanted * exponents[Quantity.MULTIPLIER] ** -1
