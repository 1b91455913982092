"""Optuna's tables in SQLite or on a server, opened for one owner, with every database fault said in words."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import optuna
from optuna.exceptions import StorageInternalError
from optuna.storages import RDBStorage
from sqlalchemy.exc import SQLAlchemyError

from hptransfer.errors import MachineError
from hptransfer.storage.damage import require_sound

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
# UnicodeDecodeError: of SQLite's message on a schema whose names are damaged
_FAULTS = (SQLAlchemyError, StorageInternalError, sqlite3.Error, RuntimeError, UnicodeDecodeError)


class Database(Protocol):
    """Where Optuna's tables lie."""

    @property
    def prefix(self) -> str:
        """What the names of this recipe's studies begin with; others in the same database are left alone."""

    def open(self) -> RDBStorage:
        """Opens the tables for their one owner.

        Raises:
            MachineError: they cannot be used, or somebody else owns them.
        """

    def faults(self) -> contextlib.AbstractContextManager[None]:
        """Turns what drivers, SQLAlchemy and Optuna raise into one `MachineError` with a way out."""


@dataclass(frozen=True, slots=True)
class SQLiteFile:
    """A file, created where missing, that whoever holds the run folder's lock owns.

    Attributes:
        path: of the file; any characters.
        patience: seconds to wait for a lock before giving up.
    """

    path: Path
    patience: float = PATIENCE

    @property
    def prefix(self) -> str:
        """Nothing: a file belongs to one recipe."""
        return ""

    def open(self) -> RDBStorage:
        """Opens or creates the file, but not in the place of one that is damaged or gone; see `Database.open`.

        SQLite's rollback journal is kept: write-ahead logging measured 6 ms instead of 9 ms per trial, which take
        seconds, and would need a second file whenever `study.db` is copied, and a local disk.
        """
        require_sound(self.path)
        optuna.logging.set_verbosity(optuna.logging.ERROR)  # its progress lines are not this tool's
        absolute = str(self.path.absolute())

        def connect() -> sqlite3.Connection:
            return sqlite3.connect(absolute, timeout=self.patience, check_same_thread=False)

        with self.faults():
            # A connection factory, because braces, "?" and "%" in a path have meanings in a URL.
            return RDBStorage("sqlite:///study.db", engine_kwargs={"creator": connect})

    @contextlib.contextmanager
    def faults(self) -> Iterator[None]:
        """See `Database.faults`."""
        try:
            yield
        except _FAULTS as error:
            said = _first_line(error) if self.path.exists() else f"the file is gone ({_first_line(error)})"
            hint = next((hint for phrase, hint in _HINTS if phrase in said), _HINT)
            raise MachineError(
                "the study's database must be readable and writable", received=f"{self.path}: {said}", hint=hint
            ) from error


@dataclass(frozen=True, slots=True)
class ServerDatabase:
    """Tables on a PostgreSQL server, reached by the one connection whose lock makes this process their owner.

    Attributes:
        prefix: what the names of this recipe's studies begin with: on a server recipes share one database.
        connect: opens a connection of psycopg that is not in autocommit mode, and takes the lock.
        fault: what to raise instead of an exception of the driver.
    """

    prefix: str
    connect: Callable[[], Any]
    fault: Callable[[BaseException], MachineError]

    def open(self) -> RDBStorage:
        """Opens tables that `create_tables` made; see `Database.open`."""
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        with self.faults():
            return RDBStorage(
                "postgresql+psycopg://",
                # one connection, never a second: it holds the lock without which nothing may be written
                engine_kwargs={"creator": self.connect, "pool_size": 1, "max_overflow": 0},
                skip_table_creation=True,
                skip_compatibility_check=True,  # it takes a second connection; `create_tables` made it
            )

    def create_tables(self) -> None:
        """Makes Optuna's tables where they are missing; not to be done by two processes at a time."""
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        with self.faults():
            close_database(RDBStorage("postgresql+psycopg://", engine_kwargs={"creator": self.connect}))

    @contextlib.contextmanager
    def faults(self) -> Iterator[None]:
        """See `Database.faults`."""
        try:
            yield
        except _FAULTS as error:
            raise self.fault(_innermost(error)) from None  # its cause would repeat the text, unmasked


def close_database(storage: RDBStorage) -> None:
    """Closes every connection."""
    storage.remove_session()
    storage.engine.dispose()


def _innermost(error: BaseException) -> BaseException:
    while error.__cause__ is not None:
        error = error.__cause__
    return error


def _first_line(error: BaseException) -> str:
    error = _innermost(error)
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
