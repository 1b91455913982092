"""Trials of an Optuna study, read from its SQLite database without Optuna: the columns of `trials_dataframe()`."""

from __future__ import annotations

import json
import math
import shutil
import sqlite3
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from shlex import quote
from typing import Any
from urllib.parse import quote as url_quote

from hptransfer.errors import Place, UsageError
from hptransfer.results_table.cells import Cell, ResultTable, cell_text, without_control_characters
from hptransfer.results_table.json_text import flattened
from hptransfer.results_table.malformed import refuse_table, require_few_columns

_MAGIC = b"SQLite format 3\x00"
_TABLES = frozenset({"studies", "study_directions", "trials", "trial_values", "trial_params", "trial_user_attributes"})
#: what belongs to the trials of one study
_OF_TRIALS = (
    "SELECT * FROM trial_values WHERE trial_id IN (SELECT trial_id FROM trials WHERE study_id = ?)",
    "SELECT * FROM trial_params WHERE trial_id IN (SELECT trial_id FROM trials WHERE study_id = ?)",
    "SELECT * FROM trial_user_attributes WHERE trial_id IN (SELECT trial_id FROM trials WHERE study_id = ?)",
)
#: of the header: 2 where changes wait in a file of their own, which even reading would touch
_WRITE_VERSION = 18


def is_database(start: bytes) -> bool:
    """Whether a file is a SQLite database.

    Args:
        start: the first bytes of the file, 16 at least.
    """
    return start.startswith(_MAGIC)


@dataclass(frozen=True, slots=True)
class _Study:
    """One study of a database.

    Attributes:
        key: its number in the database.
        name: what the user called it.
        directions: "MINIMIZE" or "MAXIMIZE" of each objective.
    """

    key: int
    name: str
    directions: tuple[str, ...]


