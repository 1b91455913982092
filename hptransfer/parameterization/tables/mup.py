"""muP for the width, in the form of Table 8 of Tensor Programs V; other forms are gauges of it (gauge.py).

Every entry multiplies the value at the base size; m_in and m_out are the growth of a parameter's fan-in and fan-out.
"""

from __future__ import annotations

from hptransfer.parameterization.roles import Role
from hptransfer.parameterization.rules import Exponents, Quantity, Rule, RuleTable, Source
from hptransfer.parameterization.tables.build import (
    ADAFACTOR_REMARKS,
    ADAM_DEFAULTS,
    DEFAULTS,
    EVERETT,
    IN,
    KEEPS_DECAY,
    ONE,
    OUT,
    ROLES,
    TP5,
    decay_choices,
    eps_choices,
    inverse,
    row,
    sign_from,
    table,
)

# The order of the columns: embedding, hidden weight, hidden vector, outer vector, readout, readout bias.

_ROUTER = Source("muP for mixtures of experts (arXiv 2508.09752)", "router", "as an output weight")
_TIED = Source(TP5, "Table 8", "embedding and output share init and learning rate")


def _mup_row(quantity: Quantity, source: Source, *exponents: Exponents) -> tuple[Rule, ...]:
    """A row of Table 8, whose router is an output weight and whose tied embedding has its fan-in on the other axis."""
    rules = row(quantity, source, *exponents)
    readout = {rule.role: rule for rule in rules}[Role.READOUT].exponents
    swapped = Exponents(fan_in=readout.fan_out, fan_out=readout.fan_in)
    return (
        *rules,
        Rule(Role.ROUTER, quantity, readout, _ROUTER),
        Rule(Role.TIED_EMBEDDING, quantity, swapped, _TIED),
    )


MUP_INIT = _mup_row(Quantity.INIT_STD, Source(TP5, "Table 8", "init. var."), ONE, IN**-0.5, ONE, ONE, ONE, ONE)
MUP_MULTIPLIER = _mup_row(Quantity.MULTIPLIER, Source(TP5, "Table 8", "multiplier"), ONE, ONE, ONE, ONE, IN**-1, ONE)
MUP_ADAM_LR = _mup_row(Quantity.LEARNING_RATE, Source(TP5, "Table 8", "Adam LR"), ONE, IN**-1, ONE, ONE, ONE, ONE)
MUP_ADAM_DECAY = inverse(
    MUP_ADAM_LR, Quantity.WEIGHT_DECAY, Source("microsoft/mup", "MuAdamW", "keeps learning_rate * weight_decay")
)
# A pre-activation of a layer with n units has a gradient of order 1/n, and so has each weight that feeds it: fan-out
# counts. Measured where the inner width of a tanh MLP grew alone (Adam, 40 steps): exponent -0.80 for the matrix that
# leads into it (-0.55 at init), -0.09 for the one that leads out; -1.05 for both where every width grew.
_MUP_GRADIENT = Source("derived", "gradient size in the form of Table 8", "1/width behind the readout's 1/width")
MUP_EPS = _mup_row(Quantity.EPS, _MUP_GRADIENT, OUT**-1, OUT**-1, OUT**-1, OUT**-1, IN**-1, ONE)
MUP_ROLES = tuple(rule.role for rule in MUP_EPS)
_MEGATRON_EPS = tuple(
    Rule(
        role,
        Quantity.EPS,
        IN**-1 if role is Role.HIDDEN_WEIGHT else ONE,
        Source("Megatron-LM", "get_mup_config_overrides", "eps of hidden matrices"),
    )
    for role in MUP_ROLES
)
MUP_SGD_LR = _mup_row(
    Quantity.LEARNING_RATE, Source(TP5, "Table 8", "SGD LR, as in MuSGD"), OUT, OUT * IN**-1, OUT, OUT, IN, ONE
)
MUP_SGD_DECAY = inverse(
    MUP_SGD_LR, Quantity.WEIGHT_DECAY, Source("microsoft/mup", "MuSGD", "keeps learning_rate * weight_decay")
)
# relative to the weight's own size: Adam's exponent minus the init's; equal in every gauge
MUP_ADAFACTOR_LR = row(
    Quantity.LEARNING_RATE,
    Source(EVERETT, "muP, Adafactor", "Adam's exponent minus the init's"),
    ONE,
    IN**-0.5,
    ONE,
    ONE,
    ONE,
    ONE,
)
_MUP_REMARKS = (
    "the embedding's learning rate is constant here; u-muP divides it by sqrt(fan_out), and arXiv 2605.21486 finds "
    "that the embedding's rate is most of what muP gains under AdamW",
)
MUP_ADAM = table(
    "mup",
    "adam",
    MUP_INIT,
    MUP_MULTIPLIER,
    MUP_ADAM_LR,
    choices={
        **decay_choices(MUP_ADAM_DECAY, "adam"),
        **eps_choices(MUP_ROLES, gradient=MUP_EPS, published=_MEGATRON_EPS),
    },
    defaults=ADAM_DEFAULTS,
    remarks=_MUP_REMARKS,
)
TABLES: tuple[RuleTable, ...] = (
    MUP_ADAM,
    sign_from(MUP_ADAM),
    table(
        "mup",
        "sgd",
        MUP_INIT,
        MUP_MULTIPLIER,
        MUP_SGD_LR,
        choices=decay_choices(MUP_SGD_DECAY, "sgd"),
        defaults=DEFAULTS,
        remarks=_MUP_REMARKS,
    ),
    table(
        "mup",
        "adafactor",
        (rule for rule in MUP_INIT if rule.role in ROLES),
        (rule for rule in MUP_MULTIPLIER if rule.role in ROLES),
        MUP_ADAFACTOR_LR,
        choices=decay_choices(inverse(MUP_ADAFACTOR_LR, Quantity.WEIGHT_DECAY, KEEPS_DECAY), "adafactor"),
        defaults=DEFAULTS,
        remarks=_MUP_REMARKS + ADAFACTOR_REMARKS,
    ),
)
