"""Cells of a table of finished runs, and a column as numbers; what a column means is not decided here."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NoReturn

import numpy as np
import numpy.typing as npt

from hptransfer.errors import Place, UsageError
from hptransfer.results_table.labels import SUFFIX, numbers_in_labels
from hptransfer.statistics.arrays import Array

Cell = str | float | bool | None

#: what people, pandas and W&B write where there is nothing; "nan" is not among them: a loss can be that
_MISSING = {"", "null", "none", "na", "n/a", "<na>", "-", "--", "\u2013", "\u2014", "undefined"}
#: words that stand for a loss that is none
DIVERGED = frozenset({"diverged", "nan", "exploded", "blown up", "overflow"})
#: a comma that can only be a decimal mark, because a group of thousands would have three digits and no leading zero
_DECIMAL_COMMA = re.compile(r"[+-]?(?:0+,\d+|\d+,(?:\d{1,2}|\d{4,})|\d{4,},\d+|\d+,\d+[eE][+-]?\d+)(?:[eE][+-]?\d+)?")
_SUFFIXED = re.compile(r"(\d+(?:\.\d+)?)\s*([kmbgt])", re.IGNORECASE)
_POWER = re.compile(
    r"(?:(?P<factor>\d+(?:\.\d+)?)\s*(?:[x\u00d7\u00b7]|\*(?!\*))\s*)?"
    r"(?P<base>\d+(?:\.\d+)?)\s*(?:\^|\*\*)\s*[({]?\s*(?P<power>[+-]?\d{1,3}(?:\.\d+)?)\s*[)}]?"
)


@dataclass(frozen=True, slots=True)
class Doubt:
    """A number that can be read in two ways.

    Attributes:
        row: number of the row, from 0.
        point: the number where a point separates decimals and a comma thousands.
        comma: the number where a comma separates decimals and a point thousands.
    """

    row: int
    point: float
    comma: float


@dataclass(frozen=True, slots=True)
class ResultTable:
    """Columns of equal length.

    Attributes:
        name: the file as the user called it, or the files with commas between them.
        columns: raw cells by column name, in the file's order.
        lines: the line of each row in its file, from 1.
        files: the file of each row where there are several; empty where `name` is the only one.
        doubts: columns that hold a number with two readings, which therefore cannot be read as numbers.
        notes: what reading decided, one sentence each.
        limits: what the runs cannot show because of how they were read, one sentence each.
        left_out: rows that reading left out, by reason.
        maximized: columns whose values are better where they are higher, by what the file itself says.
        run: column that names the run of each row, where reading made one; its rows are the steps of runs.
        trials: whether rows have no lines but numbers of trials.
    """

    name: str
    columns: Mapping[str, Sequence[Cell]]
    lines: Sequence[int]
    files: Sequence[str] = ()
    doubts: Mapping[str, Doubt] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    limits: tuple[str, ...] = ()
    left_out: Mapping[str, int] = field(default_factory=dict)
    maximized: tuple[str, ...] = ()
    run: str | None = None
    trials: bool = False

    def __len__(self) -> int:
        return len(self.lines)

    def take(self, rows: Sequence[int] | npt.NDArray[np.intp]) -> ResultTable:
        """The table of some rows, in the order given."""
        at = {int(row): index for index, row in enumerate(rows)}
        return replace(
            self,
            columns={name: [cells[row] for row in rows] for name, cells in self.columns.items()},
            lines=[self.lines[row] for row in rows],
            files=[self.files[row] for row in rows] if self.files else (),
            doubts={name: replace(each, row=at[each.row]) for name, each in self.doubts.items() if each.row in at},
        )

    def place(self, row: int) -> Place:
        """Where a row stands, to name it in a message.

        Args:
            row: number of the row, from 0.
        """
        file = self.files[row] if self.files else self.name
        return Place(f"{file} trial {self.lines[row]}") if self.trials else Place(file, self.lines[row])


def is_missing(cell: Cell) -> bool:
    """Whether a cell holds nothing; NaN is something: a loss can be that."""
    return cell is None or (isinstance(cell, str) and cell.strip().lower() in _MISSING)


def cell_text(cell: Cell) -> str:
    """A cell as the user would write it: 64, not 64.0; without characters that could steer a terminal."""
    if isinstance(cell, float) and cell.is_integer() and abs(cell) < 1e15:
        return str(int(cell))
    return without_control_characters(str(cell).strip())


def texts_of(cells: Sequence[Cell]) -> list[str]:
    """Each cell as the user would write it, "" where it is missing; a text that occurs often is looked at once."""
    if not all(isinstance(cell, str) for cell in cells):
        return ["" if is_missing(cell) else cell_text(cell) for cell in cells]
    known = {cell: "" if is_missing(cell) else cell_text(cell) for cell in dict.fromkeys(cells)}
    return [known[cell] for cell in cells]


def without_control_characters(text: str) -> str:
    """The text without control characters."""
    return text if text.isprintable() else "".join(character for character in text if character.isprintable())


def distinct(cells: Sequence[Cell]) -> list[Cell]:
    """The different values of a column in order of appearance, missing cells left out; 0.10 and 1e-1 are the same."""
    found: dict[Cell, Cell] = {}
    for cell in dict.fromkeys(cells):
        if is_missing(cell):
            continue
        number = number_in(cell)
        found.setdefault(cell if number is None or math.isnan(number) else number, cell)
    return list(found.values())


def column_numbers(
    table: ResultTable, column: str, *, sizes: bool = False, infinite: Collection[str] = ()
) -> tuple[Array, npt.NDArray[np.bool_]]:
    """A column as numbers.

    Decimal commas and powers (2^-8, 2**-8, 3 x 10^-4) are understood, and, for sizes, suffixes (190M) and labels that
    differ in one number (pythia-160m-deduped); "nan" and "inf" are numbers.

    Args:
        table: the table that holds the column.
        column: one of its columns.
        sizes: whether suffixes and labels are understood: 190M is 190e6.
        infinite: words, in lower case, that mean infinity.

    Returns:
        (values, missing): values are NaN where the cell is missing.

    Raises:
        UsageError: a cell is text, or has two readings; the file and line are named.
    """
    if (doubt := table.doubts.get(column)) is not None:
        _refuse_doubt(table, column, doubt)
    cells = table.columns[column]
    try:
        # the common case, fast: every cell is a plain number, and many are alike
        plain = {cell: float(cell) for cell in set(cells)}  # type: ignore[arg-type]  # None raises TypeError, caught
    except (TypeError, ValueError):
        pass
    else:
        if not any("_" in cell for cell in plain if isinstance(cell, str)):
            return np.array([plain[cell] for cell in cells], dtype=float), np.zeros(len(cells), dtype=bool)
    numbers, missing = np.full(len(cells), math.nan), np.zeros(len(cells), dtype=bool)
    labels: dict[str, float] | None = None
    for row, cell in enumerate(cells):
        if is_missing(cell):
            missing[row] = True
            continue
        value = math.inf if str(cell).strip().lower() in infinite else number_in(cell, suffixes=sizes)
        if value is None and sizes:
            labels = labels_of(cells) if labels is None else labels
            value = labels.get(cell_text(cell))
        if value is None:
            _refuse_cell(table, column, row, sizes=sizes)
        numbers[row] = value
    return numbers, missing


def labels_of(cells: Sequence[Cell]) -> dict[str, float]:
    """The number in each label of a column, where the labels differ in one number; empty where they do not."""
    texts = dict.fromkeys(cell_text(cell) for cell in cells if not is_missing(cell))
    return numbers_in_labels(list(texts)) or {}


def number_in(cell: Cell, *, suffixes: bool = False) -> float | None:
    """The number in a cell; None where it is text, or where a comma may separate thousands as well as decimals.

    Args:
        cell: one cell of a column.
        suffixes: whether suffixes of sizes are understood: 190M is 190e6.
    """
    if not isinstance(cell, str):
        return None if isinstance(cell, bool) or cell is None else float(cell)
    if (plain := _plain(cell)) is not None:
        return plain
    text = cell.strip().replace("\u2212", "-")  # the minus sign of typesetters
    if _DECIMAL_COMMA.fullmatch(text):
        return float(text.replace(",", "."))
    if power := _POWER.fullmatch(text):
        return _raised(power["factor"] or "1", power["base"], power["power"])
    if suffixes and (match := _SUFFIXED.fullmatch(text)):
        return float(match[1]) * SUFFIX[match[2].lower()]
    return _plain(text)


def _plain(text: str) -> float | None:
    try:
        return None if "_" in text else float(text)
    except ValueError:
        return None


def _raised(factor: str, base: str, exponent: str) -> float | None:
    try:
        if float(base) == 10 and "." not in exponent:
            return float(f"{factor}e{exponent}")  # 3 x 10^-4 is 3e-4 to the last bit
        return float(float(factor) * float(base) ** float(exponent))
    except (OverflowError, ZeroDivisionError):
        return None


def _refuse_doubt(table: ResultTable, column: str, doubt: Doubt) -> NoReturn:
    raise UsageError(
        f"a number in column `{column}` must have one reading",
        received=f"{cell_text(table.columns[column][doubt.row])!r}: {doubt.point:g}, or {doubt.comma:g}?",
        hint=f"`--decimal .` reads {doubt.point:g}, `--decimal ,` reads {doubt.comma:g}; or leave separators out",
        place=table.place(doubt.row),
        code="results/two-readings",
    )


def _refuse_cell(table: ResultTable, column: str, row: int, *, sizes: bool) -> NoReturn:
    cells = table.columns[column]
    hint = "leave the cell empty where there is no value, or name another column"
    if sizes and len({cell_text(cell) for cell in cells if number_in(cell, suffixes=True) is None}) > 1:
        hint = "labels are sizes where they differ in one number (d512, pythia-160m-deduped): add a column of sizes"
    raise UsageError(
        f"column `{column}` must hold numbers",
        received=repr(cells[row])[:80],
        hint=hint,
        place=table.place(row),
        code="results/not-a-number",
    )
