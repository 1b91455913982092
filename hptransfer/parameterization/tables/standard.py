"""Standard: one value for every parameter, whatever the size; only the init follows fan-in."""

from __future__ import annotations

from dataclasses import replace

from hptransfer.parameterization.roles import Role
from hptransfer.parameterization.rules import OptimizerFamily, Quantity, Rule, RuleTable, Source
from hptransfer.parameterization.tables.build import (
    ADAM_DEFAULTS,
    DEFAULTS,
    IN,
    ONE,
    OUT,
    ROLES,
    TP5,
    decay_choices,
    eps_choices,
    gradient_of,
    row,
    same,
    sign_from,
    table,
)

# The order of the columns: embedding, hidden weight, hidden vector, outer vector, readout, readout bias.

_SP_ROLES = (*ROLES, Role.ROUTER)
_SP_ROUTER = Rule(
    Role.ROUTER, Quantity.INIT_STD, IN**-0.5, Source(TP5, "Table 3", "init. var., SP values, as any matrix")
)
STANDARD_INIT = (
    *row(Quantity.INIT_STD, Source(TP5, "Table 3", "init. var., SP values"), ONE, IN**-0.5, ONE, ONE, IN**-0.5, ONE),
    _SP_ROUTER,
)
_SP_MULTIPLIER = same(Quantity.MULTIPLIER, Source(TP5, "Table 3", "no multiplier in SP"), _SP_ROLES)
_SP_LR = same(Quantity.LEARNING_RATE, Source(TP5, "Table 3", "learning rate, SP values"), _SP_ROLES)
_SP_DECAY = same(Quantity.WEIGHT_DECAY, Source(TP5, "Table 3", "the optimizer's one value in SP"), _SP_ROLES)
_SP_EPS_GRADIENT = row(Quantity.EPS, gradient_of("SP"), OUT**-0.5, OUT**-0.5, OUT**-0.5, OUT**-0.5, ONE, ONE)
_OTHERS: tuple[OptimizerFamily, ...] = ("sgd", "adafactor")
_SP_REMARKS = (
    "one learning rate for all: its optimum falls with the width; muP-simple (arXiv 2309.14322) keeps this init and "
    "divides the matrices' rate by fan-in",
)

STANDARD_ADAM = table(
    "standard",
    "adam",
    STANDARD_INIT,
    _SP_MULTIPLIER,
    _SP_LR,
    choices={**decay_choices(_SP_DECAY, "adam"), **eps_choices(_SP_ROLES, gradient=_SP_EPS_GRADIENT)},
    defaults=replace(ADAM_DEFAULTS, eps="none"),
    covers=frozenset(),
    remarks=_SP_REMARKS,
)
TABLES: tuple[RuleTable, ...] = (
    STANDARD_ADAM,
    sign_from(STANDARD_ADAM),
    *(
        table(
            "standard",
            family,
            STANDARD_INIT,
            _SP_MULTIPLIER,
            _SP_LR,
            choices=decay_choices(_SP_DECAY, family),
            defaults=DEFAULTS,
            covers=frozenset(),
            remarks=_SP_REMARKS,
        )
        for family in _OTHERS
    ),
)
