"""The spectral condition: weights and updates of spectral norm sqrt(fan_out/fan_in) (arXiv 2310.17813)."""

from __future__ import annotations

from hptransfer.parameterization.rules import Quantity, RuleTable, Source
from hptransfer.parameterization.tables.build import (
    ADAM_DEFAULTS,
    DEFAULTS,
    IN,
    KEEPS_DECAY,
    LARGER,
    ONE,
    OUT,
    ROLES,
    decay_choices,
    eps_choices,
    gradient_of,
    inverse,
    row,
    same,
    sign_from,
    table,
)

_PAPER = "spectral condition (arXiv 2310.17813)"

# The order of the columns: embedding, hidden weight, hidden vector, outer vector, readout, readout bias.

# fan_in^-1/2 min(1, sqrt(fan_out/fan_in)), written with max(fan_in, fan_out)
_STD = IN**-0.5 * OUT**0.5 * LARGER**-0.5
SPECTRAL_INIT = row(Quantity.INIT_STD, Source(_PAPER, "Parametrization 1", "sigma"), ONE, _STD, ONE, ONE, IN**-1, ONE)
_MULTIPLIER = same(Quantity.MULTIPLIER, Source(_PAPER, "Parametrization 1", "no multiplier"), ROLES)
_ADAM_LR = row(
    Quantity.LEARNING_RATE,
    Source("derived", f"Condition 1 of the {_PAPER}", "updates of equal entries have norm rate * sqrt(in out)"),
    ONE,
    IN**-1,
    ONE,
    ONE,
    IN**-1,
    ONE,
)
_SGD_LR = row(
    Quantity.LEARNING_RATE,
    Source(_PAPER, "Parametrization 1", "eta = fan_out/fan_in"),
    OUT,
    OUT * IN**-1,
    OUT,
    OUT,
    IN**-1,
    ONE,
)
_EPS = row(Quantity.EPS, gradient_of("Table 3"), OUT**-1, OUT**-1, OUT**-1, OUT**-1, ONE, ONE)

_ADAM = table(
    "spectral",
    "adam",
    SPECTRAL_INIT,
    _MULTIPLIER,
    _ADAM_LR,
    choices={
        **decay_choices(inverse(_ADAM_LR, Quantity.WEIGHT_DECAY, KEEPS_DECAY), "adam"),
        **eps_choices(ROLES, gradient=_EPS),
    },
    defaults=ADAM_DEFAULTS,
)
TABLES: tuple[RuleTable, ...] = (
    _ADAM,
    sign_from(_ADAM),
    table(
        "spectral",
        "sgd",
        SPECTRAL_INIT,
        _MULTIPLIER,
        _SGD_LR,
        choices=decay_choices(inverse(_SGD_LR, Quantity.WEIGHT_DECAY, KEEPS_DECAY), "sgd"),
        defaults=DEFAULTS,
    ),
)
