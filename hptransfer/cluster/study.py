"""A recipe's study in PostgreSQL: made once by `study init`, its terms are what every process that joins must share.

One process at a time coordinates a study: it decides trials, queues them and records results. It holds an advisory
lock in the very session that writes the trials, so a process that lost the lock cannot write.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hptransfer.cluster.postgres import SCHEMES, Address, ServerAwayError, connect, fault, find_address, server_faults
from hptransfer.cluster.queue import SCHEMA
from hptransfer.errors import MachineError, UsageError
from hptransfer.provenance import tool_version
from hptransfer.recipe.load import LoadedRecipe
from hptransfer.storage.base import Experiment, TrialStore
from hptransfer.storage.database import SQLiteFile
from hptransfer.storage.optuna_store import OptunaStore

if TYPE_CHECKING:
    from hptransfer.storage.database import ServerDatabase

#: first half of every advisory lock of this tool: "hptr" in ASCII
_LOCKS = 0x68707472
_TABLES_LOCK = 0  # studies are numbered from 1
#: raised with the tables of `queue.SCHEMA`
_FORMAT = "1"


@dataclass(frozen=True, slots=True)
class StudyTerms:
    """What everybody who works on a study must share, or trials would differ by where they were trained.

    Attributes:
        hptransfer: version of this package.
        recipe: sha256 (hex) of the recipe.
        data: fingerprint of its data, sha256 (hex).
        optuna: version of Optuna, whose tables the server holds.
        torch: version of torch, which trains.
    """

    hptransfer: str
    recipe: str
    data: str
    optuna: str
    torch: str

    def __str__(self) -> str:
        """As text that is equal exactly when the terms are."""
        return json.dumps(asdict(self) | {"tables": _FORMAT}, sort_keys=True)


def terms_of(loaded: LoadedRecipe, fingerprint: str) -> StudyTerms:
    """The terms of this process.

    Args:
        loaded: the recipe with its hash.
        fingerprint: of its data, sha256 (hex).
    """
    return StudyTerms(tool_version(), loaded.hash, fingerprint, metadata.version("optuna"), metadata.version("torch"))


@dataclass(frozen=True, slots=True)
class SharedStudy:
    """A study that exists.

    Attributes:
        address: address of the database.
        study_id: number of the study in that database, from 1.
        name: name of the recipe, and so of the study.
        terms: the text of its `StudyTerms`.
    """

    address: Address
    study_id: int
    name: str
    terms: str

    def database(self) -> ServerDatabase:
        """Optuna's tables, opened as the process that coordinates the study.

        Its `open` raises a `MachineError` where another process coordinates the study.
        """
        from hptransfer.storage.database import ServerDatabase  # loads optuna, which a worker does without

        return ServerDatabase(f"{self.name}/", coordinating_connection(self), partial(fault, self.address))


def create_study(address: Address, name: str, terms: StudyTerms, *, update: bool) -> bool:
    """Make the tables and the study, whichever is missing. Any number of processes may do so at the same moment.

    Args:
        address: address of the database.
        name: name of the recipe, and so of the study.
        terms: what those who join must share.
        update: replace the terms of a study that exists with others; tasks that wait are withdrawn.

    Returns:
        Whether the study is new or its terms changed.

    Raises:
        UsageError: it exists with other terms.
        MachineError: somebody coordinates it while its terms should change.
    """
    with connect(address) as connection, server_faults(address):
        connection.execute("SELECT pg_advisory_lock(%s, %s)", (_LOCKS, _TABLES_LOCK))  # freed with the connection
        connection.execute(SCHEMA)
        _create_trial_tables(address)
        known = connection.execute("SELECT study_id, terms FROM hptransfer_study WHERE name = %s", (name,)).fetchone()
        if known is None:
            connection.execute("INSERT INTO hptransfer_study (name, terms) VALUES (%s, %s)", (name, str(terms)))
            return True
        study_id, there = known
        if there == str(terms):
            return False
        if not update:
            raise _differs(name, there, terms, "`hptransfer study init RECIPE --update` makes these the study's terms")
        _take(connection, SharedStudy(address, study_id, name, there))
        with connection.transaction():
            connection.execute("DELETE FROM hptransfer_task WHERE study_id = %s AND state = 'waiting'", (study_id,))
            connection.execute("UPDATE hptransfer_study SET terms = %s WHERE study_id = %s", (str(terms), study_id))
        return True


def find_study(address: Address, name: str) -> SharedStudy:
    """The study of this name, whatever its terms. Creates nothing.

    Args:
        address: address of the database.
        name: name of the recipe, and so of the study.

    Raises:
        UsageError: there is no such study.
    """
    with connect(address) as connection, server_faults(address):
        exists = connection.execute("SELECT to_regclass('hptransfer_study') IS NOT NULL").fetchone()
        query = "SELECT study_id, terms FROM hptransfer_study WHERE name = %s"
        row = connection.execute(query, (name,)).fetchone() if exists is not None and exists[0] else None
    if row is None:
        raise UsageError(
            "the study must exist before processes join it",
            received=f"no study {name} in {address}",
            hint=f"`hptransfer study init RECIPE --storage '{address}'`, once",
        )
    return SharedStudy(address, row[0], name, row[1])


def join(storage: str, loaded: LoadedRecipe, fingerprint: str) -> SharedStudy:
    """The recipe's study on a server.

    Args:
        storage: the database's address, a URL without password.
        loaded: the recipe with its hash.
        fingerprint: of its data, sha256 (hex).

    Raises:
        UsageError: there is no such study, or its terms differ.
    """
    return join_study(find_address(storage), loaded.recipe.name, terms_of(loaded, fingerprint))


def join_study(address: Address, name: str, terms: StudyTerms) -> SharedStudy:
    """The study, if this process shares its terms. Creates nothing.

    Raises:
        UsageError: there is no such study, or it has other terms.
    """
    study = find_study(address, name)
    if study.terms != str(terms):
        raise _differs(
            name,
            study.terms,
            terms,
            "install the same versions and copy the same recipe and data to every host; if the study should change: "
            "`hptransfer study init RECIPE --update`, then start the workers again",
        )
    return study


def _create_trial_tables(address: Address) -> None:
    """Makes Optuna's tables where they are missing; the caller sees to it that no other process makes any."""
    from hptransfer.storage.database import ServerDatabase

    def open_plain() -> object:
        connection = connect(address)
        connection.autocommit = False
        return connection

    ServerDatabase("", open_plain, partial(fault, address)).create_tables()


