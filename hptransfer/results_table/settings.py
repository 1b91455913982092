"""What else differs between rows that are judged together: settings are refused, measurements are not.

A column is a setting by its name (batch size, W&B's `config.`), or by its cells: few values, or the same value in many
rows. What has a value of its own in every run is a measurement or a label.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from hptransfer.errors import UsageError
from hptransfer.results_table.column_kinds import ColumnKind, column_kind
from hptransfer.results_table.column_names import hyperparameter_name, normalized_column_name, size_name
from hptransfer.results_table.columns import TableColumns
from hptransfer.results_table.cells import Cell, ResultTable, cell_text, column_numbers, is_missing
from hptransfer.results_table.relations import Numbers, function_of
from hptransfer.results_table.rows import Run, flag_columns
from hptransfer.results_table.rules import RowRules
from hptransfer.sizes import size_text

Codes = npt.NDArray[np.intp]

#: runs of one size whose lengths differ by less than this, relative, are equally long: programs count from 0 or 1
SAME_LENGTH = 0.01
#: share of the rows that have the most frequent value of a setting with many values
_OFTEN = 0.1
#: columns that a sentence lists
_LISTED = 6
#: longest text of a cell that is printed
_LONGEST = 40
#: names of columns that say which model a row is of, in words
_LABELS = frozenset("name model label run arch architecture config size scale variant experiment exp group job".split())
#: parts of a model that grow with its width and are what width means
_PARTS_OF_WIDTH = re.compile(
    r"(n_?|num_)?(attention_)?(kv_)?(key_value_)?heads?|n_head|d_?ff|ffn?_(dim|hidden|size|width)|"
    r"feed_?forward_(dim|size)|intermediate_size|mlp_(dim|width|hidden|size)|d_(inner|hidden|mlp|kv|head)|head_(dim|size)|inner_dim"
)
#: kinds that are never looked at
_SKIPPED = (ColumnKind.SEED, ColumnKind.BOOKKEEPING, ColumnKind.CLOCK)
#: sizes that are no shape of the model
_OF_RUNS = ("tokens", "batch_size")
_DATE = re.compile(r"\d{4}-\d\d-\d\d.*")


@dataclass(frozen=True, slots=True, eq=False)
class Column:
    """A column among the rows of one group.

    Attributes:
        name: of the column.
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
        """Its values as the user wrote them, cut where they are long; numbers with six digits."""
        exact = [cell_text(cell) for cell in self.values]
        found = exact if self.numbers is None else [text if len(text) <= 8 else _short(text) for text in exact]
        return [text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…" for text in found]


@dataclass(frozen=True, slots=True)
class Mixed:
    """A column in which rows differ that may not.

    Attributes:
        column: it, among the rows of the group.
        early: rows that ended before the longest of their size; 0 where it is no length.
        explained: names of other columns that follow from it.
    """

    column: Column
    early: int = 0
    explained: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Findings:
    """What differs besides size, value and seed.

    Attributes:
        mixed: columns that make the rows unfit to be judged together; the first ones explain most.
        limits: what these rows cannot show, one sentence each.
        notes: what was decided, one sentence each.
    """

    mixed: tuple[Mixed, ...]
    limits: tuple[str, ...]
    notes: tuple[str, ...]


class Rows:
    """The rows of one group, numbered by size, value and seed.

    Args:
        table: the rows that were selected.
        roles: which column means what.
        runs: of one group.
    """

    def __init__(self, table: ResultTable, roles: TableColumns, runs: Sequence[Run]) -> None:
        self.table, self.roles, self.runs = table, roles, runs
        self.index = [run.row for run in runs]
        self.finite = np.isfinite([run.loss for run in runs])
        self.sizes = np.array([run.size for run in runs])
        self.values = np.array([run.value for run in runs])
        self.size = np.unique(self.sizes, return_inverse=True)[1].astype(np.intp)
        self.value = np.unique(self.values, return_inverse=True)[1].astype(np.intp)
        self.cell = _paired(self.size, self.value)
        seeds: dict[object, int] = {}
        self.seed = np.array([seeds.setdefault(run.seed, len(seeds)) for run in runs], dtype=np.intp)
        self.seeded = runs[0].seed is not None if runs else False

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
        cells = [self.table.columns[name][row] for row in self.index]
        kind = column_kind(name)
        numbers = None
        try:
            counted = size_name(name) is not None  # 190M is a number there, and a label elsewhere
            found = column_numbers(ResultTable(self.table.name, {name: cells}, self.index), name, sizes=counted)[0]
            if not any(isinstance(cell, bool) for cell in cells):
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
        return f"{float(text):.6g}"
    except ValueError:
        return text


def _paired(left: Codes, right: Codes) -> Codes:
    """One number for each pair."""
    return np.unique(left * (int(right.max(initial=0)) + 1) + right, return_inverse=True)[1].astype(np.intp)


def determined(keys: Codes, codes: Codes) -> bool:
    """Whether rows of one key have one value; rows without a value say nothing.

    Args:
        keys: (n,) number of each row's key, from 0.
        codes: (n,) number of each row's value, -1 for none.
    """
    known = codes >= 0
    pairs = keys[known] * (int(codes.max(initial=0)) + 1) + codes[known]
    return len(np.unique(pairs)) == len(np.unique(keys[known]))


def find_mixtures(rows: Rows, rules: RowRules) -> Findings:
    """Every column that varies besides size, value and seed, sorted by what it means for the judgement.

    Args:
        rows: of one group.
        rules: what the user said about columns.
    """
    roles = rows.roles
    used = {roles.size, roles.value, roles.loss, roles.seed, roles.group, roles.state, *flag_columns(rows.table)}
    along, said, mixed, measured = [], [], [], []
    limits: list[str] = []
    for name in rows.table.columns:
        if name in used or column_kind(name) in _SKIPPED:
            continue
        if rows.all_differ_in_words(name):
            measured.append(name)
            continue
        column = rows.column(name)
        if len(column.values) < 2:
            limits += _half_given(column, rows)
        elif name in rules.ignored:
            limits.append(f"{name} differs between runs ({_listed(column)}) and was left out of account as asked.")
        else:
            match _judged(column, rows):
                case Mixed() as found:
                    mixed.append(found)
                case ("along", str(sentence)):
                    along.append(sentence)
                case ("limit", str(sentence)):
                    limits.append(sentence)
                case ("note", str(sentence)):
                    said.append(sentence)
                case ("measured", str(sentence)):
                    measured.append(sentence)
                case _:
                    pass
    if measured:
        more = f" and {len(measured) - _LISTED} more" if len(measured) > _LISTED else ""
        listed = f"{', '.join(measured[:_LISTED])}{more}"
        said.append(f"taken for labels, since hardly any two runs agree in them: {listed}")
    return Findings(tuple(_explained(mixed, rows)), (*along, *limits), tuple(said))


Outcome = Mixed | tuple[str, str] | None


def _judged(column: Column, rows: Rows) -> Outcome:
    """What a column that varies is."""
    kind, name, roles = column.kind, column.name, rows.roles
    few = _few_values(column, rows)
    if kind is ColumnKind.MEASURED and (not few if column.numbers is None else not _scarce(column, rows)):
        return None
    if kind is ColumnKind.CIRCUMSTANCE:
        text = f"{name} differs between runs ({_listed(column)}): these runs may not have been made alike."
        return ("limit", text) if few else None
    if kind in (ColumnKind.PROGRESS, ColumnKind.COMPUTE):
        return _length(column, rows)
    if kind is not ColumnKind.SETTING and column.numbers is None and (_dates(column) or _labels(column, rows)):
        return None
    if determined(rows.size, column.codes):
        return _with_size(column, rows)
    follows = _function(column, rows)
    if follows is not None:
        return follows
    if determined(rows.value, column.codes) and _monotone(column, rows):
        if kind is ColumnKind.SETTING:
            return (
                "limit",
                f"{name} rises or falls along with {roles.value}: what these runs tune is both together.",
            )
        return ("note", f"{name} rises or falls along with {roles.value}: no setting of its own")
    if rows.seeded and kind is not ColumnKind.SETTING and _names_seeds(column, rows):
        return ("note", f"{name} goes with {roles.seed} one to one")
    if kind is ColumnKind.SETTING or few:
        return Mixed(column)
    if determined(rows.cell, column.codes) and len(np.unique(rows.cell)) < len(rows.runs):
        return Mixed(column)  # the same in all runs of a size and value, which no measurement is
    if column.numbers is None:
        return ("measured", name)
    if _counts_rows(column):
        return None
    return (
        "limit",
        f"{name} has a value of its own in nearly every run and is taken for a measurement: if it is a setting, these "
        "runs mix it in.",
    )


def _few_values(column: Column, rows: Rows) -> bool:
    """Whether many rows share values, as the rows of a setting do."""
    counts = column.counts()
    total = int(counts.sum())
    return len(counts) <= total / 2 or (int(counts.max()) >= 3 and int(counts.max()) >= _OFTEN * total)


def _counts_rows(column: Column) -> bool:
    """Whether a column numbers the rows."""
    assert column.numbers is not None
    values = np.unique(column.numbers.values[np.isfinite(column.numbers.values)])
    return bool(np.all(values == np.round(values)) and np.ptp(values) < 2 * len(values))


def _scarce(column: Column, rows: Rows) -> bool:
    """Whether so few values occur, each so often, that no loss has measured them: z_loss 0 and 1e-4."""
    counts = column.counts()
    return len(counts) <= 4 and int(counts.min()) >= 2 and not determined(rows.size, column.codes)


def _labels(column: Column, rows: Rows) -> bool:
    """Whether a text says nothing but which size, value and seed a row is of."""
    keys = (rows.value, rows.cell, _paired(rows.size, rows.seed), _paired(rows.value, rows.seed), _paired(rows.cell, rows.seed))
    return any(determined(key, column.codes) and determined(column.codes + 1, key) for key in keys)


def _dates(column: Column) -> bool:
    return column.numbers is None and all(_DATE.fullmatch(cell_text(cell)) for cell in column.values)


def _monotone(column: Column, rows: Rows) -> bool:
    """Whether a column's numbers rise or fall with the value throughout, as those of one path through both do."""
    if column.numbers is None:
        return False
    known = np.isfinite(column.numbers.values)
    _, first = np.unique(rows.value[known], return_index=True)
    steps = np.diff(column.numbers.values[known][first])
    return bool(np.all(steps > 0) or np.all(steps < 0))


def _names_seeds(column: Column, rows: Rows) -> bool:
    """Whether a column is another name of the seed: one to one with at least three of them, or in plain numbers."""
    one_to_one = determined(rows.seed, column.codes) and determined(column.codes, rows.seed)
    return one_to_one and not column.logical and (column.numbers is not None or len(column.values) >= 3)


def _half_given(column: Column, rows: Rows) -> Iterator[str]:
    """A setting that only some rows name."""
    named = int((column.codes >= 0).sum())
    if column.kind is ColumnKind.SETTING and 0 < named < len(rows.runs):
        yield (
            f"{column.name} is given in {named} of {len(rows.runs)} rows ({column.texts()[0]}): whether the others "
            "share it is not known."
        )


def _listed(column: Column) -> str:
    texts = column.texts()
    return ", ".join(texts[:_LISTED]) + (", ..." if len(texts) > _LISTED else "")


def _with_size(column: Column, rows: Rows) -> Outcome:
    """A column that the size determines: what a size means, or something that changes along with it."""
    name, roles = column.name, rows.roles
    if column.kind is ColumnKind.COMPUTE or (column.kind is ColumnKind.PARAMETERS and roles.axis not in _OF_RUNS):
        return None
    words = set(normalized_column_name(name).split("_"))
    if column.numbers is None and determined(column.codes, rows.size):
        firsts = {int(code): size_text(float(rows.sizes[row])) for row, code in reversed(list(enumerate(column.codes.tolist())))}
        texts = column.texts()
        if words & _LABELS or all(size in texts[code] for code, size in firsts.items() if code >= 0):
            return None
    if _PARTS_OF_WIDTH.fullmatch(normalized_column_name(name)) and column.numbers is not None:
        ratio = column.numbers.values / rows.sizes
        if np.nanmax(ratio) <= np.nanmin(ratio) * (1 + 1e-9):
            return None
    known = column.codes >= 0
    pairs = sorted(set(zip(rows.sizes[known].tolist(), column.codes[known].tolist(), strict=True)))
    texts = column.texts()
    path = ", ".join(f"{name} {texts[code]} at {size_text(size)}" for size, code in pairs[:_LISTED])
    return (
        "along",
        f"{name} changes along with {roles.axis} ({path}): these runs cannot show which of the two moves the optimum.",
    )


def _function(column: Column, rows: Rows) -> Outcome:
    """A column of numbers that follows from value and size."""
    if column.numbers is None or not determined(rows.cell, column.codes):
        return None
    roles, table = rows.roles, rows.table
    written = table.columns[roles.value]
    value = Numbers(rows.values, rows.values.tolist() if roles.base else [written[row] for row in rows.index])
    size = Numbers(rows.sizes, rows.sizes.tolist())
    found = function_of(column.name, column.numbers, {roles.hyperparameter: value, roles.axis: size})
    if found is None:
        return None
    own = hyperparameter_name(column.name)
    if column.kind is ColumnKind.SETTING and own not in (None, roles.hyperparameter):
        return ("limit", f"{found.sentence}: it changes along with {roles.value}, and what these runs tune is both.")
    return ("note", f"{found.sentence}: no setting of its own")


def _length(column: Column, rows: Rows) -> Outcome:
    """How long runs trained: equal at each size, or a mixture; diverged runs end when they do."""
    if column.numbers is None:
        return Mixed(column) if not determined(rows.size, column.codes) else _with_size(column, rows)
    lengths = np.where(rows.finite, column.numbers.values, np.nan)
    longest = longest_of_size(lengths, rows.size)
    early = np.isfinite(lengths) & (lengths < longest * (1 - SAME_LENGTH))
    if early.any():
        return Mixed(column, early=int(early.sum()))
    known = np.isfinite(lengths)
    if not known.any():
        return None
    if float(longest[known].max()) > float(longest[known].min()) * (1 + SAME_LENGTH):
        finished = replace(column, codes=np.where(known, column.codes, -1))
        return _with_size(finished, rows) if determined(rows.size, finished.codes) else _near(column, rows)
    return None


def _near(column: Column, rows: Rows) -> Outcome:
    if column.kind is ColumnKind.COMPUTE:
        return None
    return (
        "along",
        f"{column.name} changes along with {rows.roles.axis} and differs by at most {SAME_LENGTH:.0%} within one: "
        "these runs cannot show which of the two moves the optimum.",
    )


def longest_of_size(lengths: npt.NDArray[np.float64], size: Codes) -> npt.NDArray[np.float64]:
    """(n,) the largest length of each row's size; NaN where a size has none.

    Args:
        lengths: (n,) length of each run; NaN where it is not known or does not count.
        size: (n,) number of each row's size, from 0.
    """
    longest = np.full(int(size.max(initial=0)) + 1, -np.inf)
    known = np.isfinite(lengths)
    np.maximum.at(longest, size[known], lengths[known])
    return np.where(np.isfinite(longest), longest, np.nan)[size]


def _explained(mixed: Sequence[Mixed], rows: Rows) -> Iterator[Mixed]:
    """The mixed columns without those that follow from another, settings by name first."""
    order = [ColumnKind.SETTING, ColumnKind.PROGRESS, ColumnKind.PARAMETERS, ColumnKind.COMPUTE]
    ranked = sorted(mixed, key=lambda each: order.index(each.column.kind) if each.column.kind in order else len(order))
    kept: list[Mixed] = []
    for each in ranked:
        cause = next((index for index, other in enumerate(kept) if _follows(each.column, other.column, kept, rows)), None)
        if cause is None:
            kept.append(each)
        else:
            other = kept[cause]
            kept[cause] = Mixed(other.column, other.early, (*other.explained, each.column.name))
    yield from kept


def _follows(column: Column, other: Column, kept: Sequence[Mixed], rows: Rows) -> bool:
    """Whether a column is one to one with another, or a function of it and of size or value."""
    if determined(other.codes + 1, column.codes) and determined(column.codes + 1, other.codes):
        return True
    if column.numbers is None or other.numbers is None:
        return False
    size = Numbers(rows.sizes, rows.sizes.tolist())
    value = Numbers(rows.values, rows.values.tolist())
    further = {each.column.name: each.column.numbers for each in kept if each.column.numbers is not None}
    factors = {other.name: other.numbers, rows.roles.axis: size, rows.roles.hyperparameter: value} | further
    found = function_of(column.name, column.numbers, factors)
    return found is not None and other.name in found.of
