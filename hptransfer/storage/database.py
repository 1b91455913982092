"""Optuna's SQLite storage, opened for one owner, with every database fault said in words."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import optuna
from optuna.exceptions import StorageInternalError
from optuna.storages import RDBStorage
from sqlalchemy.exc import SQLAlchemyError

from hptransfer.errors import MachineError

#: seconds to wait for another program (a dashboard) that holds the database for a moment
PATIENCE = 60.0

_HINTS = (
    ("the file is gone", "put it back, or run the same command again to start over; nothing was made in its place"),
    ("locked", "another program holds the database: close dashboards and viewers, then run the same command again"),
    ("full", "free some space and run the same command again: it continues, nothing finished is lost"),
    ("not a database", "put back a copy of the file, or move it away to start over"),
    ("malformed", "put back a copy of the file, or move it away to start over"),
    ("compatible", "use the Optuna version that wrote the file, or upgrade it with `optuna storage upgrade`"),
)
_HINT = "check the disk and the file's permissions, then run the same command again"


def open_database(path: Path, patience: float = PATIENCE) -> RDBStorage:
    """Opens or creates the database.

    SQLite's rollback journal is kept: write-ahead logging measured 6 ms instead of 9 ms per trial, which take seconds,
    and would need a second file whenever `study.db` is copied, and a local disk.

    Args:
        path: of the file; any characters.
        patience: seconds to wait for a lock before giving up.

    Raises:
        MachineError: the file is not a usable database.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)  # its progress lines are not this tool's
    absolute = str(path.absolute())

    def connect() -> sqlite3.Connection:
        return sqlite3.connect(absolute, timeout=patience, check_same_thread=False)

    with database_faults(path):
        # A connection factory, because braces, "?" and "%" in a path have meanings in a URL.
        return RDBStorage("sqlite:///study.db", engine_kwargs={"creator": connect})


def close_database(storage: RDBStorage) -> None:
    """Closes every connection."""
    storage.remove_session()
    storage.engine.dispose()


@contextlib.contextmanager
def database_faults(path: Path) -> Iterator[None]:
    """Turns what SQLite, SQLAlchemy and Optuna raise into one `MachineError` with a way out."""
    try:
        yield
    except (SQLAlchemyError, StorageInternalError, sqlite3.Error, RuntimeError) as error:
        said = _innermost(error) if path.exists() else f"the file is gone ({_innermost(error)})"
        hint = next((hint for phrase, hint in _HINTS if phrase in said), _HINT)
        raise MachineError(
            "the study's database must be readable and writable", received=f"{path}: {said}", hint=hint
        ) from error


def _innermost(error: BaseException) -> str:
    while error.__cause__ is not None:
        error = error.__cause__
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
