"""Which rules apply to each parameter of a model, as exact exponents: what a size's plan follows, without the size."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from hptransfer.errors import UsageError
from hptransfer.parameterization.gauge import Gauge
from hptransfer.parameterization.plan_parameter import exponents_of
from hptransfer.parameterization.roles import Parameter, Role
from hptransfer.parameterization.rules import Exponents, OptimizerFamily, Options, RuleTable
from hptransfer.parameterization.tables import FAMILIES, TABLES, ParameterizationSpec, find_table, table_beside

#: quantity -> multiplier -> exponent as an exact fraction, for example {"learning_rate": {"fan_in": "-1/2"}}; None
#: where the rule switches the quantity off
RuleText = dict[str, dict[str, str] | None]
#: (name, optimizer family) -> table
Tables = Mapping[tuple[str, OptimizerFamily], RuleTable]

#: beyond any exponent that is published; floats that stand for the same fraction give the same text
_DENOMINATOR = 10**6


@dataclass(frozen=True, slots=True)
class Chosen:
    """A parameterization with everything filled in that its table decides.

    Attributes:
        table: for the optimizer that trains the matrices.
        beside: for what Muon does not train; None for other optimizers.
        alpha: residual exponent, between 0.5 and 1; 0 where the table has none.
        options: named choices among published rules, the tables' defaults filled in.
        gauge: where multipliers live, one of `GAUGES`.
    """

    table: RuleTable
    beside: RuleTable | None
    alpha: float
    options: Options
    gauge: Gauge = "plain"

    @classmethod
    def of(
        cls,
        parameterization: ParameterizationSpec,
        optimizer: str,
        given: Options,
        tables: Tables | None = None,
        gauge: Gauge = "plain",
    ) -> Chosen:
        """Look up the tables and fill in what they decide.

        Args:
            parameterization: name and alpha; a recipe's `parameterization` section will do.
            optimizer: a name in `FAMILIES`.
            given: the choices that the user made.
            tables: another version's; None takes this one's.
            gauge: where multipliers live, one of `GAUGES`.

        Raises:
            UsageError: no source covers this combination.
        """
        find_table(parameterization, optimizer)  # says what is known where this version does not know it
        known = TABLES if tables is None else tables
        table = known.get((parameterization.name, FAMILIES[optimizer]))
        if table is None:
            raise UsageError("the tables must cover the recipe", received=f"{parameterization.name}, {optimizer}")
        alpha = 0.0
        if table.alpha is not None:
            alpha = table.alpha.default if parameterization.alpha is None else parameterization.alpha
        beside = table_beside(table, given, known)
        if beside is None:
            return cls(table, None, alpha, given.filled(table.defaults), gauge)
        return cls(table, beside, alpha, given.filled(table.defaults.filled(beside.defaults)), gauge)

    def rules_of(self, parameter: Parameter, *, in_forward: bool = False) -> RuleText:
        """The rules of one parameter as exact text.

        Args:
            parameter: with its role; its shape does not matter.
            in_forward: whether its module applies the readout's multiplier by itself, as mup's do.

        Raises:
            UsageError: the table has no rule for the parameter's role.
        """
        matrix = self.beside is None or parameter.role is Role.HIDDEN_WEIGHT
        table = self.table if matrix or self.beside is None else self.beside
        gauge: Gauge = "multipliers" if in_forward else self.gauge
        found = exponents_of(table, parameter, self.alpha, gauge, self.options)
        return {quantity.value: None if powers is None else exact(powers) for quantity, powers in found.items()}


def exact(powers: Exponents) -> dict[str, str]:
    """Exponents as fractions by the name of their multiplier, zeros left out."""
    named = powers.resolved(0.0)
    return {name: str(Fraction(power).limit_denominator(_DENOMINATOR)) for name, power in sorted(named.items())}


def differences(
    before: Chosen, now: Chosen, parameters: Sequence[Parameter], multiplied: Collection[str] = ()
) -> tuple[str, ...]:
    """What changed between two versions of the tables for the roles of a model, one phrase each.

    Args:
        before: table and options that the older version chose.
        now: table and options that this version chooses.
        parameters: all parameters of the model, with their roles.
        multiplied: names of those whose module multiplies in `forward` by itself.

    Returns:
        Phrases such as "hidden weight learning_rate: fan_in^-1 -> fan_in^-1/2"; empty where the rules are the same.
    """
    found: dict[str, None] = {}
    for parameter in parameters:
        in_forward = parameter.name in multiplied
        old, new = _rules(before, parameter, in_forward), _rules(now, parameter, in_forward)
        for quantity in {**old, **new}:
            if old.get(quantity, {}) != new.get(quantity, {}):
                texts = (as_text(old.get(quantity, {})), as_text(new.get(quantity, {})))
                found[f"{parameter.role.value} {quantity}: {' -> '.join(texts)}"] = None
    for name in ("betas", "weight_decay"):
        old_choice, new_choice = getattr(before.options, name), getattr(now.options, name)
        if old_choice != new_choice:
            found[f"{name}: {old_choice} -> {new_choice}"] = None
    return tuple(found)


def _rules(chosen: Chosen, parameter: Parameter, in_forward: bool) -> RuleText:
    try:
        return chosen.rules_of(parameter, in_forward=in_forward)
    except UsageError:  # the other version knows a rule for this role
        return {}


def as_text(powers: Mapping[str, str] | None) -> str:
    """Exponents as a person reads them: "fan_in^-1/2"; "1" for no scaling, "off" for a quantity switched off."""
    if powers is None:
        return "off"
    return " ".join(f"{name}^{power}" for name, power in powers.items()) or "1"
