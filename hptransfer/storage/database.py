"""Optuna's storage, SQLite or PostgreSQL, opened for one owner, with every database fault said in words."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import optuna
from optuna.exceptions import StorageInternalError
from optuna.storages import RDBStorage
from sqlalchemy.exc import SQLAlchemyError

from hptransfer.cluster.postgres import Address, connect, fault
from hptransfer.cluster.study import SharedStudy, coordinating_connection
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


def open_shared_database(study: SharedStudy) -> RDBStorage:
    """Opens Optuna's tables on the server as the process that coordinates the study.

    Raises:
        MachineError: another process coordinates it, or the tables are of another version of Optuna.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with database_faults(study):
        return RDBStorage(
            "postgresql+psycopg://",
            # one connection, never a second: it holds the lock without which nothing may be written
            engine_kwargs={"creator": coordinating_connection(study), "pool_size": 1, "max_overflow": 0},
            skip_table_creation=True,
            skip_compatibility_check=True,  # it takes a second connection; `create_shared_tables` made it
        )


def create_shared_tables(address: Address) -> None:
    """Makes Optuna's tables where they are missing; not to be done by two processes at a time."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with database_faults(address):
        close_database(RDBStorage("postgresql+psycopg://", engine_kwargs={"creator": lambda: _plain(address)}))


def close_database(storage: RDBStorage) -> None:
    """Closes every connection."""
    storage.remove_session()
    storage.engine.dispose()


@contextlib.contextmanager
def database_faults(place: Path | Address | SharedStudy) -> Iterator[None]:
    """Turns what drivers, SQLAlchemy and Optuna raise into one `MachineError` with a way out."""
    try:
        yield
    except (SQLAlchemyError, StorageInternalError, sqlite3.Error, RuntimeError) as error:
        if not isinstance(place, Path):
            raise fault(place.address if isinstance(place, SharedStudy) else place, _deepest(error)) from None
        said = _innermost(error) if place.exists() else f"the file is gone ({_innermost(error)})"
        hint = next((hint for phrase, hint in _HINTS if phrase in said), _HINT)
        raise MachineError(
            "the study's database must be readable and writable", received=f"{place}: {said}", hint=hint
        ) from error


def _plain(address: Address) -> object:
    connection = connect(address)
    connection.autocommit = False
    return connection


def _deepest(error: BaseException) -> BaseException:
    while error.__cause__ is not None:
        error = error.__cause__
    return error


def _innermost(error: BaseException) -> str:
    error = _deepest(error)
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
