"""The published tables as data, in the form with forward multipliers; `gauge.py` moves those where a model is plain.

Every entry multiplies the value at the base size. m_in and m_out are the growth of a parameter's own fan-in and
fan-out, m_L the growth of depth. A row of `_row` reads like a row of the papers: an entry per role, in `ROLES` order.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Protocol

from hptransfer.errors import UsageError
from hptransfer.parameterization.roles import Role
from hptransfer.parameterization.rules import Alpha, Exponents, Family, Quantity, Rule, Source, Table

ROLES = (
    Role.EMBEDDING,
    Role.HIDDEN_WEIGHT,
    Role.HIDDEN_VECTOR,
    Role.OUTER_VECTOR,
    Role.READOUT,
    Role.READOUT_BIAS,
)

_TP5 = "Tensor Programs V (arXiv 2203.03466)"
_COMPLETEP = "CompleteP (arXiv 2505.01618)"

ONE = Exponents()
IN = Exponents(fan_in=1)
OUT = Exponents(fan_out=1)
DEPTH = Exponents(depth=1)
DEPTH_ALPHA = Exponents(depth_alpha=1)  # m_L^alpha


def _row(quantity: Quantity, source: Source, *exponents: Exponents) -> tuple[Rule, ...]:
    return tuple(Rule(role, quantity, power, source) for role, power in zip(ROLES, exponents, strict=True))


def _inverse(rows: Iterable[Rule], quantity: Quantity, source: Source) -> tuple[Rule, ...]:
    return tuple(Rule(rule.role, quantity, rule.exponents**-1, source) for rule in rows)


# The order of the columns below: embedding, hidden weight, hidden vector, outer vector, readout, readout bias.

_SP_INIT = _row(
    Quantity.INIT_STD, Source(_TP5, "Table 3", "init. var., SP values"), ONE, IN**-0.5, ONE, ONE, IN**-0.5, ONE
)
_SP_REST = tuple(
    rule
    for quantity, row in (
        (Quantity.MULTIPLIER, "no multiplier in SP"),
        (Quantity.LEARNING_RATE, "learning rate, SP values"),
        (Quantity.WEIGHT_DECAY, "the optimizer's one value in SP"),
        (Quantity.EPS, "the optimizer's one value in SP"),
    )
    for rule in _row(quantity, Source(_TP5, "Table 3", row), *([ONE] * len(ROLES)))
)

_MUP_INIT = _row(Quantity.INIT_STD, Source(_TP5, "Table 8", "init. var."), ONE, IN**-0.5, ONE, ONE, ONE, ONE)
_MUP_MULTIPLIER = _row(Quantity.MULTIPLIER, Source(_TP5, "Table 8", "multiplier"), ONE, ONE, ONE, ONE, IN**-1, ONE)
_MUP_ADAM_LR = _row(Quantity.LEARNING_RATE, Source(_TP5, "Table 8", "Adam LR"), ONE, IN**-1, ONE, ONE, ONE, ONE)
_MUP_ADAM_DECAY = _inverse(
    _MUP_ADAM_LR, Quantity.WEIGHT_DECAY, Source("microsoft/mup", "MuAdamW", "keeps learning_rate * weight_decay")
)
# A pre-activation of a layer with n units has a gradient of order 1/n, and so has each weight that feeds it: fan-out
# counts. Measured where the inner width of a tanh MLP grew alone (Adam, 40 steps): exponent -0.80 for the matrix that
# leads into it (-0.55 at init), -0.09 for the one that leads out; -1.05 for both where every width grew.
_GRADIENT = Source("derived", "gradient size in the form of Table 8", "1/width behind the readout's 1/width")
_MUP_EPS = _row(Quantity.EPS, _GRADIENT, OUT**-1, OUT**-1, OUT**-1, OUT**-1, IN**-1, ONE)

_MUP_SGD_LR = _row(
    Quantity.LEARNING_RATE, Source(_TP5, "Table 8", "SGD LR, as in MuSGD"), OUT, OUT * IN**-1, OUT, OUT, IN, ONE
)
_MUP_SGD_DECAY = _inverse(
    _MUP_SGD_LR, Quantity.WEIGHT_DECAY, Source("microsoft/mup", "MuSGD", "keeps learning_rate * weight_decay")
)

_COMPLETEP_ADAM_LR = _row(
    Quantity.LEARNING_RATE,
    Source(_COMPLETEP, "Table 1", "learning rates (AdamW)"),
    ONE,
    IN**-1 * DEPTH**-1 * DEPTH_ALPHA,
    DEPTH**-1 * DEPTH_ALPHA,
    ONE,
    ONE,
    ONE,
)
# As printed: for alpha < 1 the decay per step then falls as m_L^(alpha-1), together with the learning rate.
_COMPLETEP_ADAM_DECAY = _row(
    Quantity.WEIGHT_DECAY, Source(_COMPLETEP, "Table 1", "hidden weight decay (AdamW)"), ONE, IN, ONE, ONE, ONE, ONE
)
_COMPLETEP_EPS = tuple(
    Rule(
        rule.role,
        Quantity.EPS,
        rule.exponents * DEPTH_ALPHA**-1,
        Source(_COMPLETEP, "Table 1", "AdamW eps, residual blocks"),
    )
    if rule.role in (Role.HIDDEN_WEIGHT, Role.HIDDEN_VECTOR)
    else rule
    for rule in _MUP_EPS
)
_COMPLETEP_SGD_LR = tuple(
    Rule(
        rule.role,
        Quantity.LEARNING_RATE,
        rule.exponents * DEPTH**-1 * DEPTH_ALPHA**2,
        Source("derived", "Table 8 of Tensor Programs V with branches m_L^-alpha", "m_L * branch^2 * SGD LR constant"),
    )
    if rule.role in (Role.HIDDEN_WEIGHT, Role.HIDDEN_VECTOR)
    else rule
    for rule in _MUP_SGD_LR
)
_COMPLETEP_SGD_DECAY = _inverse(
    _COMPLETEP_SGD_LR,
    Quantity.WEIGHT_DECAY,
    Source("derived", "MuSGD's rule", "keeps learning_rate * weight_decay"),
)
_BRANCH = Rule(
    Role.HIDDEN_WEIGHT,
    Quantity.MULTIPLIER,
    DEPTH_ALPHA**-1,
    Source(_COMPLETEP, "Table 1", "MHA and MLP residual"),
)
_ALPHA = Alpha(low=0.5, high=1.0, default=1.0)

_WIDTH = frozenset({"width"})
_WIDTH_AND_DEPTH = frozenset({"width", "depth"})


def _table(
    name: str, family: Family, *parts: Iterable[Rule], covers: frozenset[str], residual: Rule | None = None
) -> Table:
    rules = {
        (rule.role, rule.quantity): rule
        for part in parts
        for rule in part
        if family == "adam" or rule.quantity is not Quantity.EPS
    }
    alpha = _ALPHA if residual is not None else None
    return Table(name, family, MappingProxyType(rules), residual, alpha, "constant", covers)


#: (name, optimizer family) -> table; everything that prints, applies, checks or documents a rule reads this object
TABLES: Mapping[tuple[str, Family], Table] = MappingProxyType(
    {
        (table.name, table.family): table
        for table in (
            _table("standard", "adam", _SP_INIT, _SP_REST, covers=frozenset()),
            _table("standard", "sgd", _SP_INIT, _SP_REST, covers=frozenset()),
            _table("mup", "adam", _MUP_INIT, _MUP_MULTIPLIER, _MUP_ADAM_LR, _MUP_ADAM_DECAY, _MUP_EPS, covers=_WIDTH),
            _table("mup", "sgd", _MUP_INIT, _MUP_MULTIPLIER, _MUP_SGD_LR, _MUP_SGD_DECAY, covers=_WIDTH),
            _table(
                "completep",
                "adam",
                _MUP_INIT,
                _MUP_MULTIPLIER,
                _COMPLETEP_ADAM_LR,
                _COMPLETEP_ADAM_DECAY,
                _COMPLETEP_EPS,
                covers=_WIDTH_AND_DEPTH,
                residual=_BRANCH,
            ),
            _table(
                "completep",
                "sgd",
                _MUP_INIT,
                _MUP_MULTIPLIER,
                _COMPLETEP_SGD_LR,
                _COMPLETEP_SGD_DECAY,
                covers=_WIDTH_AND_DEPTH,
                residual=_BRANCH,
            ),
        )
    }
)

FAMILIES: Mapping[str, Family] = MappingProxyType({"adamw": "adam", "sgd": "sgd"})


class ParameterizationSpec(Protocol):
    """A chosen parameterization; the recipe's `parameterization` section is one."""

    @property
    def name(self) -> str:
        """A name in `TABLES`."""

    @property
    def alpha(self) -> float | None:
        """The residual exponent; None takes the table's default."""


