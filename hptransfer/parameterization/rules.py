"""What a rule is: (role, quantity) -> powers of the size's multipliers, with the place it was published."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Literal

from hptransfer.parameterization.options import Options
from hptransfer.parameterization.roles import Role

#: optimizers that share one set of rules. "adam" normalises the gradient entry by entry, "sign" takes its sign,
#: "sgd" follows its size, "orthogonal" takes its matrix's polar factor (Muon), "adafactor" moves a weight relative to
#: its own size
OptimizerFamily = Literal["adam", "sign", "sgd", "orthogonal", "adafactor"]

#: the names in which rules are printed
SYMBOLS = {
    "fan_in": "m_in",
    "fan_out": "m_out",
    "larger": "m_max",
    "width": "m_N",
    "depth": "m_L",
    "layers": "m_L",
    "batch": "m_B",
    "tokens": "m_D",
}
#: of a table without a base size
ABSOLUTE_SYMBOLS = SYMBOLS | {"fan_in": "fan_in", "fan_out": "fan_out", "larger": "max(fan)", "depth": "depth"}


class Quantity(StrEnum):
    """What a rule scales; `multiplier` is the factor that `forward` applies to a weight's output."""

    INIT_STD = "init_std"
    MULTIPLIER = "multiplier"
    LEARNING_RATE = "learning_rate"
    WEIGHT_DECAY = "weight_decay"
    EPS = "eps"


@dataclass(frozen=True, slots=True)
class Source:
    """Where a rule was published; `paper` is "derived" where no paper prints the row.

    Attributes:
        paper: paper or repository, a key of the provenance table.
        table: table, figure or function in it.
        row: row or line in that.
    """

    paper: str
    table: str
    row: str

    def __str__(self) -> str:
        return f"{self.paper}, {self.table}, {self.row}"


@dataclass(frozen=True, slots=True)
class SizeRatios:
    """Ratios of a size to the base size, all positive; of an absolute table, the size itself.

    Attributes:
        fan_in: ratio of this parameter's fan-in, so that axes may grow unequally.
        fan_out: ratio of this parameter's fan-out.
        larger: ratio of the larger of its two fans.
        width: ratio of the model's width.
        depth: ratio of the number of repeated layers; 1 for a parameter outside the residual blocks.
        layers: ratio of the number of repeated layers, for every parameter.
        batch: ratio of the examples per step.
        tokens: ratio of the predicted positions over the run.
    """

    fan_in: float = 1.0
    fan_out: float = 1.0
    larger: float = 1.0
    width: float = 1.0
    depth: float = 1.0
    layers: float = 1.0
    batch: float = 1.0
    tokens: float = 1.0


@dataclass(frozen=True, slots=True)
class Exponents:
    """A product of powers of the multipliers; the depth exponent is `depth + depth_alpha * alpha`, layers alike.

    Attributes:
        fan_in: power of m_in, the growth of the fan-in.
        fan_out: power of m_out, the growth of the fan-out.
        larger: power of m_max, the growth of the larger fan.
        width: power of m_N, the growth of the model's width.
        depth: power of m_L for parameters inside residual blocks, without alpha's part.
        depth_alpha: what alpha is multiplied by in that power.
        layers: power of m_L for every parameter, without alpha's part.
        layers_alpha: what alpha is multiplied by in that power.
        batch: power of m_B, the growth of the batch.
        tokens: power of m_D, the growth of the tokens.
    """

    fan_in: float = 0.0
    fan_out: float = 0.0
    larger: float = 0.0
    width: float = 0.0
    depth: float = 0.0
    depth_alpha: float = 0.0
    layers: float = 0.0
    layers_alpha: float = 0.0
    batch: float = 0.0
    tokens: float = 0.0

    def __mul__(self, other: Exponents) -> Exponents:
        """The product of two factors: exponents add."""
        return Exponents(*(getattr(self, name) + getattr(other, name) for name in _FIELDS))

    def __pow__(self, power: float) -> Exponents:
        """The factor raised to a power: exponents scale."""
        return Exponents(*(getattr(self, name) * power for name in _FIELDS))

    def at(self, alpha: float) -> Exponents:
        """The same factor with alpha put in."""
        return Exponents(**self.resolved(alpha))

    def resolved(self, alpha: float) -> dict[str, float]:
        """Multiplier name -> exponent at one alpha, without zeros."""
        exponents = {name: getattr(self, name) for name in SYMBOLS}
        exponents["depth"] += self.depth_alpha * alpha
        exponents["layers"] += self.layers_alpha * alpha
        return {name: exponent for name, exponent in exponents.items() if exponent != 0}

    def factor(self, multipliers: SizeRatios, alpha: float) -> float:
        """The number to multiply a base value with; exactly 1 where every multiplier is 1."""
        product = 1.0
        for name, exponent in self.resolved(alpha).items():
            product *= float(getattr(multipliers, name)) ** exponent
        return product

    def text(self, alpha: float, symbols: Mapping[str, str] = SYMBOLS) -> str:
        """The factor as it is printed, for example "m_in^-1 m_L^-0.5"; "1" for no scaling."""
        powers = (
            symbols[name] if exponent == 1 else f"{symbols[name]}^{exponent:g}"
            for name, exponent in self.resolved(alpha).items()
        )
        return " ".join(powers) or "1"


