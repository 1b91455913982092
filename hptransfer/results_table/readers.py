"""Reading a table of finished runs from CSV, JSON lines or parquet; what the cells mean is not decided here."""

from __future__ import annotations

import csv
import io
import json
import math
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt

from hptransfer.errors import Place, UsageError
from hptransfer.statistics.arrays import Array

# A table of finished runs as read from a file: named columns of raw cells, each row with its line in the file.


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