def coordinating_connection(study: SharedStudy) -> Callable[[], Any]:
    """Opens the one connection of the process that coordinates.

    Returns:
        A function that connects and takes the study's lock. Called again it raises `ServerAwayError`: with the first
        connection the lock was lost, somebody else may have taken it meanwhile, and what was read before may be old.
    """
    opened = False

    def open_once() -> Any:
        nonlocal opened
        if opened:
            raise ServerAwayError("the connection that coordinates a study must last", received=f"{study.address}")
        connection = connect(study.address)
        with server_faults(study.address):
            _take(connection, study)
            connection.autocommit = False
        opened = True
        return connection

    return open_once


@dataclass(frozen=True, slots=True)
class StudyState:
    """How a study is doing.

    Attributes:
        terms: text of its `StudyTerms`; others than at joining when the study was updated since.
        ended: how a command that a worker led ended last; None where none did.
        endings: how many such commands ended so far.
        coordinated: whether a process holds the lock now.
    """

    terms: str
    ended: str | None
    endings: int
    coordinated: bool


def study_state(study: SharedStudy) -> StudyState:
    """Reads how a study is doing; its lock is not taken."""
    with connect(study.address) as connection, server_faults(study.address):
        row = connection.execute(
            """
            SELECT terms, ended, endings, EXISTS (
                SELECT 1 FROM pg_locks JOIN pg_database ON pg_database.oid = pg_locks.database
                WHERE locktype = 'advisory' AND granted AND datname = current_database() AND classid = %s AND objid = %s
            ) FROM hptransfer_study WHERE study_id = %s
            """,
            (_LOCKS, study.study_id, study.study_id),
        ).fetchone()
    if row is None:
        raise MachineError("a study must exist as long as processes work on it", received=f"{study.name} was removed")
    return StudyState(*row)


def may_lead(study: SharedStudy, seconds: float) -> bool:
    """Whether this process is the one to start a coordinating command; nobody else is for some seconds."""
    with connect(study.address) as connection, server_faults(study.address):
        row = connection.execute(
            "UPDATE hptransfer_study SET lead_end = clock_timestamp() + make_interval(secs => %s) "
            "WHERE study_id = %s AND lead_end < clock_timestamp() RETURNING 1",
            (seconds, study.study_id),
        ).fetchone()
    return row is not None


def note_ending(study: SharedStudy, ended: str) -> None:
    """Tells every worker how the command that one of them led ended."""
    with connect(study.address) as connection, server_faults(study.address):
        connection.execute(
            "UPDATE hptransfer_study SET ended = %s, endings = endings + 1 WHERE study_id = %s", (ended, study.study_id)
        )


def _take(connection: Any, study: SharedStudy) -> None:
    taken = connection.execute("SELECT pg_try_advisory_lock(%s, %s)", (_LOCKS, study.study_id)).fetchone()
    if not taken[0]:
        connection.close()
        raise MachineError(
            "one process at a time may coordinate a study",
            received=f"another coordinates {study.name} in {study.address}",
            hint="start further workers with `hptransfer worker`; a second `tune` or `check` must wait",
        )


def _differs(name: str, there: str, terms: StudyTerms, hint: str) -> UsageError:
    ours, theirs = json.loads(str(terms)), json.loads(there)
    differences = [
        f"{key}: {theirs.get(key, 'none')} there, {ours.get(key, 'none')} here"
        for key in sorted({*ours, *theirs})
        if ours.get(key) != theirs.get(key)
    ]
    return UsageError(
        f"everybody who works on the study {name} must share its terms", received="; ".join(differences), hint=hint
    )


# Where trials are kept: a store by the scheme of its address.


def _file(address: str, experiment: Experiment) -> TrialStore:
    return OptunaStore(SQLiteFile(Path(address)), experiment.digest, experiment.space, experiment.usual)


def _server(address: str, experiment: Experiment) -> TrialStore:
    study = find_study(find_address(address), experiment.recipe)
    return OptunaStore(study.database(), experiment.digest, experiment.space, experiment.usual)


#: what opens a store, by the scheme of its address; "" is a path
STORES: Mapping[str, Callable[[str, Experiment], TrialStore]] = {"": _file, **dict.fromkeys(SCHEMES, _server)}


def open_store(address: str | Path, experiment: Experiment) -> TrialStore:
    """Opens the trials of an experiment as their one owner.

    Args:
        address: the path of a database file, created where missing; or the URL of a server where the recipe's study
            exists, which this process then coordinates.
        experiment: which trials, and how their studies are named.

    Raises:
        UsageError: nothing opens such an address, or there is no such study.
        MachineError: the database cannot be used, or another process owns the trials.
    """
    found = re.match(r"([a-z][a-z0-9+.-]*)://", str(address))
    scheme = found[1] if found else ""
    if scheme not in STORES:
        known = ", ".join(f"{name}://" for name in STORES if name)
        raise UsageError(f"trials are kept in a file or at an address of {known}", received=f"{scheme}://")
    return STORES[scheme](str(address), experiment)
