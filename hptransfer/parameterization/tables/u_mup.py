"""u-muP: unit init, factors that are powers of the size itself, no base size (arXiv 2407.17465 and unit-scaling)."""

from __future__ import annotations

from dataclasses import replace

from hptransfer.parameterization.roles import Role
from hptransfer.parameterization.rules import Quantity, Rule, RuleTable, Source
from hptransfer.parameterization.tables.build import (
    ADAM_DEFAULTS,
    DEPTH,
    IN,
    ONE,
    OUT,
    ROLES,
    WIDTH_AND_DEPTH,
    decay_choices,
    eps_choices,
    row,
    same,
    table,
)

_PAPER = "u-muP (arXiv 2407.17465)"
_CODE = "unit-scaling"

# The order of the columns: embedding, hidden weight, hidden vector, outer vector, readout, readout bias.

_INIT = same(Quantity.INIT_STD, Source(_PAPER, "Table 2", "initialization"), ROLES)
_MULTIPLIER = row(
    Quantity.MULTIPLIER, Source(_PAPER, "Table 2", "parameter multiplier"), IN**-0.5, IN**-0.5, ONE, ONE, IN**-1, ONE
)
_LR = row(
    Quantity.LEARNING_RATE,
    Source(_CODE, "optim.lr_scale_func_adam", "with lr_scale_for_depth"),
    OUT**-0.5,
    IN**-0.5 * DEPTH**-0.5,
    DEPTH**-0.5,
    ONE,
    ONE,
    ONE,
)
_DECAY = tuple(replace(rule, quantity=Quantity.WEIGHT_DECAY, exponents=rule.exponents**-1) for rule in _LR)
_BRANCH = Rule(
    Role.HIDDEN_WEIGHT,
    Quantity.MULTIPLIER,
    DEPTH**-0.5,
    Source(_CODE, "transformer_residual_scaling_rule", "both ratios 1, two branches per layer, stream not rescaled"),
)

TABLES: tuple[RuleTable, ...] = (
    table(
        "u-mup",
        "adam",
        _INIT,
        _MULTIPLIER,
        _LR,
        choices={**decay_choices(_DECAY, "adam"), **eps_choices(ROLES)},
        defaults=replace(ADAM_DEFAULTS, weight_decay="independent", eps="none"),
        covers=WIDTH_AND_DEPTH,
        residual=_BRANCH,
        absolute=True,
        remarks=(
            "base-free: `learning_rate` is a weight's rate in units of its own std, near 1 rather than near 0.001",
            "unit-scaling also scales gradients in its backward pass, which no plan can do: with Adam that matters for "
            "eps only",
        ),
    ),
)
