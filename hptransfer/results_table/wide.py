"""Tables that are wider than one row per run: pivots (values by sizes), panels (steps by runs), and names of runs."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from shlex import quote
from typing import NoReturn

from hptransfer.errors import Place, UsageError
from hptransfer.results_table.cells import Cell, ResultTable, cell_text, distinct, is_missing, number_in
from hptransfer.results_table.column_names import (
    is_size_name,
    is_value_name,
    keys_in_names,
    normalized_column_name,
)
from hptransfer.results_table.columns import run_columns
from hptransfer.results_table.labels import NamePattern, label_template, numbers_in_labels, pairs_in_names

#: what W&B puts beside every line of a panel
_ENVELOPE = ("__MIN", "__MAX")
#: between the name of a run and what was measured of it, in W&B's panels
_BETWEEN = " - "
#: what a panel's rows go along
_ALONG = re.compile(
    r"_?(global_)?steps?|trainer_global_step|train_step|epoch|iter(ation)?s?|relative_time.*|wall_time|_?timestamp"
)
#: before three digits
_THOUSANDS = re.compile(r"(?<=\d)[,' _](?=\d{3}(?!\d))")
_EXAMPLE = "'w{width}-lr{lr}-s{seed}'"


@dataclass(frozen=True, slots=True)
class _Wide:
    """Columns that are to become rows.

    Attributes:
        said: what the name of each says: column -> cell.
        metric: what each measured; None where the names do not say.
        dropped: columns that are left out.
    """

    said: Mapping[str, Mapping[str, str]]
    metric: Mapping[str, str | None]
    dropped: frozenset[str] = frozenset()


def long_form(table: ResultTable, wide: str | None = None, pattern: str | None = None) -> ResultTable:
    """One row per run, or per run and step, from whatever form a table has; a table in that form stays as it is.

    Args:
        table: as it stands in the file.
        wide: what the names of columns that are called by a number mean: the new column's name.
        pattern: what the names of runs or of columns mean, such as `w{width}-lr{lr}`.

    Raises:
        UsageError: a name does not follow the pattern, or the columns that are meant cannot be told.
    """
    envelope = {name for name in table.columns if _of_envelope(name, table)}
    lines = [name for name in table.columns if f"{name}{_ENVELOPE[0]}" in envelope]
    left = [name for name in table.columns if name not in envelope]
    if not lines and any(_goes_along(name) for name in left):
        lines = [name for name in left if _split(name)[1] is not None]
    if wide is not None and pattern is not None:
        raise UsageError("`--wide` and `--name-pattern` are two ways to say one thing: give one", received="both")
    if pattern is not None:
        found = _by_pattern(table, pattern, lines or left, all_of_them=bool(lines))
        if found is None:
            return _with_names(table, *_pattern_in_cells(table, pattern))
    elif wide is not None:
        found = _by_number(table, wide, left)
    elif lines:
        found = _by_keys(table, lines)
    else:
        found = _pivot(table, left)
        if found is None:
            return _with_names(table, *_keys_in_cells(table))
    return _rows(table, replace(found, dropped=frozenset(envelope)))


def _goes_along(name: str) -> bool:
    return _ALONG.fullmatch(normalized_column_name(name)) is not None


def _of_envelope(name: str, table: ResultTable) -> bool:
    end = next((end for end in _ENVELOPE if name.endswith(end)), None)
    if end is None:
        return False
    base = name.removesuffix(end)
    return base in table.columns and all(f"{base}{each}" in table.columns for each in _ENVELOPE)


def _split(name: str) -> tuple[str, str | None]:
    """(run, what was measured) from the name of a panel's line."""
    run, between, metric = name.rpartition(_BETWEEN)
    return (run, metric) if between and run else (name, None)


def _by_pattern(table: ResultTable, pattern: str, names: Sequence[str], *, all_of_them: bool) -> _Wide | None:
    """Columns whose names follow the pattern; None where no name does, and it may be meant for cells."""
    runs = {name: _split(name) for name in names}
    form = NamePattern.of(pattern)
    found = {name: form.read(run) for name, (run, _) in runs.items()}
    said = {name: found[name] or form.read(name) for name in names}
    kept = {name: each for name, each in said.items() if each is not None}
    if all_of_them and len(kept) < len(names):
        stray = next(name for name in names if name not in kept)
        _refuse_name(table, pattern, runs[stray][0], None)
    if not kept:
        return None
    return _Wide(kept, {name: runs[name][1] if found[name] is not None else None for name in kept})


