"""How tables are written down: a row reads like a row of the papers, one entry per role in `ROLES` order."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from types import MappingProxyType

from hptransfer.parameterization.roles import Role
from hptransfer.parameterization.rules import (
    ON_SPHERE,
    Alpha,
    Exponents,
    OptimizerFamily,
    Options,
    Quantity,
    Rule,
    RuleTable,
    Source,
)

#: the columns of every row
ROLES = (
    Role.EMBEDDING,
    Role.HIDDEN_WEIGHT,
    Role.HIDDEN_VECTOR,
    Role.OUTER_VECTOR,
    Role.READOUT,
    Role.READOUT_BIAS,
)
#: roles inside residual blocks, to which depth rules apply
IN_BLOCK = (Role.HIDDEN_WEIGHT, Role.HIDDEN_VECTOR, Role.ROUTER)

ONE = Exponents()
IN = Exponents(fan_in=1)
OUT = Exponents(fan_out=1)
LARGER = Exponents(larger=1)
DEPTH = Exponents(depth=1)
DEPTH_ALPHA = Exponents(depth_alpha=1)  # m_L^alpha

WIDTH = frozenset({"width"})
WIDTH_AND_DEPTH = frozenset({"width", "depth"})

TP5 = "Tensor Programs V (arXiv 2203.03466)"
EVERETT = "Everett et al. (arXiv 2407.05872)"
KEEPS_DECAY = Source("derived", "MuAdamW's rule", "keeps learning_rate * weight_decay")
ADAFACTOR_REMARKS = (
    "torch's Adafactor moves a weight by learning_rate * max(eps2, RMS(weight)): weights smaller than eps2, such as "
    "biases that start at zero, do not follow the rule; its rate is at most 1/sqrt(step)",
)


def gradient_of(form: str) -> Source:
    """The source of an eps row that follows the gradient's size in a form of a table."""
    return Source("derived", f"gradient size in the form of {form}", "measured by tests/parameterization")


#: a table's choices that are not its defaults, or name them: (quantity, choice) -> rules
Choices = Mapping[tuple[Quantity, str], Iterable[Rule]]


def row(quantity: Quantity, source: Source, *exponents: Exponents) -> tuple[Rule, ...]:
    """One row of a paper's table: an entry per role."""
    return tuple(Rule(role, quantity, power, source) for role, power in zip(ROLES, exponents, strict=True))


def same(quantity: Quantity, source: Source, roles: Iterable[Role], exponents: Exponents = ONE) -> tuple[Rule, ...]:
    """A row with the same entry for every role."""
    return tuple(Rule(role, quantity, exponents, source) for role in roles)


def inverse(rules: Iterable[Rule], quantity: Quantity, source: Source) -> tuple[Rule, ...]:
    """The reciprocal of a row, for another quantity."""
    return tuple(Rule(rule.role, quantity, rule.exponents**-1, source) for rule in rules)


def changed(
    rules: Iterable[Rule], roles: Iterable[Role], change: Callable[[Exponents], Exponents], source: Source
) -> tuple[Rule, ...]:
    """A row in which the entries of some roles are others."""
    kept = frozenset(roles)
    return tuple(
        replace(rule, exponents=change(rule.exponents), source=source) if rule.role in kept else rule for rule in rules
    )


def roles_of(rules: Iterable[Rule]) -> tuple[Role, ...]:
    """The roles of a row, in its order."""
    return tuple(rule.role for rule in rules)


_UNSCALED = Source("nanoGPT-mup master, Megatron-LM", "use_mup", "weight decay is not scaled")
_INDEPENDENT = Source("u-muP (arXiv 2407.17465)", "unit_scaling.optim", "independent_weight_decay")
_SQRT = Source("arXiv 2510.15262", "weight decay of matrices", "sqrt(width); vectors have none")
_INVERSE = Source("arXiv 2512.05620", "independent weight decay", "1/width")


