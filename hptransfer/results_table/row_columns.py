"""The rows that are judged together and a further column among them, as numbers that can be compared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hptransfer.errors import UsageError
from hptransfer.results_table.cells import Cell, ResultTable, cell_text, column_numbers, is_missing
from hptransfer.results_table.column_kinds import ColumnKind, column_kind
from hptransfer.results_table.column_names import size_name
from hptransfer.results_table.columns import TableColumns
from hptransfer.results_table.relations import Numbers
from hptransfer.results_table.rows import Run
from hptransfer.statistics.arrays import Array

Codes = npt.NDArray[np.intp]

#: runs of one size whose lengths differ by less than this, relative, are equally long: programs count from 0 or 1
SAME_LENGTH = 0.01
#: longest text of a cell that is printed
_LONGEST = 40
#: whole numbers below it are exact as floats, and written with all their digits
_LONGEST_WHOLE = 1e15


@dataclass(frozen=True, slots=True, eq=False)
class Column:
    """A column among the rows of one group.

    Attributes:
        name: what the table calls it.
        kind: what its name says.
        codes: (n,) number of the value in each row, from 0; -1 where there is none.
        values: cell of each code, in order of appearance.
        numbers: its numbers; None where some cell is text.
    """

    name: str
    kind: ColumnKind
    codes: Codes
    values: Sequence[Cell]
    numbers: Numbers | None

    def counts(self) -> Codes:
        """Rows that have each value."""
        return np.bincount(self.codes[self.codes >= 0], minlength=len(self.values))

    @property
    def logical(self) -> bool:
        """Whether its values are true and false."""
        return all(isinstance(cell, bool) or cell_text(cell).lower() in ("true", "false") for cell in self.values)

    def texts(self) -> list[str]:
        """Its values as the user wrote them, cut where they are long; numbers with six digits, whole ones with all."""
        exact = [cell_text(cell) or "empty" for cell in self.values]
        found = exact if self.numbers is None else [text if len(text) <= 8 else _short(text) for text in exact]
        return [text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…" for text in found]


class Rows:
    """The rows of one group, numbered by size, value and seed.

    Args:
        table: the rows that were selected.
        roles: which column means what.
        runs: finished runs of one group.
    """

    def __init__(self, table: ResultTable, roles: TableColumns, runs: Sequence[Run]) -> None:
        self.table, self.roles, self.runs = table, roles, runs
        self.index = [run.row for run in runs]
        self.finite = np.isfinite([run.loss for run in runs])
        self.sizes = np.array([run.size for run in runs])
        self.values = np.array([run.value for run in runs])
        self.size = np.unique(self.sizes, return_inverse=True)[1].astype(np.intp)
        self.value = np.unique(self.values, return_inverse=True)[1].astype(np.intp)
        self.cell = paired(self.size, self.value)
        seeds: dict[object, int] = {}
        self.seed = np.array([seeds.setdefault(run.seed, len(seeds)) for run in runs], dtype=np.intp)
        self.seeded = runs[0].seed is not None if runs else False

    def factors(self) -> dict[str, Numbers]:
        """What other columns can be functions of: the hyperparameters and the size, by their names in sentences."""
        written = self.table.columns[self.roles.value]
        cells = self.values.tolist() if self.roles.base else [written[row] for row in self.index]
        found = {self.roles.hyperparameter: Numbers(self.values, cells)}
        if self.roles.searched:
            columns = {name: self.column(name).numbers for name in self.roles.searched}
            found = {name: numbers for name, numbers in columns.items() if numbers is not None}
        return found | {self.roles.axis: Numbers(self.sizes, self.sizes.tolist())}

    def with_gaps(self, column: Column) -> Column:
        """The column with an empty cell as a value, where rows that should be one run differ in being empty.

        A switch that is exported only where it is on is such a column.

        Args:
            column: one that `column` gave.
        """
        empty = column.codes < 0
        if not empty.any() or column.kind not in (ColumnKind.SETTING, ColumnKind.UNKNOWN):
            return column
        keys = paired(self.cell, self.seed) if self.seeded else self.cell
        both = np.intersect1d(keys[empty], keys[~empty])
        if not len(both) or (not self.seeded and 2 * len(both) < len(np.unique(keys))):
            return column
        codes = np.where(empty, len(column.values), column.codes)
        return Column(column.name, column.kind, codes, [*column.values, ""], None)

    def all_differ_in_words(self, name: str) -> bool:
        """Whether a column of no known kind holds a text of its own in every row, as names of runs do.

        Args:
            name: one of the table's columns.
        """
        cells = self.table.columns[name]
        first = cells[self.index[0]]
        worded = isinstance(first, str) and not is_missing(first) and not first.strip()[0].isdigit()
        if not worded or column_kind(name) is not ColumnKind.UNKNOWN:
            return False
        return len({cells[row] for row in self.index}) == len(self.index)

    def column(self, name: str) -> Column:
        """A column of the table among these rows.

        Args:
            name: one of the table's columns.
        """
        every = self.table.columns[name]
        cells = [every[row] for row in self.index]
        if len(cells) > 1 and cells.count(cells[0]) == len(cells) and len(set(map(type, cells))) == 1:
            # most columns of a wide export hold one value
            one = self._described(name, cells[:1])
            known = None if one.numbers is None else Numbers(one.numbers.values.repeat(len(cells)), cells)
            return Column(name, one.kind, one.codes.repeat(len(cells)), one.values, known)
        return self._described(name, cells)

    def _described(self, name: str, cells: Sequence[Cell]) -> Column:
        """A column of these cells."""
        kind = column_kind(name)
        numbers = None
        try:
            counted = size_name(name) is not None  # 190M is a number there, and a label elsewhere
            found = column_numbers(
                ResultTable(self.table.name, {name: cells}, self.index[: len(cells)]), name, sizes=counted
            )[0]
            if bool not in set(map(type, cells)):
                numbers = Numbers(found, cells)
        except UsageError:
            pass
        if numbers is None:
            order: dict[str, int] = {}
            firsts: list[Cell] = []
            codes = np.full(len(cells), -1, dtype=np.intp)
            for row, cell in enumerate(cells):
                if not is_missing(cell):
                    text = cell_text(cell)
                    if text not in order:
                        order[text] = len(order)
                        firsts.append(cell)
                    codes[row] = order[text]
            return Column(name, kind, codes, firsts, None)
        known = np.isfinite(numbers.values)
        _, first, inverse = np.unique(numbers.values[known], return_index=True, return_inverse=True)
        appearance = np.argsort(first)
        rank = np.empty(len(first), dtype=np.intp)
        rank[appearance] = np.arange(len(first))
        codes = np.full(len(cells), -1, dtype=np.intp)
        codes[known] = rank[inverse]
        where = np.flatnonzero(known)[np.sort(first)]
        return Column(name, kind, codes, [cells[row] for row in where.tolist()], numbers)


def _short(text: str) -> str:
    try:
        number = float(text)
    except ValueError:
        return text
    whole = number.is_integer() and abs(number) < _LONGEST_WHOLE
    return str(int(number)) if whole else f"{number:.6g}"


def paired(left: Codes, right: Codes) -> Codes:
    """One number for each pair.

    Args:
        left: (n,) numbers from 0.
        right: (n,) numbers from 0.
    """
    pairs: Codes = np.unique(left * (int(right.max(initial=0)) + 1) + right, return_inverse=True)[1].astype(np.intp)
    return pairs


def determined(keys: Codes, codes: Codes) -> bool:
    """Whether rows of one key have one value; rows without a value say nothing.

    Args:
        keys: (n,) number of each row's key, from 0.
        codes: (n,) number of each row's value, -1 for none.
    """
    known = codes >= 0
    pairs = keys[known] * (int(codes.max(initial=0)) + 1) + codes[known]
    return len(np.unique(pairs)) == len(np.unique(keys[known]))


def longest_of_size(lengths: Array, size: Codes) -> Array:
    """(n,) the largest length of each row's size; NaN where a size has none.

    Args:
        lengths: (n,) length of each run; NaN where it is not known or does not count.
        size: (n,) number of each row's size, from 0.
    """
    longest = np.full(int(size.max(initial=0)) + 1, -np.inf)
    known = np.isfinite(lengths)
    np.maximum.at(longest, size[known], lengths[known])
    return np.where(np.isfinite(longest), longest, np.nan)[size]
