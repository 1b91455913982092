"""Reading a table of finished runs from CSV, JSON lines or parquet; what the cells mean is not decided here."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn

from hptransfer.errors import Place, UsageError
from hptransfer.results_table.table import Cell, ResultTable, without_control_characters

_DELIMITERS = (",", ";", "\t", "|")
_TEXT = {".csv", ".tsv", ".txt", ".dat"}
_JSON = {".jsonl", ".ndjson", ".json"}
_PARQUET = {".parquet", ".pq"}
#: characters per cell; W&B exports whole configurations into one cell
_LONGEST_CELL = 2**24


def read_table(path: Path) -> ResultTable:
    """Read a table; the suffix names the format.

    CSV may use commas, semicolons, tabs or bars, quotes, `#` comments and a byte order mark; JSON is one object per
    line, or one list of objects, nested keys joined by dots; parquet needs pyarrow.

    Raises:
        UsageError: the file is missing, of another format, empty, or malformed (with its line).
    """
    suffix = path.suffix.lower()
    if suffix in _PARQUET:
        return _read_parquet(path)
    if suffix not in _TEXT | _JSON:
        raise UsageError(
            "a table of results must be .csv, .tsv, .jsonl or .parquet",
            received=str(path),
            hint="export the runs as CSV (W&B: Runs table, Export, CSV)",
            code="results/format",
        )
    text = _decoded(path)
    table = _parse_json(text, str(path)) if suffix in _JSON else _parse_csv(text, str(path))
    if not len(table):
        _refuse(str(path), "a table of results must have rows", "none", None)
    return table


def _refuse(name: str, rule: str, received: str, line: int | None, hint: str | None = None) -> NoReturn:
    raise UsageError(rule, received=received, hint=hint, place=Place(name, line), code="results/malformed")


def _decoded(path: Path) -> str:
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise UsageError("the table of results must be readable", received=f"{path}: {error.strerror}") from None
    encoding = "utf-16" if raw[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        text = raw.decode(encoding)
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        _refuse(str(path), "a table must be UTF-8 text", f"byte {raw[error.start]:#04x}", line, "save it as UTF-8")
    if "\x00" in text:
        _refuse(str(path), "a table must be text", "a NUL character", text[: text.index("\x00")].count("\n") + 1)
    return text


def _parse_csv(text: str, name: str) -> ResultTable:
    lines = _without_comments(text)
    first = next((line for line in lines if line.strip()), "")
    delimiter = max(_DELIMITERS, key=lambda mark: _outside_quotes(first, mark))
    rows = _records(lines, delimiter, name)
    _, header = next(rows, (0, []))
    columns, seen = _named(header, name), []
    numbers: list[int] = []
    for line, row in rows:
        if len(row) != len(header):
            if len(row) < len(header) or any(cell.strip() for cell in row[len(header) :]):
                rule = f"every row must have the header's {len(header)} cells"
                _refuse(name, rule, f"{len(row)} cells", line, "quote cells that contain the delimiter")
            row = row[: len(header)]  # noqa: PLW2901  # trailing delimiters without content
        seen.append(row)
        numbers.append(line)
    cells = list(zip(*seen, strict=True)) or [()] * len(header)
    return ResultTable(name, {column: cells[index] for column, index in columns.items()}, numbers)


def _without_comments(text: str) -> list[str]:
    """The lines with comments blanked, so that line numbers stay; a `#` within a quoted cell is no comment."""
    lines, quoted = [], False
    for line in io.StringIO(text, newline=""):
        comment = not quoted and line.lstrip().startswith("#")
        lines.append("\n" if comment else line)
        if not comment and line.count('"') % 2:
            quoted = not quoted
    return lines


def _outside_quotes(line: str, mark: str) -> int:
    return sum(part.count(mark) for part in line.split('"')[::2])


def _records(lines: list[str], delimiter: str, name: str) -> Iterator[tuple[int, list[str]]]:
    before = csv.field_size_limit(_LONGEST_CELL)
    reader = csv.reader(lines, delimiter=delimiter, skipinitialspace=True, strict=True)
    try:
        for row in reader:
            if any(cell.strip() for cell in row):
                yield reader.line_num, row
    except csv.Error as error:
        _refuse(name, "a table must be well-formed CSV", str(error), reader.line_num, "check for an unclosed quote")
    finally:
        csv.field_size_limit(before)


def _named(header: list[str], name: str) -> dict[str, int]:
    """Column index by name; unnamed columns (pandas' index) are left out."""
    names = [without_control_characters(cell.strip()) for cell in header]
    if names and all(_is_number(cell) for cell in names if cell):
        _refuse(name, "the first line must name the columns", ", ".join(names)[:80], 1, "add a header line")
    twice = sorted({column for column in names if column and names.count(column) > 1})
    if twice:
        _refuse(name, "every column must have its own name", f"`{twice[0]}` twice", 1)
    return {column: index for index, column in enumerate(names) if column and not column.startswith("Unnamed: ")}


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _parse_json(text: str, name: str) -> ResultTable:
    lines, records = [], []
    for line, record in _json_records(text, name):
        if not isinstance(record, dict):
            _refuse(name, "every line must be a JSON object", repr(record)[:80], line)
        lines.append(line)
        records.append(dict(_flattened(record, "")))
    return _by_columns(records, name, lines)


def _json_records(text: str, name: str) -> Iterator[tuple[int, Any]]:
    """(line, record): one object per line, or one list or object over any number of lines."""
    first = text.lstrip().partition("\n")[0]
    if first.startswith("[") or first.strip() == "{":
        whole = _loaded(text, name, 1)
        for record in whole if isinstance(whole, list) else [whole]:
            yield 1, record
        return
    for number, line in enumerate(io.StringIO(text), start=1):
        if line.strip():
            yield number, _loaded(line, name, number)


def _loaded(text: str, name: str, line: int) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        found = getattr(error, "lineno", 1) + line - 1
        _refuse(name, "a line must be valid JSON", str(error)[:120], found, "write one object per line")


def _flattened(record: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Cell]]:
    """Nested keys joined by dots; lists are no cells and are left out."""
    for key, value in record.items():
        if isinstance(value, Mapping):
            yield from _flattened(value, f"{prefix}{key}.")
        elif value is None or isinstance(value, str | bool):
            yield f"{prefix}{key}", value
        elif isinstance(value, int | float):
            yield f"{prefix}{key}", _as_float(value)


def _as_float(value: float) -> float:
    try:
        return float(value)
    except OverflowError:
        return float("inf")


def _by_columns(records: list[dict[str, Cell]], name: str, lines: list[int]) -> ResultTable:
    names = dict.fromkeys(key for record in records for key in record)
    return ResultTable(
        name, {without_control_characters(key): [record.get(key) for record in records] for key in names}, lines
    )


def _read_parquet(path: Path) -> ResultTable:
    try:
        parquet = import_module("pyarrow.parquet")
    except ImportError:
        raise UsageError(
            "reading parquet needs pyarrow, which is not installed",
            received=str(path),
            hint=f"`pip install pyarrow`, or convert: `duckdb -c \"copy '{path.name}' to 'runs.csv'\"`",
            code="results/format",
        ) from None
    try:
        records = parquet.read_table(path).to_pylist()
    except (OSError, ValueError) as error:  # pyarrow's errors are subclasses of these
        raise UsageError("the parquet file must be readable", received=f"{path}: {str(error)[:200]}") from None
    if not records:
        _refuse(str(path), "a table of results must have rows", "none", None)
    return _by_columns([dict(_flattened(record, "")) for record in records], str(path), [*range(1, len(records) + 1)])
