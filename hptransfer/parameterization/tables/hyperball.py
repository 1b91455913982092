"""Hyperball (AdamH, MuonH): a hidden weight keeps its norm, and each step moves it by a share of that norm.

The share is the learning rate, so a rule for it is the rule of the update's size over the size of the weight, which the
init gives. An update of norm r |W| has the spectral norm r |W| where it points one way, as a gradient's signs do under
full alignment (AdamH), and r |W| / sqrt(min(fan_in, fan_out)) where all its singular values are equal (MuonH), and
|W| = std sqrt(fan_in fan_out).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from hptransfer.parameterization.roles import Role
from hptransfer.parameterization.rules import Exponents, OptimizerFamily, Options, Quantity, Rule, RuleTable, Source
from hptransfer.parameterization.tables import depth, mup, spectral, standard
from hptransfer.parameterization.tables.build import DEPTH, IN, LARGER, ONE, OUT, Choices, table

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
_REMARK_MUONH = (
    "MuonH's rule holds while the rank of a gradient grows with the width, that is for more predicted positions in a "
    "batch than the width; where it does not, updates of one norm have fewer and larger singular values (measured: an "
    "exponent of 0.4 instead of 0.1 with 64 examples and widths 64 to 512)"
)
_REMARK_ADAMH = (
    "for AdamH the papers disagree: its authors keep one relative rate at every width and find that its optimum moves "
    "by 1.4x from width 128 to 2048 (`standard` does so); m_in^-0.5 is Adam's rate over the init's size under full "
    "alignment, as for Adafactor (Everett et al., arXiv 2407.05872)"
)


def _adamh_rates(adam: RuleTable) -> tuple[Rule, ...]:
    """Adam's rate over the size of the weight: an update's entries over the weight's entries."""
    rate = adam.rules[_HIDDEN, Quantity.LEARNING_RATE].exponents
    std = adam.rules[_HIDDEN, Quantity.INIT_STD].exponents
    source = Source("derived", "AdamH under full alignment", "Adam's exponent minus the init's")
    return (Rule(_HIDDEN, Quantity.LEARNING_RATE, rate * std**-1, source),)


def _muonh_rates(adam: RuleTable, slower: Exponents, source: Source) -> tuple[Rule, ...]:
    """A spectral norm of sqrt(fan_out/fan_in), as a share of the weight's norm, spread over min(fan_in, fan_out)."""
    std = adam.rules[_HIDDEN, Quantity.INIT_STD].exponents
    relative = OUT**0.5 * IN**-0.5 * LARGER**-0.5 * std**-1
    return (Rule(_HIDDEN, Quantity.LEARNING_RATE, relative * slower, source),)


def _constant_rates() -> tuple[Rule, ...]:
    return (Rule(_HIDDEN, Quantity.LEARNING_RATE, ONE, _CONSTANT),)


def _hidden(rules: Iterable[Rule]) -> tuple[Rule, ...]:
    return tuple(rule for rule in rules if rule.role is _HIDDEN)


def _sphere(
    adam: RuleTable, family: OptimizerFamily, rates: Iterable[Rule], *, remarks: tuple[str, ...] = ()
) -> RuleTable:
    """The table on a sphere that goes with Adam's of the same parameterization."""
    columns: dict[tuple[Quantity, str], Iterable[Rule]] = {
        (Quantity.WEIGHT_DECAY, name): [_DECAY] for name in _DECAY_CHOICES
    }
    if family == "sphere":
        columns |= {key: _hidden(column.values()) for key, column in adam.choices.items() if key[0] is Quantity.EPS}
    choices: Choices = columns
    defaults = Options(weight_decay=adam.defaults.weight_decay, batch_rule="none")
    if family == "sphere":
        defaults = replace(defaults, eps=adam.defaults.eps)
    return table(
        adam.name,
        family,
        [adam.rules[_HIDDEN, quantity] for quantity in (Quantity.INIT_STD, Quantity.MULTIPLIER)],
        rates,
        choices=choices,
        defaults=defaults,
        covers=adam.covers,
        residual=adam.residual,
        alpha=adam.alpha,
        remarks=_REMARKS + remarks,
    )


_WIDTH = Source(_HYPERP, "width transfer on the Frobenius sphere", "aspect kept; derived where it is not")
_DEPTH = Source(_HYPERP, "depth scaling on the Frobenius sphere", "Depth-muP's branches, 1/sqrt(depth)")
_OTHER_DEPTH = Source("derived", "HyperP's rate with branches m_L^-alpha", "depth * branch * relative rate constant")
_ADAM: Mapping[str, RuleTable] = {
    adam.name: adam for module in (mup, spectral, depth) for adam in module.TABLES if adam.family == "adam"
}
_SLOWER: Mapping[str, tuple[Exponents, Source]] = {
    "mup": (ONE, _WIDTH),
    "spectral": (ONE, Source("derived", "HyperP's rate over the init of arXiv 2310.17813", "spectral condition")),
    "depth-mup": (DEPTH**-0.5, _DEPTH),
    "completep": (DEPTH**-1 * Exponents(depth_alpha=1), _OTHER_DEPTH),
}
TABLES: tuple[RuleTable, ...] = (
    _sphere(standard.STANDARD_ADAM, "sphere", _constant_rates()),
    _sphere(standard.STANDARD_ADAM, "orthogonal-sphere", _constant_rates()),
    *(
        made
        for name, (slower, source) in _SLOWER.items()
        for made in (
            _sphere(_ADAM[name], "sphere", _adamh_rates(_ADAM[name]), remarks=(_REMARK_ADAMH,)),
            _sphere(
                _ADAM[name], "orthogonal-sphere", _muonh_rates(_ADAM[name], slower, source), remarks=(_REMARK_MUONH,)
            ),
        )
    ),
)