def decay_choices(constant: Iterable[Rule], family: OptimizerFamily) -> Choices:
    """Every known answer to how weight decay scales, for a table whose published answer is `constant`.

    The family "sgd" couples decay to the learning rate (L2) and "adafactor" moves weights relative to their size; for
    both only the coupled answers are known.
    """
    rules = tuple(constant)
    roles = roles_of(rules)
    quantity = Quantity.WEIGHT_DECAY
    choices: dict[tuple[Quantity, str], Iterable[Rule]] = {
        (quantity, "constant"): rules,
        (quantity, "unscaled"): same(quantity, _UNSCALED, roles),
    }
    if family in {"adam", "sign", "orthogonal"}:
        choices[quantity, "independent"] = [
            replace(rule, per_step=True) for rule in same(quantity, _INDEPENDENT, roles)
        ]
    if family == "adam":
        choices[quantity, "sqrt"] = [
            Rule(
                role,
                quantity,
                IN**0.5 if role is Role.HIDDEN_WEIGHT else ONE,
                _SQRT,
                off=role is not Role.HIDDEN_WEIGHT,
            )
            for role in roles
        ]
    if family in {"adam", "orthogonal"}:
        choices[quantity, "inverse"] = [
            Rule(role, quantity, IN**-1 if role is Role.HIDDEN_WEIGHT else ONE, _INVERSE, per_step=True)
            for role in roles
        ]
    return choices


_NO_EPS_RULE = Source("microsoft/mup", "MuAdam", "eps is not scaled")


def eps_choices(roles: Iterable[Role], **known: Iterable[Rule]) -> Choices:
    """Adam's eps: the named columns, and `none`, which is known everywhere."""
    none = same(Quantity.EPS, _NO_EPS_RULE, roles)
    return {(Quantity.EPS, name): column for name, column in {"none": none, **known}.items()}


def table(
    name: str,
    family: OptimizerFamily,
    *parts: Iterable[Rule],
    choices: Choices,
    defaults: Options,
    covers: frozenset[str] = WIDTH,
    residual: Rule | None = None,
    alpha: Alpha | None = None,
    absolute: bool = False,
    remarks: tuple[str, ...] = (),
) -> RuleTable:
    """Put rows together; quantities with named choices take the default one."""
    columns = {key: {rule.role: rule for rule in rules} for key, rules in choices.items()}
    chosen = {
        Quantity.WEIGHT_DECAY: defaults.weight_decay,
        Quantity.EPS: defaults.eps,
        Quantity.LEARNING_RATE: defaults.update_rank if family in ON_SPHERE else defaults.muon_scale,
    }
    rules = {(rule.role, rule.quantity): rule for part in parts for rule in part}
    for (quantity, choice), column in columns.items():
        if chosen[quantity] == choice:
            rules.update({(role, quantity): rule for role, rule in column.items()})
    return RuleTable(
        name=name,
        family=family,
        rules=MappingProxyType(rules),
        choices=MappingProxyType({key: MappingProxyType(column) for key, column in columns.items()}),
        residual=residual,
        alpha=alpha,
        covers=covers,
        defaults=defaults,
        absolute=absolute,
        remarks=remarks,
    )


ADAM_DEFAULTS = Options(weight_decay="constant", eps="gradient", batch_rule="none", betas="linear")
DEFAULTS = Options(weight_decay="constant", batch_rule="none")


def sign_from(adam: RuleTable) -> RuleTable:
    """The table for sign updates (Lion): those of Adam, which for large gradients has the same size per entry.

    Derived: both move every entry by about the learning rate whatever the gradient's size, and only Adam has an eps.
    """
    derived = Source("derived", "the update's size per entry is Adam's", f"as {adam.name} for Adam")
    rules = {
        key: replace(rule, source=derived) if key[1] is Quantity.LEARNING_RATE else rule
        for key, rule in adam.rules.items()
        if key[1] is not Quantity.EPS
    }
    choices = {
        key: column
        for key, column in adam.choices.items()
        if key[0] is Quantity.WEIGHT_DECAY and key[1] in {"constant", "unscaled", "independent"}
    }
    defaults = replace(adam.defaults, eps=None, betas=None)
    return replace(adam, family="sign", rules=MappingProxyType(rules), choices=choices, defaults=defaults)
