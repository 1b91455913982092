"""A table of finished runs as read from a file: named columns of raw cells, each row with its line in the file."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hptransfer.errors import Place, UsageError

Array = npt.NDArray[np.float64]
Cell = str | float | bool | None

#: what people, pandas and W&B write where there is nothing; "nan" is not among them: a loss can be that
_MISSING = {"", "null", "none", "na", "n/a", "-", "--", "undefined"}
_DECIMAL_COMMA = re.compile(r"[+-]?\d+,\d+([eE][+-]?\d+)?")
_SUFFIXED = re.compile(r"(\d+(?:\.\d+)?)\s*([kmbgt])", re.IGNORECASE)
_POWER = re.compile(r"(\d+(?:\.\d+)?)\s*(?:\^|\*\*)\s*\(?\s*([+-]?\d{1,3}(?:\.\d+)?)\s*\)?")
_SUFFIX = {"k": 1e3, "m": 1e6, "b": 1e9, "g": 1e9, "t": 1e12}


@dataclass(frozen=True, slots=True)
class ResultTable:
    """Columns of equal length.

    Attributes:
        name: the file as the user called it.
        columns: raw cells by column name, in the file's order.
        lines: the line of each row in the file, from 1.
    """

    name: str
    columns: Mapping[str, Sequence[Cell]]
    lines: Sequence[int]

    def __len__(self) -> int:
        return len(self.lines)

    def take(self, rows: Sequence[int] | npt.NDArray[np.intp]) -> ResultTable:
        """The table of some rows, in the order given."""
        columns = {name: [cells[row] for row in rows] for name, cells in self.columns.items()}
        return ResultTable(self.name, columns, [self.lines[row] for row in rows])


def is_missing(cell: Cell) -> bool:
    """Whether a cell holds nothing; NaN is something: a loss can be that."""
    return cell is None or (isinstance(cell, str) and cell.strip().lower() in _MISSING)


def cell_text(cell: Cell) -> str:
    """A cell as the user would write it: 64, not 64.0; without characters that could steer a terminal."""
    if isinstance(cell, float) and cell.is_integer() and abs(cell) < 1e15:
        return str(int(cell))
    return without_control_characters(str(cell).strip())


def without_control_characters(text: str) -> str:
    """The text without control characters."""
    return text if text.isprintable() else "".join(character for character in text if character.isprintable())


def distinct(cells: Sequence[Cell]) -> list[Cell]:
    """The different values of a column in order of appearance, missing cells left out; 0.10 and 1e-1 are the same."""
    raw = dict.fromkeys(cell for cell in cells if not is_missing(cell))
    found: dict[Cell, Cell] = {}
    for cell in raw:
        number = _number(cell)
        found.setdefault(cell if number is None or math.isnan(number) else number, cell)
    return list(found.values())


def column_numbers(
    table: ResultTable, column: str, *, sizes: bool = False, infinite: Collection[str] = ()
) -> tuple[Array, npt.NDArray[np.bool_]]:
    """A column as numbers.

    Decimal commas, powers (2^-8, 2**-8) and, for sizes, suffixes (190M) are understood; "nan" and "inf" are numbers.

    Args:
        table: the table that holds the column.
        column: one of its columns.
        sizes: whether suffixes of sizes are understood: 190M is 190e6.
        infinite: words, in lower case, that mean infinity.

    Returns:
        (values, missing): values are NaN where the cell is missing.

    Raises:
        UsageError: a cell is text; the file and line are named.
    """
    cells = table.columns[column]
    try:
        # the common case, fast: every cell is a plain number
        return np.array([float(cell) for cell in cells], dtype=float), np.zeros(len(cells), dtype=bool)  # type: ignore[arg-type]  # None raises TypeError, which is caught
    except (TypeError, ValueError):
        pass
    values, missing = np.full(len(cells), math.nan), np.zeros(len(cells), dtype=bool)
    for row, cell in enumerate(cells):
        if is_missing(cell):
            missing[row] = True
            continue
        value = math.inf if str(cell).strip().lower() in infinite else _number(cell, suffixes=sizes)
        if value is None:
            raise UsageError(
                f"column `{column}` must hold numbers",
                received=repr(cell)[:80],
                hint="leave the cell empty where there is no value, or name another column",
                place=Place(table.name, table.lines[row]),
                code="results/not-a-number",
            )
        values[row] = value
    return values, missing


def _number(cell: Cell, *, suffixes: bool = False) -> float | None:
    """The number in a cell; None where it is text."""
    if isinstance(cell, bool) or cell is None:
        return None
    try:
        return float(cell)
    except ValueError:
        pass
    text = str(cell).strip()
    if _DECIMAL_COMMA.fullmatch(text):
        return float(text.replace(",", "."))
    if power := _POWER.fullmatch(text):
        return _raised(float(power[1]), float(power[2]))
    if suffixes and (match := _SUFFIXED.fullmatch(text)):
        return float(match[1]) * _SUFFIX[match[2].lower()]
    return None


def _raised(base: float, exponent: float) -> float | None:
    try:
        return float(base**exponent)
    except (OverflowError, ZeroDivisionError):
        return None
