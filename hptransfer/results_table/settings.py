"""What else differs between rows that are judged together: settings are refused, measurements are not.

A column is a setting by its name (batch size, W&B's `config.`), or by its cells: few values, or the same value in many
rows. What has a value of its own in every run is a measurement or a label.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import Enum, auto

import numpy as np

from hptransfer.results_table.cells import cell_text
from hptransfer.results_table.column_kinds import ColumnKind, column_kind, is_meter, tells_seeds
from hptransfer.results_table.column_names import hyperparameter_name, normalized_column_name, words_of
from hptransfer.results_table.names_of_runs import NamePart, parts_of_names
from hptransfer.results_table.relations import function_of
from hptransfer.results_table.row_columns import SAME_LENGTH, Codes, Column, Rows, determined, longest_of_size, paired
from hptransfer.results_table.rows import flag_columns
from hptransfer.results_table.rules import RowRules
from hptransfer.sizes import size_text

#: share of the rows that have the most frequent value of a setting with many values
_OFTEN = 0.1
#: columns or values that a sentence lists
_LISTED = 6
#: names of columns that say which model a row is of, in words
_LABELS = words_of("name model label run arch architecture config size scale variant experiment exp group job")
#: parts of a model that grow with its width and are what width means
_PARTS_OF_WIDTH = re.compile(
    r"(n_?|num_)?(attention_)?(kv_)?(key_value_)?heads?|n_head|d_?ff|ffn?_(dim|hidden|size|width)|"
    r"feed_?forward_(dim|size)|intermediate_size|mlp_(dim|width|hidden|size)|d_(inner|hidden|mlp|kv|head)|"
    r"head_(dim|size)|inner_dim"
)
#: columns whose numbers tell rows apart
_NUMBERED = words_of("run run_id trial trial_id number index row id")
#: what people write beside a run when it was made in another way
_REMARKS = words_of("notes note comment comments description")
#: kinds whose cells say which run a row is, or when and where it ran
_OF_THE_RUN = (ColumnKind.BOOKKEEPING, ColumnKind.CLOCK)
#: kinds in which an empty cell says nothing of what was trained
_MAY_BE_EMPTY = (ColumnKind.MEASURED, ColumnKind.CLOCK, ColumnKind.PROGRESS, ColumnKind.COMPUTE, ColumnKind.PARAMETERS)
#: sizes that are no shape of the model
_OF_RUNS = ("tokens", "batch_size")
_DATE = re.compile(r"\d{4}-\d\d-\d\d.*")


class _Meaning(Enum):
    """What a column that varies means for the judgement."""

    HARMLESS = auto()
    MIXED = auto()  # the rows may not be judged together
    ALONG = auto()  # a limit: it changes along with the size
    LIMIT = auto()
    NOTE = auto()
    LABEL = auto()


@dataclass(frozen=True, slots=True)
class _Found:
    """A meaning, with what is said of it."""

    meaning: _Meaning
    sentence: str = ""
    early: int = 0


@dataclass(frozen=True, slots=True)
class Mixed:
    """A column in which rows differ that may not.

    Attributes:
        column: it, among the rows of the group.
        early: rows that ended before the longest of their size; 0 where it is no length.
        explained: names of other columns that follow from it.
        part: what the cells say in part, where they are names of runs; None where a cell is a value.
    """

    column: Column
    early: int = 0
    explained: tuple[str, ...] = ()
    part: NamePart | None = None


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


def find_mixtures(rows: Rows, rules: RowRules) -> Findings:
    """Every column that varies besides size, value and seed, sorted by what it means for the judgement.

    Args:
        rows: the rows of one group that is judged.
        rules: what the user said about columns.
    """
    roles = rows.roles
    used = {roles.size, roles.value, roles.loss, roles.seed, roles.group, roles.state, *roles.searched}
    used |= flag_columns(rows.table).keys()
    mixed: list[Mixed] = []
    said: dict[_Meaning, list[str]] = {meaning: [] for meaning in _Meaning}
    for name in rows.table.columns:
        if name in used or (column_kind(name) is ColumnKind.SEED and tells_seeds(rows.table.columns[name])):
            continue
        if name not in rules.ignored:
            for part, of_names in _parts(name, rows):
                found = _meaning_of_part(part, rows)
                if found.meaning is _Meaning.MIXED:
                    mixed.append(Mixed(part, part=of_names))
                else:
                    said[found.meaning].append(found.sentence)
        if rows.all_differ_in_words(name):
            said[_Meaning.LABEL].append(name)
            continue
        column = rows.with_gaps(rows.column(name))
        if len(column.values) < 2:
            said[_Meaning.LIMIT] += _half_given(column, rows)
        elif name in rules.ignored:
            sentence = f"{name} differs between runs ({_listed(column)}) and was left out of account as asked."
            said[_Meaning.LIMIT].append(sentence)
        else:
            found = _meaning(column, rows)
            if found.meaning is _Meaning.MIXED:
                mixed.append(Mixed(column, found.early))
            else:
                said[found.meaning].append(found.sentence)
    notes = said[_Meaning.NOTE]
    if labels := said[_Meaning.LABEL]:
        more = f" and {len(labels) - _LISTED} more" if len(labels) > _LISTED else ""
        listed = f"{', '.join(labels[:_LISTED])}{more}"
        notes.append(f"taken for labels, since hardly any two runs agree in them: {listed}")
    return Findings(tuple(_explained(mixed, rows)), (*said[_Meaning.ALONG], *said[_Meaning.LIMIT]), tuple(notes))


_HARMLESS, _MIXED = _Found(_Meaning.HARMLESS), _Found(_Meaning.MIXED)


def _parts(name: str, rows: Rows) -> Iterator[tuple[Column, NamePart]]:
    """What names of runs say besides size, value and seed, as columns."""
    if column_kind(name) in (ColumnKind.CLOCK, ColumnKind.MEASURED, ColumnKind.SEED):
        return
    column = rows.column(name)
    if column.numbers is not None or 3 * len(column.values) < len(rows.runs) or len(column.values) < 4:
        return
    texts = [cell_text(column.values[code]) if code >= 0 else "" for code in column.codes.tolist()]
    if all(_DATE.fullmatch(text) for text in texts if text):
        return
    for part in parts_of_names(texts, (rows.size, rows.value, rows.seed, rows.cell)):
        yield Column(name, ColumnKind.UNKNOWN, part.codes, part.values, None), part


def _meaning_of_part(part: Column, rows: Rows) -> _Found:
    """A mixture where most cells have runs of several names; a limit where sizes or values differ in them."""
    if (along := _with_size(part, rows)) is not None:
        return along
    named = part.codes >= 0
    cells, count = np.unique(rows.cell[named], return_counts=True)
    both = np.unique(paired(rows.cell[named], part.codes[named])).size - len(cells)
    if 2 * both >= max(1, int((count > 1).sum())) and np.any(count > 1):
        return _MIXED
    roles = rows.roles
    sentence = (
        f"{part.name} says more than {roles.axis}, {roles.value} and seed ({_listed(part)}): these runs may not have "
        "been made alike."
    )
    return _Found(_Meaning.LIMIT, sentence)


def _meaning(column: Column, rows: Rows) -> _Found:
    """The first answer of the questions below, each of which knows one kind of column."""
    questions: tuple[Callable[[Column, Rows], _Found | None], ...] = (
        _of_the_run,
        _measured,
        _length,
        _names_rows,
        _with_size,
        _function,
        _with_value,
        _with_seed,
        _setting,
    )
    answers = (ask(column, rows) for ask in questions)
    return next((answer for answer in answers if answer is not None), None) or _own_value(column)


def _of_the_run(column: Column, rows: Rows) -> _Found | None:
    """When, where and by whom a run was made: no setting, unless sizes and values go with it."""
    if column.kind not in _OF_THE_RUN:
        return None
    if column.numbers is not None and column.kind is ColumnKind.CLOCK:
        return _HARMLESS
    few, fixed = _few_values(column), _fixed_by_cell(column, rows)
    remark = normalized_column_name(column.name) in _REMARKS
    return _made_apart(column) if fixed or (few and (remark or not rows.seeded)) else _HARMLESS


def _made_apart(column: Column) -> _Found:
    sentence = f"{column.name} differs between runs ({_listed(column)}): these runs may not have been made alike."
    return _Found(_Meaning.LIMIT, sentence)


def _fixed_by_cell(column: Column, rows: Rows) -> bool:
    """Whether all runs of a size and value agree, though there are several."""
    known = column.codes >= 0
    several = 2 * len(np.unique(rows.cell[known])) <= int(known.sum())
    return several and determined(rows.cell, column.codes)


def _measured(column: Column, rows: Rows) -> _Found | None:
    """Losses, norms, memory; and where and with which code runs were made."""
    if column.kind is ColumnKind.CIRCUMSTANCE:
        return _made_apart(column) if _few_values(column) or _fixed_by_cell(column, rows) else _HARMLESS
    if column.kind is not ColumnKind.MEASURED:
        return None
    by_size = determined(rows.size, column.codes)
    if _few_values(column) if column.numbers is None else _scarce(column, rows):
        return None
    if not _fixed_by_cell(column, rows) or (by_size and is_meter(column.name)):
        return _HARMLESS
    if by_size:
        return None
    return _Found(
        _Meaning.LIMIT,
        f"{column.name} is the same in all runs of a {rows.roles.axis} and {rows.roles.value}, as no measurement is: "
        "if it is a setting, these runs mix it in.",
    )


def _few_values(column: Column) -> bool:
    """Whether many rows share values, as the rows of a setting do."""
    counts = column.counts()
    total, most = int(counts.sum()), int(counts.max())
    return len(counts) <= total / 2 or most >= max(3, _OFTEN * total)


def _scarce(column: Column, rows: Rows) -> bool:
    """Whether so few values occur, each so often, that no loss has measured them: z_loss 0 and 1e-4."""
    counts = column.counts()
    return (
        len(counts) <= 4
        and int(counts.min()) >= 2
        and not (determined(rows.size, column.codes) and is_meter(column.name))
    )


def _length(column: Column, rows: Rows) -> _Found | None:
    """How long runs trained: equal at each size, or a mixture; diverged runs end when they do."""
    if column.kind not in (ColumnKind.PROGRESS, ColumnKind.COMPUTE) or column.numbers is None:
        return None
    lengths = np.where(rows.finite, column.numbers.values, np.nan)
    longest = longest_of_size(lengths, rows.size)
    if early := int(np.sum(lengths < longest * (1 - SAME_LENGTH))):
        return _Found(_Meaning.MIXED, early=early)
    known = np.isfinite(lengths)
    if not known.any() or np.max(longest[known]) <= np.min(longest[known]) * (1 + SAME_LENGTH):
        return _HARMLESS
    finished = replace(column, codes=np.where(known, column.codes, -1))
    if column.kind is ColumnKind.COMPUTE or (along := _with_size(finished, rows)) is None:
        along = _Found(
            _Meaning.ALONG,
            f"{column.name} changes along with {rows.roles.axis}, and a little within: these runs cannot show which of "
            "the two moves the optimum.",
        )
    return _HARMLESS if column.kind is ColumnKind.COMPUTE else along


def _names_rows(column: Column, rows: Rows) -> _Found | None:
    """A date, or a text that says nothing but which size, value and seed a row is of."""
    if column.numbers is not None and normalized_column_name(column.name) in _NUMBERED:
        return _HARMLESS
    if column.numbers is not None or column.logical:
        return None
    if column.kind is not ColumnKind.SETTING and all(_DATE.fullmatch(cell_text(cell)) for cell in column.values):
        return _made_apart(column) if _few_values(column) or _fixed_by_cell(column, rows) else _HARMLESS
    fixed = [rows.cell] if column.kind is ColumnKind.SETTING else [rows.cell, rows.value]
    if any(_one_to_one(key, column) for key in fixed):
        return _HARMLESS if not _fixed_by_cell(column, rows) or _names_size(column, rows) else _own_text(column, rows)
    keys = [paired(rows.cell, rows.seed)]
    if column.kind is not ColumnKind.SETTING:
        keys += [paired(rows.size, rows.seed), paired(rows.value, rows.seed)]
    return _HARMLESS if any(_one_to_one(key, column) for key in keys) else None


def _one_to_one(key: Codes, column: Column) -> bool:
    return determined(key, column.codes) and determined(column.codes + 1, key)


def _names_size(column: Column, rows: Rows) -> bool:
    """Whether the texts say the size or the value in numbers, as names do and hashes do not."""
    texts = [cell_text(column.values[code]) if code >= 0 else "" for code in column.codes.tolist()]
    sizes, values = map(size_text, rows.sizes.tolist()), (f"{value:.3g}" for value in rows.values.tolist())
    return any(
        all(written in text for written, text in zip(said, texts, strict=True) if text) for said in (sizes, values)
    )


def _own_text(column: Column, rows: Rows) -> _Found:
    sentence = (
        f"{column.name} has a text of its own at each {rows.roles.axis} and {rows.roles.value}: if it is a setting, "
        "these runs mix it in."
    )
    return _Found(_Meaning.LIMIT, sentence)


def _with_size(column: Column, rows: Rows) -> _Found | None:
    """A column that the size determines: what a size means, or something that changes along with it."""
    if not determined(rows.size, column.codes):
        return None
    if _means_size(column, rows):
        return _HARMLESS
    known = column.codes >= 0
    pairs = sorted(set(zip(rows.sizes[known].tolist(), column.codes[known].tolist(), strict=True)))
    name, texts = column.name, column.texts()
    path = ", ".join(f"{name} {texts[code]} at {size_text(size)}" for size, code in pairs[:_LISTED])
    return _Found(
        _Meaning.ALONG,
        f"{name} changes along with {rows.roles.axis} ({path}): these runs cannot show which of the two moves the "
        "optimum.",
    )


def _means_size(column: Column, rows: Rows) -> bool:
    """Whether a column that the size determines is a consequence, a part or a name of it."""
    if column.kind is ColumnKind.COMPUTE:
        return True
    if column.kind is ColumnKind.PARAMETERS:
        return rows.roles.axis not in _OF_RUNS
    normalized = normalized_column_name(column.name)
    if column.numbers is not None:
        ratio = column.numbers.values / rows.sizes
        proportional = bool(np.nanmax(ratio) <= np.nanmin(ratio) * (1 + 1e-9))
        return proportional and _PARTS_OF_WIDTH.fullmatch(normalized) is not None
    if not determined(column.codes + 1, rows.size):
        return False
    texts = column.texts()
    named = all(
        size_text(float(size)) in texts[code] for size, code in zip(rows.sizes, column.codes, strict=True) if code >= 0
    )
    return named or bool(set(normalized.split("_")) & _LABELS)


def _function(column: Column, rows: Rows) -> _Found | None:
    """A column of numbers that follows from value and size."""
    if column.numbers is None or not determined(rows.cell, column.codes):
        return None
    roles = rows.roles
    found = function_of(column.name, column.numbers, rows.factors())
    if found is None:
        return None
    own, words = hyperparameter_name(column.name), set(normalized_column_name(column.name).split("_"))
    same = own == roles.hyperparameter or (own is None and words & set(normalized_column_name(roles.value).split("_")))
    if column.kind is ColumnKind.SETTING and not same:
        sentence = f"{found.sentence}: it changes along with {roles.value}, and what these runs tune is both."
        return _Found(_Meaning.LIMIT, sentence)
    return _Found(_Meaning.NOTE, f"{found.sentence}: no setting of its own")


def _with_value(column: Column, rows: Rows) -> _Found | None:
    """A column of numbers that rises or falls with the value throughout, as one path through both does."""
    if column.numbers is None or rows.roles.searched or not determined(rows.value, column.codes):
        return None
    known = np.isfinite(column.numbers.values)
    _, first = np.unique(rows.value[known], return_index=True)
    steps = np.diff(column.numbers.values[known][first])
    if not (np.all(steps > 0) or np.all(steps < 0)):
        return None
    along = f"{column.name} rises or falls along with {rows.roles.value}"
    if column.kind is ColumnKind.SETTING:
        return _Found(_Meaning.LIMIT, f"{along}: what these runs tune is both together.")
    return _Found(_Meaning.NOTE, f"{along}: no setting of its own")


def _with_seed(column: Column, rows: Rows) -> _Found | None:
    """Another name of the seed: one to one with it, in numbers or with at least three names."""
    if not rows.seeded or column.kind is ColumnKind.SETTING or column.logical:
        return None
    one_to_one = determined(rows.seed, column.codes) and determined(column.codes, rows.seed)
    if one_to_one and (column.numbers is not None or len(column.values) >= 3):
        return _Found(_Meaning.NOTE, f"{column.name} goes with {rows.roles.seed} one to one")
    return None


def _setting(column: Column, rows: Rows) -> _Found | None:
    """A setting by its name, by few values, or by the same value in all runs of a size and value."""
    repeated = determined(rows.cell, column.codes) and len(np.unique(rows.cell)) < len(rows.runs)
    return _MIXED if column.kind is ColumnKind.SETTING or _few_values(column) or repeated else None


def _own_value(column: Column) -> _Found:
    """A column in which hardly any two runs agree: a label, a number of the row, or a measurement."""
    if column.numbers is None:
        return _Found(_Meaning.LABEL, column.name)
    values = np.unique(column.numbers.values[np.isfinite(column.numbers.values)])
    if np.all(values == np.round(values)) and np.ptp(values) < 2 * len(values):
        return _HARMLESS
    return _Found(
        _Meaning.LIMIT,
        f"{column.name} has a value of its own in nearly every run and is taken for a measurement: if it is a setting, "
        "these runs mix it in.",
    )


def _half_given(column: Column, rows: Rows) -> Iterator[str]:
    """A setting, or what may be one, that only some rows name."""
    named = int((column.codes >= 0).sum())
    if column.kind not in _MAY_BE_EMPTY and 0 < named < len(rows.runs):
        yield (
            f"{column.name} is given in {named} of {len(rows.runs)} rows ({column.texts()[0]}): whether the others "
            "share it is not known."
        )


def _listed(column: Column) -> str:
    texts = column.texts()
    return ", ".join(texts[:_LISTED]) + (", ..." if len(texts) > _LISTED else "")


def _explained(mixed: Sequence[Mixed], rows: Rows) -> Iterator[Mixed]:
    """The mixed columns without those that follow from another, settings by name first."""
    order = [ColumnKind.SETTING, ColumnKind.PROGRESS, ColumnKind.PARAMETERS, ColumnKind.COMPUTE]
    ranked = sorted(mixed, key=lambda each: order.index(each.column.kind) if each.column.kind in order else len(order))
    kept: list[Mixed] = []
    for each in ranked:
        causes = (index for index, other in enumerate(kept) if _follows(each.column, other.column, kept, rows))
        cause = next(causes, None)
        if cause is None:
            kept.append(each)
        else:
            kept[cause] = replace(kept[cause], explained=(*kept[cause].explained, each.column.name))
    yield from kept


def _follows(column: Column, other: Column, kept: Sequence[Mixed], rows: Rows) -> bool:
    """Whether a column is one to one with another, or a function of it and of size or value."""
    if determined(other.codes + 1, column.codes) and determined(column.codes + 1, other.codes):
        return True
    if column.numbers is None or other.numbers is None:
        return False
    further = {each.column.name: each.column.numbers for each in kept if each.column.numbers is not None}
    found = function_of(column.name, column.numbers, {other.name: other.numbers} | rows.factors() | further)
    return found is not None and other.name in found.of