def read_studies(path: Path, wanted: Sequence[str] = ()) -> ResultTable:
    """The trials of one study, or of several that are wanted together.

    Columns are those of Optuna's `trials_dataframe()`: number, value (values_0, ... with several objectives),
    params_NAME, user_attrs_NAME and state; with several studies study_name besides.

    Args:
        path: a SQLite database; nothing is written to it or beside it.
        wanted: names of studies; none is the only one there is.

    Raises:
        UsageError: the file is damaged or holds no studies, or the study must be named.
    """
    name = str(path)
    try:
        with _opened(path) as database:
            tables = {row[0] for row in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            if missing := sorted(_TABLES - tables):
                received = f"a database without the table{'s' if len(missing) > 1 else ''} {', '.join(missing)}"
                rule = "a database of results must be one of Optuna's studies"
                refuse_table(name, rule, received, hint="export the runs as CSV, one row per run")
            studies = _chosen(_studies(database), wanted, name)
            return _table(database, studies, name)
    except sqlite3.Error as error:
        hint = f"restore it, or salvage what it holds: sqlite3 {quote(name)} .recover | sqlite3 recovered.db"
        refuse_table(name, "a database of results must be readable by SQLite", str(error)[:200], hint=hint)


@contextmanager
def _opened(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection that only reads; a database whose changes wait in a file of their own is copied first."""
    with path.open("rb") as file:
        waiting = file.read(_WRITE_VERSION + 1)[_WRITE_VERSION:] == b"\x02"
    with tempfile.TemporaryDirectory() as folder:
        source = path
        if waiting:
            source = Path(folder) / "study.db"
            shutil.copyfile(path, source)
            changes = path.with_name(f"{path.name}-wal")
            if changes.is_file():
                shutil.copyfile(changes, source.with_name("study.db-wal"))
        address = f"file:{url_quote(str(source.absolute()))}?mode={'rw' if waiting else 'ro'}"
        with closing(sqlite3.connect(address, uri=True, timeout=10)) as database:
            database.text_factory = lambda raw: raw.decode("utf-8", "replace")
            yield database


def _studies(database: sqlite3.Connection) -> list[_Study]:
    directions: dict[int, list[str]] = defaultdict(list)
    for study, direction in database.execute("SELECT study_id, direction FROM study_directions ORDER BY objective"):
        directions[study].append(str(direction))
    rows = database.execute("SELECT study_id, study_name FROM studies ORDER BY study_id")
    return [_Study(key, without_control_characters(str(name)), tuple(directions[key])) for key, name in rows]


def _chosen(studies: Sequence[_Study], wanted: Sequence[str], name: str) -> list[_Study]:
    names = [study.name for study in studies]
    if not studies:
        refuse_table(name, "a database of results must hold a study", "none")
    if unknown := next((each for each in wanted if each not in names), None):
        raise UsageError(
            "`--study` must name a study of the database",
            received=unknown,
            hint=f"one of {', '.join(names)}"[:400],
            place=Place(name),
            code="results/no-study",
        )
    if not wanted and len(studies) > 1:
        raise UsageError(
            "the study must be named where a database holds several",
            received=", ".join(names)[:400],
            hint=f"--study {quote(names[0])}; repeat it to judge several together",
            place=Place(name),
            code="results/several-studies",
        )
    return [study for study in studies if not wanted or study.name in wanted]


def _table(database: sqlite3.Connection, studies: Sequence[_Study], name: str) -> ResultTable:
    records = [record for study in studies for record in _records(database, study, name, alone=len(studies) == 1)]
    if not records:
        refuse_table(name, "a study must hold trials", f"{studies[0].name}: none")
    names = dict.fromkeys(key for record in records for key in record)
    require_few_columns(name, len(names))
    columns = {without_control_characters(key): [record.get(key) for record in records] for key in names}
    directions = {study.directions for study in studies}
    if len(directions) > 1:
        rule = "studies that are judged together must have one direction"
        refuse_table(name, rule, ", ".join(f"{s.name}: {' '.join(s.directions).lower()}" for s in studies)[:300])
    found = studies[0].directions
    maximized = tuple(_value(i, found) for i, direction in enumerate(found) if direction == "MAXIMIZE")
    numbers = [int(number) if isinstance(number := record["number"], float) else 0 for record in records]
    note = f"{len(records)} trials of {'the study' if len(studies) == 1 else 'studies'} "
    note += ", ".join(study.name for study in studies)
    return ResultTable(name, columns, numbers, notes=(note,), maximized=maximized, trials=True)


def _value(objective: int, directions: Sequence[str]) -> str:
    return "value" if len(directions) < 2 else f"values_{objective}"


def _records(database: sqlite3.Connection, study: _Study, name: str, *, alone: bool) -> Iterator[dict[str, Cell]]:
    values, parameters, attributes = (_by_trial(database.execute(query, (study.key,))) for query in _OF_TRIALS)
    rows = database.execute(
        "SELECT trial_id, number, state FROM trials WHERE study_id = ? ORDER BY number, trial_id", (study.key,)
    )
    for key, number, state in rows.fetchall():
        record: dict[str, Cell] = {} if alone else {"study_name": study.name}
        record["number"] = float(number) if isinstance(number, int) else None
        for objective in range(max(1, len(study.directions))):
            record[_value(objective, study.directions)] = None
        for each in values[key]:
            # databases of Optuna before 3.0 have no type, and infinite losses as they are
            kind = {"INF_POS": math.inf, "INF_NEG": -math.inf}.get(str(each.get("value_type")))
            number_of = each.get("objective")
            column = _value(number_of if isinstance(number_of, int) else 0, study.directions)
            record[column] = _number(each.get("value")) if kind is None else kind
        for each in parameters[key]:
            record[f"params_{each.get('param_name')}"] = _parameter(each)
        for each in attributes[key]:
            attribute = {str(each.get("key")): _loaded(each.get("value_json"))}
            record |= dict(flattened(attribute, "user_attrs_", name, None))
        record["state"] = str(state)
        yield record


def _by_trial(cursor: sqlite3.Cursor) -> Mapping[int, list[dict[str, Any]]]:
    names = [column[0] for column in cursor.description]
    found: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for row in cursor:
        record = dict(zip(names, row, strict=True))
        found[record["trial_id"]].append(record)
    return found


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) else None


def _parameter(row: Mapping[str, Any]) -> Cell:
    """A categorical value is stored as the index of its choice."""
    value, distribution = _number(row.get("param_value")), _loaded(row.get("distribution_json"))
    attributes = distribution.get("attributes") if isinstance(distribution, dict) else None
    choices = attributes.get("choices") if isinstance(attributes, dict) else None
    if value is None or not isinstance(choices, list):
        return value
    if not (value.is_integer() and 0 <= value < len(choices)):
        return None
    chosen = choices[int(value)]
    return chosen if chosen is None or isinstance(chosen, str | bool) else cell_text(_number(chosen) or str(chosen))


def _loaded(text: object) -> Any:
    try:
        return json.loads(text) if isinstance(text, str) else None
    except (ValueError, RecursionError):
        return None
