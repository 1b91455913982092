"""Complete(d)P: width, depth, batch and duration together (arXiv 2512.22382, Table 1), for AdamW.

In the form without a readout multiplier (Table 3 of Tensor Programs V). Batch and duration enter through
s = sqrt(m_B / m_D): only the number of steps counts, and growing both alike changes nothing.
"""

from __future__ import annotations

from dataclasses import replace

from hptransfer.parameterization.roles import Role
from hptransfer.parameterization.rules import Exponents, Quantity, RuleTable, Source
from hptransfer.parameterization.tables.build import (
    ADAM_DEFAULTS,
    DEPTH,
    DEPTH_ALPHA,
    IN,
    ONE,
    OUT,
    ROLES,
    decay_choices,
    eps_choices,
    gradient_of,
    row,
    same,
    table,
)
from hptransfer.parameterization.tables.depth import ALPHA, BRANCH, GPT2_REMARK

_PAPER = "Complete(d)P (arXiv 2512.22382)"

S = Exponents(batch=0.5, tokens=-0.5)
_SLOWER = DEPTH**-1 * DEPTH_ALPHA

# The order of the columns: embedding, hidden weight, hidden vector, outer vector, readout, readout bias.

_INIT = row(Quantity.INIT_STD, Source(_PAPER, "Table 1", "init. var."), ONE, IN**-0.5, ONE, ONE, IN**-1, ONE)
_MULTIPLIER = same(Quantity.MULTIPLIER, Source(_PAPER, "Table 1", "unaugmented readout"), ROLES)
_LR = row(
    Quantity.LEARNING_RATE,
    Source(_PAPER, "Table 1", "learning rate"),
    S,
    IN**-1 * _SLOWER * S,
    _SLOWER * S,
    S,
    IN**-1 * S,
    S,
)
_DECAY = row(Quantity.WEIGHT_DECAY, Source(_PAPER, "Table 1", "weight decay"), S, IN * S, S, S, IN * S, S)
# a gain that heads share (QK-norm) does not grow with the width, so its m_out is 1, as the paper has it
_EPS = row(
    Quantity.EPS,
    Source(_PAPER, "Table 1", "AdamW eps"),
    OUT**-1 * S**-1,
    OUT**-1 * DEPTH_ALPHA**-1 * S**-1,
    OUT**-1 * DEPTH_ALPHA**-1 * S**-1,
    S**-1,
    S**-1,
    S**-1,
)
_EPS_GRADIENT = tuple(
    replace(rule, exponents=OUT**-1 * S**-1 if rule.role is Role.OUTER_VECTOR else rule.exponents, source=source)
    for rule in _EPS
    for source in [gradient_of("Table 3, with the paper's batch and duration")]
)

TABLES: tuple[RuleTable, ...] = (
    table(
        "complete-d-p",
        "adam",
        _INIT,
        _MULTIPLIER,
        _LR,
        choices={
            **decay_choices(_DECAY, "adam"),
            **eps_choices(ROLES, published=_EPS, gradient=_EPS_GRADIENT),
        },
        defaults=replace(ADAM_DEFAULTS, eps="published", batch_rule="sde", token_exponent=0.5),
        covers=frozenset({"width", "depth", "batch", "tokens"}),
        residual=replace(BRANCH, source=Source(_PAPER, "Table 1", "residual multiplier")),
        alpha=ALPHA,
        remarks=(
            GPT2_REMARK,
            "read from three implementations that cite the paper's Table 1; they disagree about the final norm's eps "
            "(constant as here; its gradient falls as 1/m_N, eps `gradient`) and about m_L (a ratio as here, or the "
            "depth itself)",
            "marin's completed_adamh has 0.3 for tokens instead of 0.5, keeps beta1, and clips beta2^m_B to "
            "[0.9, 0.9999]",
        ),
    ),
)