def _refuse_name(table: ResultTable, pattern: str, name: str, row: int | None) -> NoReturn:
    raise UsageError(
        "every name must follow the pattern",
        received=f"{cell_text(name)[:80]}, which is not {pattern}",
        hint="{} in a pattern stands for anything: 'w{width}-lr{lr}{}'",
        place=Place(table.name, 1) if row is None else table.place(row),
        code="results/name-pattern",
    )


def _by_keys(table: ResultTable, lines: Sequence[str]) -> _Wide:
    """The lines of a panel by the keys in their names."""
    runs = {name: _split(name) for name in lines}
    names = list(dict.fromkeys(run for run, _ in runs.values()))
    columns = _pairs(names)
    if columns is None:
        raise UsageError(
            "the names of a panel's lines must say size and value",
            received=f"{cell_text(names[0])[:80]}{f', and {len(names) - 1} more' if len(names) > 1 else ''}",
            hint=f"say how they are made: --name-pattern {_EXAMPLE}; {{}} stands for anything",
            place=Place(table.name, 1),
            code="results/name-pattern",
        )
    said = {run: {column: cells[index] for column, cells in columns.items()} for index, run in enumerate(names)}
    return _Wide(
        {name: said[run] for name, (run, _) in runs.items()}, {name: metric for name, (_, metric) in runs.items()}
    )


def _pairs(names: Sequence[str]) -> dict[str, list[str]] | None:
    """Columns from the keys in names, where they say a size and a value."""
    columns = pairs_in_names(names, keys_in_names())
    if columns is None or not (any(map(is_size_name, columns)) and any(map(is_value_name, columns))):
        return None
    return columns


def _number_of(name: str) -> float | None:
    """The number that a column is called by; what separates thousands in it is decided when it is a cell."""
    return number_in(_THOUSANDS.sub("", name), suffixes=True)


def _by_number(table: ResultTable, wide: str, left: Sequence[str]) -> _Wide:
    """Columns that are called by a number, or by the same text around one."""
    if wide in table.columns or not wide.strip():
        raise UsageError(
            "`--wide NAME` takes the name of a new column",
            received=wide,
            hint="--wide width",
            place=Place(table.name, 1),
            code="results/wide",
        )
    numbers = [name for name in left if _number_of(name) is not None]
    groups: dict[object, list[str]] = defaultdict(list)
    for name in left:
        if (template := label_template(name)) is not None:
            groups[template].append(name)
    labelled = [group for group in groups.values() if len(group) > 1 and numbers_in_labels(group)]
    found = [numbers] if len(numbers) > 1 else labelled
    if len(found) != 1:
        several = "; ".join(", ".join(group[:3]) for group in found[:3])
        raise UsageError(
            "with `--wide` the columns that become rows must be called by numbers",
            received=f"several sets of columns: {several}" if found else ", ".join(left)[:300],
            hint="say how they are called: --name-pattern 'd{width}'",
            place=Place(table.name, 1),
            code="results/wide",
        )
    labels = numbers_in_labels(found[0]) or {}
    return _Wide(
        {name: {wide: name if found[0] is numbers else f"{labels[name]!r}"} for name in found[0]},
        dict.fromkeys(found[0]),
    )


def _pivot(table: ResultTable, left: Sequence[str]) -> _Wide | None:
    """A pivot that cannot be anything else: rows of a hyperparameter, columns of sizes, and losses between them."""
    if not any(is_value_name(name) for name in left) or any(_varying_size(table, name) for name in left):
        return None
    numbers = {name: number for name in left if (number := _number_of(name)) is not None}
    if len(numbers) > 1 and _all_losses(table, numbers):
        ordered = sorted(numbers.values())
        counted = ordered[0] <= 1 and all(high - low == 1 for low, high in pairwise(ordered))
        if ordered[0] > 0 and not counted and len(set(ordered)) == len(ordered):
            return _Wide({name: {"size": name} for name in numbers}, dict.fromkeys(numbers))
        return None
    rest = [name for name in left if not is_value_name(name) and label_template(name) is not None]
    columns = pairs_in_names(rest, keys_in_names()) if len(rest) > 1 and _all_losses(table, rest) else None
    if columns is None or not any(map(is_size_name, columns)) or any(name in table.columns for name in columns):
        return None
    said = {name: {column: cells[index] for column, cells in columns.items()} for index, name in enumerate(rest)}
    return _Wide(said, dict.fromkeys(rest))


def _varying_size(table: ResultTable, name: str) -> bool:
    return is_size_name(name) and len(distinct(table.columns[name])) > 1


def _all_losses(table: ResultTable, names: Sequence[str] | Mapping[str, float]) -> bool:
    """Whether all cells of some columns are numbers or empty."""
    return all(
        is_missing(cell) or number_in(cell) is not None or str(cell).strip().lower() == "diverged"
        for name in names
        for cell in table.columns[name]
    )