_FIELDS = tuple(field.name for field in fields(Exponents))


@dataclass(frozen=True, slots=True)
class Rule:
    """One cell of a table: how one quantity of one role scales, and who says so.

    Attributes:
        role: role of the parameters that the rule is for.
        quantity: what the rule scales, for example the learning rate.
        exponents: the factor, as powers of the size's ratios.
        source: who printed it, or "derived".
        per_step: for weight decay: whether the factor is that of learning_rate * weight_decay.
        off: for weight decay: whether there is none.
    """

    role: Role
    quantity: Quantity
    exponents: Exponents
    source: Source
    per_step: bool = False
    off: bool = False


@dataclass(frozen=True, slots=True)
class Alpha:
    """The range of the residual exponent of a table that has one.

    Attributes:
        low: smallest exponent that the source covers.
        high: largest exponent that the source covers.
        default: exponent where none is chosen.
    """

    low: float
    high: float
    default: float


@dataclass(frozen=True, slots=True)
class RuleTable:
    """One parameterization for one optimizer family, in the form in which it was printed.

    Attributes:
        name: name of the parameterization in recipes.
        family: the optimizers it is for.
        rules: (role, quantity) -> rule; a role without rules is not known. For the family "orthogonal" only hidden
            weights have rules, all others follow the table of `Options.beside_muon`.
        choices: (quantity, choice of the option) -> role -> rule, which replaces the one in `rules`; `defaults` say
            which choice that is.
        residual: multiplier of every residual branch; None where the table has no depth rule.
        alpha: range of the residual exponent; None where the table has none.
        covers: the axes of a size for which the table has rules.
        defaults: the table's own choice for every option that concerns it.
        absolute: whether factors are powers of the size itself, with init stds of 1, instead of ratios to a base size.
        remarks: what a reader must know: disagreements, and where the rules stop to hold.
    """

    name: str
    family: OptimizerFamily
    rules: Mapping[tuple[Role, Quantity], Rule]
    choices: Mapping[tuple[Quantity, str], Mapping[Role, Rule]]
    residual: Rule | None
    alpha: Alpha | None
    covers: frozenset[str]
    defaults: Options
    absolute: bool = False
    remarks: tuple[str, ...] = ()

    def rules_for(self, role: Role, options: Options) -> dict[Quantity, Rule]:
        """The rules of a role under resolved options; empty where the table knows none."""
        rules = {quantity: rule for (of, quantity), rule in self.rules.items() if of is role}
        for (quantity, choice), column in self.choices.items():
            if choice == getattr(options, OPTION_OF[quantity]) and role in column:
                rules[quantity] = column[role]
        return rules


#: the option that chooses among a quantity's rules
OPTION_OF = {Quantity.WEIGHT_DECAY: "weight_decay", Quantity.EPS: "eps", Quantity.LEARNING_RATE: "muon_scale"}