@dataclass(frozen=True, slots=True)
class Parameterization:
    """A chosen parameterization, for callers without a recipe."""

    name: str
    alpha: float | None = None


def find_table(spec: ParameterizationSpec, optimizer: str) -> tuple[Table, float]:
    """The table of a parameterization for an optimizer, and the alpha to use (0 where the table has none).

    Raises:
        UsageError: an unknown name or optimizer, or an alpha outside the table's range.
    """
    family = FAMILIES.get(optimizer)
    if family is None:
        raise UsageError(f"the optimizer must be one of {', '.join(FAMILIES)}", received=optimizer)
    table = TABLES.get((spec.name, family))
    if table is None:
        names = sorted({name for name, of in TABLES if of == family})
        raise UsageError(f"the parameterization must be one of {', '.join(names)}", received=spec.name)
    if table.alpha is None:
        if spec.alpha is not None:
            raise UsageError(
                f"`{table.name}` has no residual exponent", received=f"alpha={spec.alpha:g}", hint="remove `alpha`"
            )
        return table, 0.0
    alpha = table.alpha.default if spec.alpha is None else spec.alpha
    if not table.alpha.low <= alpha <= table.alpha.high:
        raise UsageError(
            f"`{table.alpha.low:g} <= alpha <= {table.alpha.high:g}` must hold for {table.name}",
            received=f"alpha={alpha:g}",
        )
    return table, alpha
