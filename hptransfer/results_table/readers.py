"""Reading a table of finished runs from CSV, Markdown, JSON, parquet or an Optuna database."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from shlex import quote

from hptransfer.errors import UsageError
from hptransfer.results_table.cells import ResultTable
from hptransfer.results_table.csv_text import parse_text
from hptransfer.results_table.json_text import by_columns, parse_json
from hptransfer.results_table.malformed import refuse_table
from hptransfer.results_table.optuna_study import is_database, read_studies
from hptransfer.results_table.separators import plain_numbers

_TEXT = {".csv", ".tsv", ".txt", ".dat"}
_MARKDOWN = {".md", ".markdown"}
_JSON = {".jsonl", ".ndjson", ".json"}
_PARQUET = {".parquet", ".pq"}
_DATABASES = {".db", ".sqlite", ".sqlite3"}
#: bytes of a file; a table of runs is far smaller, and reading takes several times as much memory
_LARGEST = 2**30


def read_table(
    path: Path,
    *,
    studies: Sequence[str] = (),
    mark: str | None = None,
    reshape: Callable[[ResultTable], ResultTable] = lambda table: table,
    is_size: Callable[[str], bool] = lambda name: False,
) -> ResultTable:
    """Read a table; the suffix names the format.

    CSV may use commas, semicolons, tabs or bars, quotes, `#` comments and a byte order mark; Markdown holds one table;
    JSON is one object per line, or one list of objects, nested keys joined by dots; parquet needs pyarrow; a database
    holds studies of Optuna.

    Args:
        path: of the file, as the user named it.
        studies: names of studies in a database; none is the only one there is.
        mark: what separates decimals; None is to be inferred.
        reshape: from the table as it stands in the file to one row per run and step.
        is_size: whether a column of this name holds sizes.

    Raises:
        UsageError: the file is missing, of another format, empty, or malformed (with its line).
    """
    table = _read(path, studies)
    if not len(table):
        hint = "each finished run is a row: its size, the value of the hyperparameter, its seed and its loss"
        refuse_table(str(path), "a table of results must have rows", "none", hint=hint)
    return plain_numbers(reshape(table), mark, is_size)


def _read(path: Path, studies: Sequence[str]) -> ResultTable:
    suffix, name = path.suffix.lower(), str(path)
    if suffix not in _TEXT | _MARKDOWN | _JSON | _PARQUET | _DATABASES:
        raise UsageError(
            "a table of results must be .csv, .tsv, .md, .jsonl, .parquet, or an Optuna .db",
            received=name,
            hint="export the runs as CSV (W&B: Runs table, Export, CSV)",
            code="results/format",
        )
    raw = _bytes(path, 16)
    if is_database(raw) or suffix in _DATABASES:
        if not is_database(raw):
            refuse_table(name, "a database of results must be readable by SQLite", "no SQLite database")
        return read_studies(path, studies)
    if studies:
        raise UsageError("`--study` is for Optuna databases", received=name, code="results/no-study")
    if suffix in _PARQUET:
        return _read_parquet(path)
    text = _decoded(_bytes(path), name)
    return parse_json(text, name) if suffix in _JSON else parse_text(text, name, markdown=suffix in _MARKDOWN)


def _bytes(path: Path, count: int = -1) -> bytes:
    try:
        if path.exists() and not path.is_file():
            raise UsageError("a table of results must be a file", received=str(path), code="results/format")
        if path.stat().st_size > _LARGEST:
            hint = "export the columns of sizes, values, seeds and losses alone"
            refuse_table(str(path), "a table of results may have 1 GiB", f"{path.stat().st_size} bytes", hint=hint)
        with path.open("rb") as file:
            return file.read(count)
    except OSError as error:
        raise UsageError(
            "the table of results must be readable",
            received=f"{path}: {error.strerror}",
            hint=f"ls {quote(str(path.parent))}",
        ) from None
    except ValueError as error:  # a NUL in the path
        raise UsageError("the table of results must be readable", received=f"{str(path)!r}: {error}") from None


def _decoded(raw: bytes, name: str) -> str:
    encoding = "utf-16" if raw[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        text = raw.decode(encoding)
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        refuse_table(name, "a table must be UTF-8 text", f"byte {raw[error.start]:#04x}", line, "save it as UTF-8")
    if "\x00" in text:
        refuse_table(name, "a table must be text", "a NUL character", text[: text.index("\x00")].count("\n") + 1)
    return text


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
    return by_columns(records, str(path), range(1, len(records) + 1))
