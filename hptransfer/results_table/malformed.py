"""The refusal of a file that is no table."""

from __future__ import annotations

from typing import NoReturn

from hptransfer.errors import Place, UsageError

#: more columns than this are no table of runs; every column is looked at several times
MOST_COLUMNS = 20_000


def refuse_table(name: str, rule: str, received: str, line: int | None = None, hint: str | None = None) -> NoReturn:
    """Refuse a file with its line.

    Args:
        name: the file as the user called it.
        rule: what a table must be.
        received: what was found instead.
        line: of the file, from 1; None where no line is to blame.
        hint: what the user can do about it.

    Raises:
        UsageError: always.
    """
    raise UsageError(rule, received=received, hint=hint, place=Place(name, line), code="results/malformed")


def require_few_columns(name: str, count: int) -> None:
    """Refuse what has more columns than a table of runs can have.

    Args:
        name: the file as the user called it.
        count: number of columns it has.
    """
    if count > MOST_COLUMNS:
        rule = f"a table of results may have {MOST_COLUMNS} columns"
        refuse_table(name, rule, f"{count} columns", 1, "export the columns of sizes, values, seeds and losses alone")