def _rows(table: ResultTable, wide: _Wide) -> ResultTable:
    """The table with a row for every cell of the wide columns."""
    kept = [name for name in table.columns if name not in wide.said and name not in wide.dropped]
    added = list(dict.fromkeys(column for each in wide.said.values() for column in each))
    if taken := next((column for column in added if column in kept), None):
        raise UsageError(
            "what the names of columns say must not be a column already",
            received=taken,
            hint=f"call it otherwise: --name-pattern 'w{{width}}', or leave out the column {quote(taken)}",
            place=Place(table.name, 1),
            code="results/wide",
        )
    along = next((name for name in kept if _goes_along(name)), None)
    metrics = list(dict.fromkeys(metric or "loss" for metric in wide.metric.values()))
    runs: dict[str, dict[str, str]] = defaultdict(dict)
    for name, metric in wide.metric.items():
        run = _split(name)[0] if metric else name
        if (metric or "loss") in runs[run]:
            raise UsageError("every line of a panel must have its own name", received=name, place=Place(table.name, 1))
        runs[run][metric or "loss"] = name
    columns: dict[str, list[Cell]] = {name: [] for name in ["run", *kept, *added, *metrics]}
    lines: list[int] = []
    for row, line in enumerate(table.lines):
        for run, by_metric in runs.items():
            cells = [table.columns[by_metric[metric]][row] if metric in by_metric else None for metric in metrics]
            if along is not None and all(is_missing(cell) for cell in cells):
                continue  # this run has nothing at this step
            said = wide.said[next(iter(by_metric.values()))]
            columns["run"].append(run)
            for name in kept:
                columns[name].append(table.columns[name][row])
            for name in added:
                columns[name].append(said.get(name))
            for metric, cell in zip(metrics, cells, strict=True):
                columns[metric].append(cell)
            lines.append(line)
    if along is None:
        del columns["run"]
    names = ", ".join(list(wide.said)[:3])
    note = (
        f"{len(wide.said)} columns ({names}{', ...' if len(wide.said) > 3 else ''}) are read as rows of "
        f"{', '.join(added)} and {', '.join(metrics)}"
    )
    return replace(
        table,
        columns=columns,
        lines=lines,
        run=None if along is None else "run",
        notes=(*table.notes, note),
    )


def _with_names(table: ResultTable, source: str | None, columns: Mapping[str, Sequence[Cell]]) -> ResultTable:
    """The table with columns that the names of its runs say."""
    if source is None:
        return table
    note = f"{', '.join(columns)}: read from the names in column {source}"
    return replace(table, columns={**table.columns, **columns}, notes=(*table.notes, note))


def _pattern_in_cells(table: ResultTable, pattern: str) -> tuple[str, dict[str, list[Cell]]]:
    """The column of names that follow a pattern, and what they say."""
    candidates, form = run_columns(table), NamePattern.of(pattern)
    for source in candidates:
        cells = [cell_text(cell) if not is_missing(cell) else "" for cell in table.columns[source]]
        found = [form.read(cell) for cell in cells]
        if not any(found):
            continue
        for row, (cell, each) in enumerate(zip(cells, found, strict=True)):
            if each is None and cell:
                _refuse_name(table, pattern, cell, row)
        added = list(next(each for each in found if each is not None))
        if taken := next((column for column in added if column in table.columns), None):
            rule = "what a name says must not be a column already"
            raise UsageError(rule, received=taken, hint="write {} in the pattern for it", place=Place(table.name, 1))
        return source, {column: [None if each is None else each[column] for each in found] for column in added}
    if candidates:
        _refuse_name(table, pattern, str(table.columns[candidates[0]][0]), 0)
    raise UsageError(
        "`--name-pattern` needs a column of names, or columns that are called so",
        received=", ".join(table.columns)[:300],
        hint="call the column of names `run`",
        place=Place(table.name, 1),
        code="results/name-pattern",
    )


def _keys_in_cells(table: ResultTable) -> tuple[str | None, dict[str, list[Cell]]]:
    """The column of names that say a size and a value, where no column does."""
    if any(is_size_name(name) for name in table.columns) or any(is_value_name(name) for name in table.columns):
        return None, {}
    for source in run_columns(table):
        texts = [cell_text(cell) for cell in distinct(table.columns[source])]
        columns = _pairs(texts) if texts else None
        if columns is None or any(name in table.columns for name in columns):
            continue
        at = {text: index for index, text in enumerate(texts)}
        rows = [None if is_missing(cell) else at.get(cell_text(cell)) for cell in table.columns[source]]
        return source, {name: [None if row is None else cells[row] for row in rows] for name, cells in columns.items()}
    return None, {}
