"""The published tables as data; `gauge.py` moves forward multipliers where a model is plain.

Everything that prints, applies, checks or documents a rule reads `TABLES`. One module per paper; what is not in it is
not known, and `find_table` says what is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Protocol

from hptransfer.errors import UsageError
from hptransfer.parameterization.rules import HIDDEN_ONLY, OptimizerFamily, Options, RuleTable
from hptransfer.parameterization.tables import (
    complete_d_p,
    depth,
    everett,
    hyperball,
    muon,
    mup,
    spectral,
    standard,
    u_mup,
)

#: (name, optimizer family) -> table
TABLES: Mapping[tuple[str, OptimizerFamily], RuleTable] = MappingProxyType(
    {
        (table.name, table.family): table
        for module in (standard, everett, mup, spectral, depth, complete_d_p, u_mup, muon, hyperball)
        for table in module.TABLES
    }
)

#: no rule is claimed: what a ladder measured alone says what another size needs
MEASURED = "measured"
#: names of the parameterizations, in the order of the tables
PARAMETERIZATIONS: tuple[str, ...] = tuple(dict.fromkeys(name for name, _ in TABLES))

#: those whose tables draw every weight at std 1 instead of scaling an init
ABSOLUTE: frozenset[str] = frozenset(name for (name, _), table in TABLES.items() if table.absolute)

#: optimizer, as recipes and `plan` say it -> the family whose rules it follows
FAMILIES: Mapping[str, OptimizerFamily] = MappingProxyType(
    {
        "adamw": "adam",
        "adam": "adam",
        "rmsprop": "adam",
        "adagrad": "adam",
        "lion": "sign",
        "signsgd": "sign",
        "sgd": "sgd",
        "muon": "orthogonal",
        "adafactor": "adafactor",
        "adamh": "sphere",
        "muonh": "orthogonal-sphere",
    }
)
#: optimizers whose `weight_decay` is added to a gradient that they then normalise, for which no rule is known
COUPLED_DECAY = frozenset({"adam", "rmsprop", "adagrad"})
#: optimizers that have been asked for and have no rules here -> what is known, a clause
WITHOUT_RULES: Mapping[str, str] = MappingProxyType(
    dict.fromkeys(
        ("soap", "shampoo"),
        "rules exist (arXiv 2512.05620) but were not read in the paper, and accounts of SOAP's disagree: 1/fan_in as "
        "Adam's, or sqrt(fan_out/fan_in) as Muon's; muon is the nearest optimizer with a known rule",
    )
)


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
    """A chosen parameterization, for callers without a recipe.

    Attributes:
        name: name of the parameterization, a name in `TABLES`.
        alpha: exponent of residual branches; None takes the table's default.
    """

    name: str
    alpha: float | None = None


def name_with_alpha(table: RuleTable, alpha: float) -> str:
    """The name as files have it, for example "completep(alpha=1)".

    Args:
        table: of the parameterization, for any optimizer.
        alpha: exponent of residual branches; it is left out where the table has none.
    """
    return table.name if table.alpha is None else f"{table.name}(alpha={alpha:g})"


def find_table(spec: ParameterizationSpec, optimizer: str) -> tuple[RuleTable, float]:
    """The table of a parameterization for an optimizer, and the alpha to use (0 where the table has none).

    Args:
        spec: name and alpha of the parameterization.
        optimizer: name of the optimizer, a key of `FAMILIES`.

    Raises:
        UsageError: an unknown name or optimizer, a combination that no source covers, or an alpha outside the table's
            range.
    """
    family = FAMILIES.get(optimizer)
    if family is None:
        raise UsageError(
            f"the optimizer must be one of {', '.join(FAMILIES)}",
            received=optimizer,
            hint=WITHOUT_RULES.get(optimizer, "no published rule is known for others; a plan never guesses one"),
        )
    table = TABLES.get((spec.name, family))
    if table is None:
        raise _unknown(spec.name, optimizer, family)
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


def covered_axes_of(name: str, optimizer: str) -> frozenset[str]:
    """Axes of a model's size ("width", "depth") for which a parameterization has a power; none where it has no table.

    Args:
        name: name of the parameterization, a name in `TABLES` or `MEASURED`.
        optimizer: name of the optimizer, a key of `FAMILIES`.
    """
    family = FAMILIES.get(optimizer)
    table = None if family is None else TABLES.get((name, family))
    return frozenset() if table is None else table.covers & {"width", "depth"}


def table_beside(
    table: RuleTable, options: Options, tables: Mapping[tuple[str, OptimizerFamily], RuleTable] = TABLES
) -> RuleTable | None:
    """The table of what an optimizer of hidden weights does not train; None where one optimizer trains everything.

    Args:
        table: the rules of the matrices.
        options: with the optimizer of the rest, AdamW where they do not say it.
        tables: all of a version.
    """
    return tables[table.name, FAMILIES[options.beside_muon or "adamw"]] if table.family in HIDDEN_ONLY else None


def _unknown(name: str, optimizer: str, family: OptimizerFamily) -> UsageError:
    if name == MEASURED:
        return UsageError(
            "a plan must follow rules",
            received=f"{MEASURED}, which claims none",
            hint="write `standard` for one value at every size",
        )
    if name not in PARAMETERIZATIONS:
        return UsageError(f"the parameterization must be one of {', '.join(PARAMETERIZATIONS)}", received=name)
    families = {of for known, of in TABLES if known == name}
    optimizers = [known for known, of in FAMILIES.items() if of in families]
    others = [known for known, of in TABLES if of == family]
    return UsageError(
        f"a rule for `{name}` with `{optimizer}` must have a source, and none is known",
        received=f"{name}, {optimizer}",
        hint=f"known for {name}: {', '.join(optimizers)}; known for {optimizer}: {', '.join(others)}",
    )
