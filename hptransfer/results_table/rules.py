"""What the user says about the rows of a table: what to keep, what is equal, which way the objective points."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, get_args

from hptransfer.errors import UsageError

#: what rows of one size, value and seed with different losses are: reruns whose mean counts, or further seeds
Repeats = Literal["mean", "seeds"]
#: a tolerance beyond this is no rounding: what differs by more are different settings
_WIDEST = 0.5


@dataclass(frozen=True, slots=True)
class RowRules:
    """How rows are read where the table itself cannot say.

    Attributes:
        maximize: whether higher is better (accuracy, reward); None where the user did not say.
        within: column -> relative tolerance, 0.05 for 5%, within which its values are one value.
        repeats: what rows of one size, value and seed with different losses are; None refuses them.
        ignored: columns that are no settings, although they look like some.
        complete: column of steps (epochs, tokens); runs that ended before the longest of their size are left out. None
            keeps all.
    """

    maximize: bool | None = None
    within: Mapping[str, float] = field(default_factory=dict)
    repeats: Repeats | None = None
    ignored: Sequence[str] = ()
    complete: str | None = None


def parse_tolerances(texts: Sequence[str]) -> dict[str, float]:
    """Column -> relative tolerance.

    Args:
        texts: COLUMN=PERCENT each, for example `tokens_per_parameter=5%`.

    Raises:
        UsageError: one of them has another form, or is no tolerance.
    """
    tolerances = {}
    for text in texts:
        column, equals, percent = text.rpartition("=")
        try:
            tolerance = float(percent.strip().removesuffix("%")) / 100
        except ValueError:
            tolerance = math.nan
        if not (equals and column.strip() and percent.strip().endswith("%") and 0 < tolerance <= _WIDEST):
            raise UsageError(
                f"`--within` takes COLUMN=PERCENT, more than 0% and at most {_WIDEST:.0%}",
                received=text,
                hint="--within tokens_per_parameter=5%",
            )
        tolerances[column.strip()] = tolerance
    return tolerances


def row_rules(
    maximize: bool | None,
    within: Sequence[str] | None,
    repeats: str | None,
    ignored: Sequence[str] | None,
    complete: str | None,
) -> RowRules:
    """The rules as a user writes them on a command line.

    Args:
        maximize: whether more of the objective is better; None where nothing was said.
        within: texts of the form COLUMN=PERCENT.
        repeats: what equal rows are, "mean" or "seeds".
        ignored: columns that are no settings.
        complete: column of steps by which shorter runs are left out.

    Raises:
        UsageError: one of them has another form.
    """
    if repeats is not None and repeats not in get_args(Repeats):
        raise UsageError(
            "`--repeats` takes mean or seeds",
            received=repeats,
            hint="mean: reruns of one run, their mean counts; seeds: they count as further seeds",
        )
    said: Repeats | None = None if repeats is None else "mean" if repeats == "mean" else "seeds"
    return RowRules(maximize, parse_tolerances(within or ()), said, tuple(ignored or ()), complete)
