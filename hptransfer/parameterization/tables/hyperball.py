"""Hyperball (AdamH, MuonH): a hidden weight keeps its norm, and each step moves it by a share of that norm.

The share is the learning rate r, so its rule is that of the update's size over that of the weight, which the init
gives: |W| = std sqrt(fan_in fan_out). An update of norm r |W| has the spectral norm r |W| / sqrt(n) if it moves the
matrix in n directions alike. Where gradients have full rank, n is min(fan_in, fan_out), for a polar factor exactly and
for Adam's entries up to a constant; where their rank does not grow with the width, n is constant (`update_rank`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from hptransfer.parameterization.roles import Role
from hptransfer.parameterization.rules import OptimizerFamily, Options, Quantity, Rule, RuleTable, Source
from hptransfer.parameterization.tables import depth, mup, spectral, standard
from hptransfer.parameterization.tables.build import IN, LARGER, ONE, OUT, table

_HYPERBALL = "Hyperball (arXiv 2606.16899)"
_HYPERP = "HyperP (arXiv 2603.28743)"
_CONSTANT = Source(_HYPERBALL, "hyperparameter transfer across width and depth", "one relative rate")
_HIDDEN = Role.HIDDEN_WEIGHT

#: whatever the option says: on a sphere nothing decays
_DECAY_CHOICES = ("constant", "unscaled", "independent", "sqrt", "inverse")
_DECAY = Rule(_HIDDEN, Quantity.WEIGHT_DECAY, ONE, Source(_HYPERP, "first-order no-op", "weight decay"), off=True)

_REMARKS = (
    "AdamW trains embeddings, readouts and vectors, as the Hyperball authors have it; levanter keeps readouts on their "
    "sphere too",
    "coming from a run with learning rate eta and weight decay lambda, levanter starts from the relative rate "
    "sqrt(eta * lambda), the share of its norm by which such a run moves a matrix once its norm has settled",
    "the rate falls with the tokens as m_D^-0.32 (HyperP, arXiv 2603.28743): `token_exponent: 0.32`",
)
_REMARK_RANK = (
    "which `update_rank` holds depends on batch, data and width: in one step of MuonH at one relative rate the size "
    "of updates as maps grew as width^0.1 over widths 64 to 512 with batches of 2048 random examples, as width^0.4 "
    "with 64, and as width^0.1 to width^0.5, by layer, in a small decoder of bytes; the coordinate check tells"
)
_REMARK_DRIFT = (
    "the Hyperball authors find that under one relative rate the optimum moves by 1.4x from width 128 to 2048, for "
    "AdamH as for MuonH"
)


def _rates(adam: RuleTable, full: Source) -> dict[str, Rule]:
    """The rate under each `update_rank`.

    Adam's rate is that of an update of one direction, sqrt(fan_in fan_out) times its entries, at the spectral
    condition; so Adam's rate over the weight's entries is the share for a fixed rank.
    """
    rate = adam.rules[_HIDDEN, Quantity.LEARNING_RATE].exponents
    std = adam.rules[_HIDDEN, Quantity.INIT_STD].exponents
    fixed = rate * std**-1
    smaller = IN * OUT * LARGER**-1
    alike = "Adam's exponent minus the init's, as for Adafactor"
    return {
        "full": Rule(_HIDDEN, Quantity.LEARNING_RATE, fixed * smaller**0.5, full),
        "fixed": Rule(_HIDDEN, Quantity.LEARNING_RATE, fixed, Source("derived", "full alignment on the sphere", alike)),
    }


def _hidden(rules: Iterable[Rule]) -> tuple[Rule, ...]:
    return tuple(rule for rule in rules if rule.role is _HIDDEN)


def _sphere(adam: RuleTable, family: OptimizerFamily, full: Source | None) -> RuleTable:
    """The table on a sphere that goes with Adam's of the same parameterization; without a source the rate is one."""
    columns: dict[tuple[Quantity, str], Iterable[Rule]] = {
        (Quantity.WEIGHT_DECAY, name): [_DECAY] for name in _DECAY_CHOICES
    }
    defaults = Options(weight_decay=adam.defaults.weight_decay, batch_rule="none")
    if family == "sphere":
        columns |= {key: _hidden(column.values()) for key, column in adam.choices.items() if key[0] is Quantity.EPS}
        defaults = replace(defaults, eps=adam.defaults.eps)
    rates: tuple[Rule, ...] = (Rule(_HIDDEN, Quantity.LEARNING_RATE, ONE, _CONSTANT),)
    remarks: tuple[str, ...] = (*_REMARKS, _REMARK_DRIFT)
    if full is not None:
        rates = ()
        columns |= {(Quantity.LEARNING_RATE, name): [rule] for name, rule in _rates(adam, full).items()}
        defaults = replace(defaults, update_rank="fixed" if family == "sphere" else "full")
        remarks = (*_REMARKS, _REMARK_RANK, _REMARK_DRIFT)
    return table(
        adam.name,
        family,
        [adam.rules[_HIDDEN, quantity] for quantity in (Quantity.INIT_STD, Quantity.MULTIPLIER)],
        rates,
        choices=columns,
        defaults=defaults,
        covers=adam.covers,
        residual=adam.residual,
        alpha=adam.alpha,
        remarks=remarks,
    )


_WIDTH = Source(_HYPERP, "width transfer on the Frobenius sphere", "aspect kept; derived where it is not")
_SPECTRAL = Source("derived", "HyperP's rate over the init of arXiv 2310.17813", "spectral condition")
_DEPTH = Source(_HYPERP, "depth scaling on the Frobenius sphere", "Depth-muP's branches, 1/sqrt(depth)")
_OTHER_DEPTH = Source("derived", "HyperP's rate with branches m_L^-alpha", "depth * branch * relative rate constant")
#: where a matrix that may spread its updates has HyperP's rule, or what is derived from it
_FULL: Mapping[str, Source] = {"mup": _WIDTH, "spectral": _SPECTRAL, "depth-mup": _DEPTH, "completep": _OTHER_DEPTH}
_AS_MUONH = Source("derived", "Hyperball's one relative rate", "as for MuonH")
_OF_ADAMH: Mapping[str, Source] = dict.fromkeys(_FULL, _AS_MUONH) | {"mup": _CONSTANT}
_ADAM = tuple(adam for module in (standard, mup, spectral, depth) for adam in module.TABLES if adam.family == "adam")
TABLES: tuple[RuleTable, ...] = (
    *(_sphere(adam, "sphere", _OF_ADAMH.get(adam.name)) for adam in _ADAM),
    *(_sphere(adam, "orthogonal-sphere", _FULL.get(adam.name)) for adam in _ADAM),
)
