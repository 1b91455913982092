"""What is wrong with a file of trials before SQLite opens it, which would make a new database of an emptied one."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from hptransfer.errors import MachineError, printable
from hptransfer.files import open_regular, plain

#: results that commands write beside the trials that they come from
_RESULTS = ("tuned.yaml", "transfer.json")
#: written once a database was opened: beside it an empty file was emptied
_SNAPSHOT = "recipe.json"
_OPENED = (*_RESULTS, _SNAPSHOT)
_HEADER = 100
_MAGIC = b"SQLite format 3\0"

_BACK = "put back a copy of the file"


def require_whole(path: Path) -> None:
    """A file of trials is there as it was left, or there was none.

    SQLite opens an empty file, and makes a missing one, without a word: then finished trials would be trained anew
    beside their own results. A file that is being changed, or whose writer was killed, has a journal: then SQLite mends
    it, and is not anticipated.

    Args:
        path: of the file, in its run folder.

    Raises:
        MachineError: it is a link or no file, was emptied, or cut off.
    """
    plain(path)
    if not os.path.lexists(path):
        return
    journal = path.with_name(f"{path.name}-journal")
    if os.path.lexists(journal) and os.path.getsize(journal):
        return
    try:
        with open_regular(path, follow=False) as file:
            header, size = file.read(_HEADER), os.fstat(file.fileno()).st_size
    except OSError as error:
        raise _damaged(f"{path}: {error.strerror}", "check the disk and the file's permissions") from None
    if not size:
        if beside := _beside(path, _OPENED):
            raise _damaged(
                f"{path}: empty, beside {beside}, which was written after it",
                f"{_BACK}, or move the folder away to start over",
            )
        return
    if not header.startswith(_MAGIC) or len(header) < _HEADER:
        raise _damaged(f"{path}: not a database", f"{_BACK}, or move it away to start over")
    if (wanted := _length(header)) > size:
        raise _damaged(f"{path}: cut off, {size:,} of {wanted:,} bytes", f"{_BACK}, or move it away to start over")


def require_not_vanished(path: Path) -> None:
    """No new file of trials is made beside results whose trials were in one.

    Results alone are no sign of it: they are committed without the trials, and `check` on another machine begins anew.
    A command that opened a database here left recipe.json.

    Args:
        path: of the file, in its run folder.

    Raises:
        MachineError: it is missing, beside results and recipe.json.
    """
    beside = _beside(path, _RESULTS)
    if beside and _beside(path, (_SNAPSHOT,)) and not os.path.lexists(path):
        raise _damaged(
            f"{path}: no such file, beside {beside} and {_SNAPSHOT}",
            f"{_BACK}, or move {_SNAPSHOT} away to train anew; trials on a server are reached with --storage",
        )


def require_sound(path: Path) -> None:
    """All that can be known of a file of trials before it is opened, for who wants to know before anything else.

    Args:
        path: of the file, in its run folder; it need not exist.

    Raises:
        MachineError: it is damaged, or is missing beside its results.
    """
    require_not_vanished(path)
    require_whole(path)
    require_consistent(path)


def require_consistent(path: Path) -> None:
    """The pages of a file of trials fit together; SQLite itself notices a fault only where it comes past it.

    Args:
        path: of the file, which is whole.

    Raises:
        MachineError: they do not.
    """
    journal = path.with_name(f"{path.name}-journal")
    if not path.exists() or os.path.lexists(journal) or not path.stat().st_size:
        return
    uri = f"file:{quote(str(path.absolute()))}?mode=ro"
    try:
        with contextlib.closing(sqlite3.connect(uri, uri=True, timeout=10.0)) as connection:
            connection.text_factory = bytes  # what it says repeats what is damaged, which need not be text
            (said,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.OperationalError:  # somebody holds it, or a journal came meanwhile: whoever opens it is told
        return
    except sqlite3.DatabaseError as error:
        said = str(error)
    except UnicodeDecodeError:  # of the message of a fault, which repeats a damaged name
        said = "malformed database schema"
    said = said.decode("utf-8", "replace") if isinstance(said, bytes) else str(said)
    if said != "ok":
        raise _damaged(f"{path}: {printable(said)[:300]}", f"{_BACK}, or move it away to start over")


@contextlib.contextmanager
def sound_records(path: object) -> Iterator[None]:
    """Around reading what a database holds: records that are none are damage, and not a defect of this tool.

    Args:
        path: of the file, or what else names the database.
    """
    try:
        yield
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, OverflowError, AssertionError) as error:
        said = f"{type(error).__name__}: {str(error)[:200]}"
        raise _damaged(f"{path}: a record in it is damaged ({said})", f"{_BACK}, or move it away") from error


#: what every attempt of this tool has among its attributes, and of which types
_TYPES: Mapping[str, type | tuple[type, ...]] = {
    "key": str,
    "phase": str,
    "cause": str,
    "message": str,
    "adopted_from": str,
    "seed": int,
    "started": (int, float),
    "hyperparameters": dict,
}


def require_record(attributes: Mapping[str, Any]) -> None:
    """What a database keeps of an attempt has the types that this tool writes.

    Args:
        attributes: of an attempt with a key.

    Raises:
        TypeError: one has another.
    """
    for name, kind in _TYPES.items():
        value = attributes.get(name)
        if value is not None and not isinstance(value, kind):
            raise TypeError(f"{name} is of type {type(value).__name__}")
    values = (attributes.get("hyperparameters") or {}).values()
    if not all(isinstance(value, int | float) for value in values):
        raise TypeError("a hyperparameter is no number")


def _length(header: bytes) -> int:
    """Bytes that a database has by its own header (sqlite.org/fileformat.html); 0 where an old library wrote it."""
    size = int.from_bytes(header[16:18], "big")
    if header[24:28] != header[92:96]:  # the number of pages is not kept up to date
        return 0
    return (2**16 if size == 1 else size) * int.from_bytes(header[28:32], "big")


def _beside(path: Path, names: tuple[str, ...]) -> str:
    return next((name for name in names if os.path.lexists(path.with_name(name))), "")


def _damaged(received: str, hint: str) -> MachineError:
    return MachineError("the study's database must be as it was left", received=received, hint=hint, code="path/damage")
