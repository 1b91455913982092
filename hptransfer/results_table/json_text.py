"""Tables in JSON: an object per line, a list of objects, or columns of equal length as pandas writes them."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from hptransfer.results_table.cells import Cell, ResultTable, without_control_characters
from hptransfer.results_table.malformed import refuse_table, require_few_columns

#: objects within objects; deeper is no setting of a run
_DEEPEST = 50


def parse_json(text: str, name: str) -> ResultTable:
    """The table in a JSON text.

    Args:
        text: of the whole file.
        name: the file as the user called it.

    Raises:
        UsageError: a record is no object, or a line is not JSON; the line is named.
    """
    lines, records = [], []
    for line, record in _records(text, name):
        if not isinstance(record, dict):
            refuse_table(name, "every line must be a JSON object", repr(record)[:80], line)
        lines.append(line)
        records.append(record)
    return by_columns(records, name, lines)


def by_columns(records: Sequence[Mapping[str, Any]], name: str, lines: Sequence[int]) -> ResultTable:
    """Records as columns, nested keys joined by dots.

    Args:
        records: one object per run.
        name: the file as the user called it.
        lines: the line of each record, from 1.
    """
    flat: list[dict[str, Cell]] = []
    names: dict[str, None] = {}
    for record, line in zip(records, lines, strict=True):
        require_few_columns(name, len(record))
        flat.append(dict(flattened(record, "", name, line)))
        names |= dict.fromkeys(flat[-1])
        require_few_columns(name, len(names))
    columns = {without_control_characters(key): [record.get(key) for record in flat] for key in names}
    return ResultTable(name, columns, lines)


def _records(text: str, name: str) -> Iterator[tuple[int, Any]]:
    """(line, record): one object per line, or one list or object over any number of lines."""
    first = text.lstrip().partition("\n")[0]
    lines = text.strip().count("\n")
    if first.startswith("[") or first.strip() == "{" or (first.startswith("{") and not lines):
        whole = _loaded(text, name, 1)
        for record in whole if isinstance(whole, list) else _columns_as_records(whole):
            yield 1, record
        return
    for number, line in enumerate(io.StringIO(text), start=1):
        if line.strip():
            yield number, _loaded(line, name, number)


def _columns_as_records(whole: Any) -> list[Any]:
    """What pandas' `to_json` writes, as records: columns of rows by index, or of lists; anything else is one record."""
    if not isinstance(whole, dict) or len(whole) < 2:
        return [whole]
    columns = list(whole.values())
    if all(isinstance(column, list) for column in columns):
        if len({len(column) for column in columns}) == 1:
            return [dict(zip(whole, row, strict=True)) for row in zip(*columns, strict=True)]
    elif all(isinstance(column, dict) and column.keys() == columns[0].keys() for column in columns):
        rows = list(columns[0])
        if rows and all(row.isdecimal() for row in rows):
            return [{name: column[row] for name, column in whole.items()} for row in rows]
    return [whole]


def _loaded(text: str, name: str, line: int) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        found = getattr(error, "lineno", 1) + line - 1
        refuse_table(name, "a line must be valid JSON", str(error)[:120], found, "write one object per line")


def flattened(
    record: Mapping[str, Any], prefix: str, name: str, line: int | None, depth: int = 0
) -> Iterator[tuple[str, Cell]]:
    """Nested keys joined by dots; lists are no cells and are left out.

    Args:
        record: an object of JSON.
        prefix: what its keys begin with.
        name: the file as the user called it.
        line: of the record, from 1, to name it in a refusal.
        depth: number of objects around this one.
    """
    if depth > _DEEPEST:
        refuse_table(name, f"objects may be nested {_DEEPEST} deep", f"{prefix[:60]}...", line)
    for key, value in record.items():
        if isinstance(value, Mapping):
            yield from flattened(value, f"{prefix}{key}.", name, line, depth + 1)
        elif value is None or isinstance(value, str | bool):
            yield f"{prefix}{key}", value
        elif isinstance(value, int | float):
            yield f"{prefix}{key}", _as_float(value)


def _as_float(value: float) -> float:
    try:
        return float(value)
    except OverflowError:
        return float("inf")
