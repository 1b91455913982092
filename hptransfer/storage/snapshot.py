"""Reads a run folder's trials without locking or writing: for `status` and dry runs while another process works."""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import optuna
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial
from optuna.trial import TrialState as OptunaState

from hptransfer.errors import MachineError
from hptransfer.storage.damage import require_consistent, require_record, require_whole, sound_records
from hptransfer.storage.database import SQLiteFile, close_database
from hptransfer.trials.trial import BLOCKING_CAUSES, Phase, Trial, TrialState, recorded_trial

#: seconds to wait while the owner writes
_PATIENCE = 10.0


@dataclass(frozen=True, slots=True)
class SeenTrial:
    """One attempt as the database has it.

    Attributes:
        key: sha256 (hex), as `Trial.key`.
        study: name of its study.
        phase: what it was run for.
        state: "finished", "running", "failed", or "requeued" (failed, and free to run again).
        seed: of initialisation and data order.
        hyperparameters: base-size values by name.
        trial: the record of a finished one.
        cause: why it failed; None where it did not.
        message: one line on the failure; empty where it did not fail.
        started: seconds since 1970; None where an earlier version started it.
        adopted_from: its key under version 0.1; None where this version trained it.
    """

    key: str
    study: str
    phase: Phase
    state: str
    seed: int
    hyperparameters: dict[str, float]
    trial: Trial | None = None
    cause: str | None = None
    message: str = ""
    started: float | None = None
    adopted_from: str | None = None


def read_trials(path: Path) -> list[SeenTrial]:
    """Every attempt in the database, studies in order of creation; nothing where there is no database.

    Raises:
        MachineError: the file is not a usable database, or was emptied.
    """
    require_whole(path)
    if not path.exists() or not path.stat().st_size:
        return []
    require_consistent(path)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with sound_records(path), SQLiteFile(path).faults(), _readable(path) as storage:
        seen = []
        for study in storage.get_all_studies():
            study_id = storage.get_study_id_from_name(study.study_name)
            requeued = storage.get_study_user_attrs(study_id).get("requeued", [])
            for frozen in storage.get_all_trials(study_id, deepcopy=False):
                if "key" not in frozen.user_attrs or frozen.state == OptunaState.PRUNED:  # 0.1 stopped trials early
                    continue
                if frozen.state == OptunaState.COMPLETE and recorded_trial(frozen.user_attrs) is None:
                    continue  # its record is damaged: no result
                seen.append(_seen(study.study_name, frozen, frozen.number in requeued))
        return seen


def count_finished(path: Path) -> int:
    """Finished trials in the database, whatever recipe they belong to; adopted ones count once."""
    return len({seen.adopted_from or seen.key for seen in read_trials(path) if seen.state == "finished"})


def _seen(study: str, frozen: FrozenTrial, requeued: bool) -> SeenTrial:
    attributes = frozen.user_attrs
    require_record(attributes)
    finished = recorded_trial(attributes)  # recorded, though Optuna's own state may still be missing
    if finished is not None and finished.state is TrialState.STOPPED:  # by 0.1, which died before it told Optuna
        finished = None
    cause = attributes.get("cause", "interrupted") if frozen.state == OptunaState.FAIL else None
    state = "running" if frozen.state == OptunaState.RUNNING else "failed"
    if finished is not None:
        state = "finished"
    elif cause is not None and (requeued or cause not in BLOCKING_CAUSES):
        state = "requeued"
    return SeenTrial(
        key=attributes["key"],
        study=study,
        phase=Phase(attributes["phase"]),
        state=state,
        seed=attributes.get("seed", -1),
        hyperparameters=attributes.get("hyperparameters", {}),
        trial=finished,
        cause=cause,
        message=attributes.get("message", ""),
        started=attributes.get("started"),
        adopted_from=attributes.get("adopted_from"),
    )


@contextmanager
def _readable(path: Path) -> Iterator[RDBStorage]:
    """The database opened read-only; a copy of it where a killed owner left a half-done write.

    SQLite undoes such a write when the file is next opened for writing, which a reader must not do.
    """
    try:
        storage = _open_read_only(path)
        storage.get_all_studies()
    except (MachineError, Exception):  # SQLAlchemy wraps SQLite's refusal in several ways
        journal = path.with_name(f"{path.name}-journal")
        if not journal.exists():
            raise
        with tempfile.TemporaryDirectory() as folder:
            copy = Path(folder, path.name)
            shutil.copyfile(journal, copy.with_name(journal.name))
            shutil.copyfile(path, copy)
            with sqlite3.connect(copy) as connection:
                connection.execute("SELECT count(*) FROM sqlite_master").fetchone()  # undoes the half-done write
            storage = _open_read_only(copy)
            try:
                yield storage
            finally:
                close_database(storage)
        return
    try:
        yield storage
    finally:
        close_database(storage)


def _open_read_only(path: Path) -> RDBStorage:
    uri = f"file:{quote(str(path.absolute()))}?mode=ro"

    def connect() -> sqlite3.Connection:
        return sqlite3.connect(uri, uri=True, timeout=_PATIENCE, check_same_thread=False)

    return RDBStorage("sqlite:///study.db", engine_kwargs={"creator": connect}, skip_table_creation=True)
