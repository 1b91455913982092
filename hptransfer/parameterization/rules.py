"""What a rule is: (role, quantity) -> powers of the size's multipliers, with the place it was published."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from hptransfer.parameterization.roles import Role

#: optimizers that share one set of rules: "adam" normalises the gradient entry by entry, "sgd" follows its size
Family = Literal["adam", "sgd"]

#: the names in which rules are printed
SYMBOLS = {"fan_in": "m_in", "fan_out": "m_out", "depth": "m_L", "batch": "m_B", "tokens": "m_D"}


class Quantity(StrEnum):
    """What a rule scales; `multiplier` is the factor that `forward` applies to a weight's output."""

    INIT_STD = "init_std"
    MULTIPLIER = "multiplier"
    LEARNING_RATE = "learning_rate"
    WEIGHT_DECAY = "weight_decay"
    EPS = "eps"


@dataclass(frozen=True, slots=True)
class Source:
    """Where a rule was published; `paper` is "derived" where no paper prints the row."""

    paper: str
    table: str
    row: str

    def __str__(self) -> str:
        return f"{self.paper}, {self.table}, {self.row}"


@dataclass(frozen=True, slots=True)
class Multipliers:
    """Ratios of a size to the base size, all positive.

    Attributes:
        fan_in: of this parameter's fan-in, so that axes may grow unequally.
        fan_out: of this parameter's fan-out.
        depth: of the number of repeated layers; 1 for a parameter outside the residual blocks.
        batch: of examples per step.
        tokens: of predicted positions over the run.
    """

    fan_in: float = 1.0
    fan_out: float = 1.0
    depth: float = 1.0
    batch: float = 1.0
    tokens: float = 1.0


@dataclass(frozen=True, slots=True)
class Exponents:
    """A product of powers of the multipliers; the depth exponent is `depth + depth_alpha * alpha`."""

    fan_in: float = 0.0
    fan_out: float = 0.0
    depth: float = 0.0
    depth_alpha: float = 0.0
    batch: float = 0.0
    tokens: float = 0.0

    def __mul__(self, other: Exponents) -> Exponents:
        """The product of two factors: exponents add."""
        return Exponents(
            self.fan_in + other.fan_in,
            self.fan_out + other.fan_out,
            self.depth + other.depth,
            self.depth_alpha + other.depth_alpha,
            self.batch + other.batch,
            self.tokens + other.tokens,
        )

    def __pow__(self, power: float) -> Exponents:
        """The factor raised to a power: exponents scale."""
        return Exponents(
            self.fan_in * power,
            self.fan_out * power,
            self.depth * power,
            self.depth_alpha * power,
            self.batch * power,
            self.tokens * power,
        )

    def resolved(self, alpha: float) -> dict[str, float]:
        """Multiplier name -> exponent at one alpha, without zeros."""
        exponents = {
            "fan_in": self.fan_in,
            "fan_out": self.fan_out,
            "depth": self.depth + self.depth_alpha * alpha,
            "batch": self.batch,
            "tokens": self.tokens,
        }
        return {name: exponent for name, exponent in exponents.items() if exponent != 0}

    def factor(self, multipliers: Multipliers, alpha: float) -> float:
        """The number to multiply a base value with; exactly 1 where every multiplier is 1."""
        product = 1.0
        for name, exponent in self.resolved(alpha).items():
            product *= float(getattr(multipliers, name)) ** exponent
        return product

    def text(self, alpha: float) -> str:
        """The factor as it is printed, for example "m_in^-1 m_L^-0.5"; "1" for no scaling."""
        powers = (
            SYMBOLS[name] if exponent == 1 else f"{SYMBOLS[name]}^{exponent:g}"
            for name, exponent in self.resolved(alpha).items()
        )
        return " ".join(powers) or "1"


@dataclass(frozen=True, slots=True)
class Rule:
    """One cell of a table: how one quantity of one role scales, and who says so."""

    role: Role
    quantity: Quantity
    exponents: Exponents
    source: Source


@dataclass(frozen=True, slots=True)
class Alpha:
    """The range of the residual exponent of a table that has one."""

    low: float
    high: float
    default: float


@dataclass(frozen=True, slots=True)
class Table:
    """One parameterization for one optimizer family, in the form with forward multipliers.

    Attributes:
        name: as recipes say it.
        family: the optimizers it is for.
        rules: every (role, quantity) of the family.
        residual: multiplier of every residual branch; None where the table has no depth rule.
        alpha: range of the residual exponent; None where the table has none.
        weight_decay: the named choice among incompatible published rules. "constant": the decay per step,
            learning_rate * weight_decay, does not change with the width.
        covers: the axes of a size for which the table has rules.
    """

    name: str
    family: Family
    rules: Mapping[tuple[Role, Quantity], Rule]
    residual: Rule | None
    alpha: Alpha | None
    weight_decay: Literal["constant"]
    covers: frozenset[str]
