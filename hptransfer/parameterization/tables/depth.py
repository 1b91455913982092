"""Rules for width and depth: CompleteP's family of residual exponents alpha, and Depth-muP, its member alpha = 1/2.

A branch is multiplied by m_L^-alpha. Everything inside residual blocks then moves by m_L^(alpha-1) under updates whose
size does not follow the gradient's, and by m_L^(2 alpha-1) under SGD, so that m_L branches together move by a constant.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from hptransfer.parameterization.roles import Role
from hptransfer.parameterization.rules import Alpha, Exponents, Quantity, Rule, RuleTable, Source
from hptransfer.parameterization.tables.build import (
    ADAM_DEFAULTS,
    DEFAULTS,
    DEPTH,
    DEPTH_ALPHA,
    IN,
    IN_BLOCK,
    WIDTH_AND_DEPTH,
    changed,
    decay_choices,
    eps_choices,
    inverse,
    same,
    sign_from,
    table,
)
from hptransfer.parameterization.tables.mup import (
    MUP_ADAM_LR,
    MUP_EPS,
    MUP_INIT,
    MUP_MULTIPLIER,
    MUP_ROLES,
    MUP_SGD_LR,
)

COMPLETEP = "CompleteP (arXiv 2505.01618)"
DEPTH_MUP = "Tensor Programs VI (arXiv 2310.02244)"

ADAM_LR = changed(
    MUP_ADAM_LR,
    IN_BLOCK,
    lambda power: power * DEPTH**-1 * DEPTH_ALPHA,
    Source(COMPLETEP, "Table 1", "learning rates (AdamW)"),
)
# As printed: for alpha < 1 the decay per step then falls as m_L^(alpha-1), together with the learning rate.
ADAM_DECAY = changed(
    same(
        Quantity.WEIGHT_DECAY,
        Source(COMPLETEP, "Table 1", "hidden weight decay (AdamW)"),
        MUP_ROLES,
    ),
    [Role.HIDDEN_WEIGHT],
    lambda _: IN,
    Source(COMPLETEP, "Table 1", "hidden weight decay (AdamW)"),
)
EPS = changed(
    MUP_EPS,
    IN_BLOCK,
    lambda power: power * DEPTH_ALPHA**-1,
    Source(COMPLETEP, "Table 1", "AdamW eps, residual blocks"),
)
# the released code multiplies one eps by both factors, embedding and final norm included
_GLOBAL_EPS = same(
    Quantity.EPS,
    Source("nanoGPT-mup, branch completep", "configure_optimizers", "one eps for every group"),
    MUP_ROLES,
    Exponents(width=-1, layers_alpha=-1),
)
SGD_LR = changed(
    MUP_SGD_LR,
    IN_BLOCK,
    lambda power: power * DEPTH**-1 * DEPTH_ALPHA**2,
    Source("derived", "Table 8 of Tensor Programs V with branches m_L^-alpha", "m_L * branch^2 * SGD LR constant"),
)
SGD_DECAY = inverse(
    SGD_LR, Quantity.WEIGHT_DECAY, Source("derived", "MuSGD's rule", "keeps learning_rate * weight_decay")
)
BRANCH = Rule(
    Role.HIDDEN_WEIGHT,
    Quantity.MULTIPLIER,
    DEPTH_ALPHA**-1,
    Source(COMPLETEP, "Table 1", "MHA and MLP residual"),
)
ALPHA = Alpha(low=0.5, high=1.0, default=1.0)
GPT2_REMARK = (
    "GPT-2's 1/sqrt(2 depth) init of residual projections is not part of the rules and would count the depth twice: "
    "nanoGPT-mup's completep drops it, Megatron-LM keeps it and compensates"
)
_COMPLETEP_REMARKS = (
    GPT2_REMARK,
    "the paper's table has eps 1/m_N for embedding and unembedding, its released code one eps for every group "
    "(eps `published`)",
)
_DEPTH_MUP_REMARKS = (
    GPT2_REMARK,
    "Tensor Programs VI shows transfer for blocks of depth 1 only, and that none is perfect for deeper blocks",
)


def _halved(rules: Iterable[Rule], source: Source) -> tuple[Rule, ...]:
    """The rows at alpha = 1/2, where depth enters with another source."""
    return tuple(
        replace(
            rule,
            exponents=rule.exponents.at(0.5),
            source=source if rule.exponents.depth or rule.exponents.depth_alpha else rule.source,
        )
        for rule in rules
    )


_COMPLETEP_ADAM = table(
    "completep",
    "adam",
    MUP_INIT,
    MUP_MULTIPLIER,
    ADAM_LR,
    choices={**decay_choices(ADAM_DECAY, "adam"), **eps_choices(MUP_ROLES, gradient=EPS, published=_GLOBAL_EPS)},
    defaults=ADAM_DEFAULTS,
    covers=WIDTH_AND_DEPTH,
    residual=BRANCH,
    alpha=ALPHA,
    remarks=_COMPLETEP_REMARKS,
)
_HALF_BRANCH = replace(BRANCH, exponents=DEPTH**-0.5, source=Source(DEPTH_MUP, "Depth-muP", "branch multiplier"))
_DEPTH_MUP_ADAM = table(
    "depth-mup",
    "adam",
    MUP_INIT,
    MUP_MULTIPLIER,
    _halved(ADAM_LR, Source(DEPTH_MUP, "Depth-muP", "Adam LR")),
    choices={
        **decay_choices(ADAM_DECAY, "adam"),
        **eps_choices(
            MUP_ROLES, gradient=_halved(EPS, Source(COMPLETEP, "Table 1", "AdamW eps, residual blocks, alpha = 1/2"))
        ),
    },
    defaults=ADAM_DEFAULTS,
    covers=WIDTH_AND_DEPTH,
    residual=_HALF_BRANCH,
    remarks=_DEPTH_MUP_REMARKS,
)
TABLES: tuple[RuleTable, ...] = (
    _DEPTH_MUP_ADAM,
    sign_from(_DEPTH_MUP_ADAM),
    table(
        "depth-mup",
        "sgd",
        MUP_INIT,
        MUP_MULTIPLIER,
        _halved(SGD_LR, Source(DEPTH_MUP, "Depth-muP", "SGD LR: no power of the depth")),
        choices=decay_choices(_halved(SGD_DECAY, SGD_DECAY[0].source), "sgd"),
        defaults=DEFAULTS,
        covers=WIDTH_AND_DEPTH,
        residual=_HALF_BRANCH,
        remarks=_DEPTH_MUP_REMARKS,
    ),
    _COMPLETEP_ADAM,
    sign_from(_COMPLETEP_ADAM),
    table(
        "completep",
        "sgd",
        MUP_INIT,
        MUP_MULTIPLIER,
        SGD_LR,
        choices=decay_choices(SGD_DECAY, "sgd"),
        defaults=DEFAULTS,
        covers=WIDTH_AND_DEPTH,
        residual=BRANCH,
        alpha=ALPHA,
        remarks=_COMPLETEP_REMARKS,
    ),
)
