"""Muon: hidden matrices move by an orthogonal update; embeddings, readouts and vectors follow Adam or Lion.

An orthogonal update has spectral norm 1, and sqrt(m_out/m_in) keeps it at the spectral condition. What of that the
optimizer's own factor of the shape already applies must not be applied again, so the rule depends on that factor.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from hptransfer.parameterization.roles import Role
from hptransfer.parameterization.rules import Alpha, Exponents, Options, Quantity, Rule, RuleTable, Source
from hptransfer.parameterization.tables import depth, mup, spectral, standard
from hptransfer.parameterization.tables.build import (
    DEPTH,
    DEPTH_ALPHA,
    IN,
    LARGER,
    ONE,
    OUT,
    WIDTH,
    WIDTH_AND_DEPTH,
    Choices,
    decay_choices,
    table,
)

_CONDITION = "spectral condition (arXiv 2310.17813)"
_IN_TORCH = "torch.optim.Muon"
#: what is left of sqrt(m_out/m_in) after the factor that the optimizer applies by itself
_LEFT: dict[str, tuple[Exponents, Source]] = {
    "original": (OUT**0.5 * LARGER**-0.5, Source(_CONDITION, f'over {_IN_TORCH} "original"', "sqrt(max(1, out/in))")),
    "match_rms_adamw": (
        OUT**0.5 * IN**-0.5 * LARGER**-0.5,
        Source(_CONDITION, f'over {_IN_TORCH} "match_rms_adamw"', "0.2 sqrt(max(out, in))"),
    ),
    "spectral": (ONE, Source(_CONDITION, "as dion's spectral_norm", "sqrt(out/in)")),
    "none": (OUT**0.5 * IN**-0.5, Source(_CONDITION, "Condition 1", "updates of spectral norm 1")),
}
_DECAY = Rule(
    Role.HIDDEN_WEIGHT,
    Quantity.WEIGHT_DECAY,
    ONE,
    Source("derived", "decay of torch.optim.Muon and dion", "keeps learning_rate * weight_decay, shape factor aside"),
    per_step=True,
)
_REMARKS = (
    "the scale's names collide: `spectral` is sqrt(max(out, in)) in Megatron-LM and sqrt(out/in) here; choose by the "
    "formula",
    "a fused matrix (QKV, gate and up) has other sides than its parts: plan and orthogonalise the parts",
    "torch.optim.Muon reads rows as outputs: a matrix stored as (in, out), such as Hugging Face's Conv1D, gets the "
    "factor of the transposed shape",
)
_DEPTH_REMARK = "with branches of m_L^-1 the rate has no power of the depth, in agreement with arXiv 2512.05620"


def _hidden(rules: Iterable[Rule]) -> tuple[Rule, ...]:
    return tuple(rule for rule in rules if rule.role is Role.HIDDEN_WEIGHT)


def _rates(slower: Exponents = ONE, *, width: bool = True) -> Choices:
    rows = {
        (Quantity.LEARNING_RATE, scale): [
            Rule(Role.HIDDEN_WEIGHT, Quantity.LEARNING_RATE, (left if width else ONE) * slower, source)
        ]
        for scale, (left, source) in _LEFT.items()
    }
    return {**rows, **decay_choices([_DECAY], "orthogonal")}


def _muon(
    name: str,
    init: Iterable[Rule],
    choices: Choices,
    *,
    covers: frozenset[str] = WIDTH,
    residual: Rule | None = None,
    alpha: Alpha | None = None,
    remarks: tuple[str, ...] = (),
) -> RuleTable:
    return table(
        name,
        "orthogonal",
        _hidden(init),
        _hidden(mup.MUP_MULTIPLIER),
        choices=choices,
        defaults=Options(weight_decay="constant", batch_rule="none", muon_scale="original", beside_muon="adamw"),
        covers=covers,
        residual=residual,
        alpha=alpha,
        remarks=_REMARKS + remarks,
    )


_HALF = replace(depth.BRANCH, exponents=DEPTH**-0.5, source=Source(depth.DEPTH_MUP, "Depth-muP", "branch multiplier"))
TABLES: tuple[RuleTable, ...] = (
    _muon("standard", standard.STANDARD_INIT, _rates(width=False), covers=frozenset()),
    _muon("mup", mup.MUP_INIT, _rates()),
    _muon("spectral", spectral.SPECTRAL_INIT, _rates()),
    _muon(
        "depth-mup",
        mup.MUP_INIT,
        _rates(DEPTH**-0.5),
        covers=WIDTH_AND_DEPTH,
        residual=_HALF,
        remarks=(_DEPTH_REMARK,),
    ),
    _muon(
        "completep",
        mup.MUP_INIT,
        _rates(DEPTH**-1 * DEPTH_ALPHA),
        covers=WIDTH_AND_DEPTH,
        residual=depth.BRANCH,
        alpha=depth.ALPHA,
        remarks=(_DEPTH_REMARK,),
    ),
)
