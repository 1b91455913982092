from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from hptransfer.errors import MachineError
from hptransfer.storage.damage import require_record, require_sound, require_whole
from hptransfer.storage.database import SQLiteFile
from hptransfer.storage.optuna_store import OptunaStore
from hptransfer.storage.snapshot import read_trials
from hptransfer.testing import stores as conformance
from hptransfer.testing.stores import make_trial, record


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """A database with trials, beside the results that rest on them."""
    path = tmp_path / "study.db"
    with _store(path) as store:
        for number in range(3):
            record(store, make_trial(str(number)))
    (tmp_path / "tuned.yaml").write_text("format: 7\n")
    (tmp_path / "recipe.json").write_text("{}")
    return path


def _store(path: Path) -> OptunaStore:
    return OptunaStore(SQLiteFile(path), conformance.EXPERIMENT.digest, conformance.EXPERIMENT.space)


def test_a_sound_database_is_left_alone(study: Path) -> None:
    """Negative control."""
    before = study.read_bytes()

    require_sound(study)

    assert len(read_trials(study)) == 3
    assert study.read_bytes() == before


def _noise(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[8192:16384] = b"\xff" * 8192
    path.write_bytes(content)


def _schema(path: Path) -> None:
    """Bytes that are no text in the name of a table, which SQLite's own message repeats."""
    content = path.read_bytes()
    path.write_bytes(content.replace(b"CREATE TABLE studies", b"CREATE T\xde\xadLE studies"))


def _pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def _attribute(key: str, value: str) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        with sqlite3.connect(path) as connection:
            connection.execute("update trial_user_attributes set value_json=? where key=?", (value, key))
        connection.close()

    return change


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda path: os.truncate(path, path.stat().st_size - 184), "cut off"),
        (lambda path: os.truncate(path, 50), "not a database"),
        (lambda path: os.truncate(path, 0), "empty, beside tuned.yaml"),
        (lambda path: path.write_bytes(b"x" * 5000), "not a database"),
        (_noise, "study.db: "),
        (_schema, "malformed"),
        (_pipe, "a pipe"),
        (_attribute("phase", '"elsewhere"'), "a record in it is damaged"),
        (_attribute("key", "[1]"), "a record in it is damaged"),
        (_attribute("hyperparameters", '{"learning_rate": "x"}'), "a record in it is damaged"),
        (_attribute("trial", "{"), "a record in it is damaged"),
    ],
    ids=["cut", "header", "empty", "other", "noise", "schema", "pipe", "phase", "key", "values", "json"],
)
def test_damage_is_a_machine_error_with_the_reason(study: Path, damage: Callable[[Path], None], said: str) -> None:
    """For an onlooker and for the owner; nothing is made anew, and the file stays as it was found."""
    damage(study)
    kind = study.lstat()

    for use in (read_trials, _store):
        with pytest.raises(MachineError) as refused:
            use(study)
        assert said in (refused.value.findings[0].received or "")
        assert refused.value.findings[0].hint
    assert (study.lstat().st_size, study.lstat().st_mode) == (kind.st_size, kind.st_mode)


def test_a_database_that_vanished_beside_its_results_is_not_made_anew(study: Path) -> None:
    """Trials would be trained again beside what was made of them."""
    study.unlink()

    with pytest.raises(MachineError, match=r"no such file, beside tuned\.yaml and recipe\.json"):
        _store(study)
    assert not study.exists()
    assert read_trials(study) == []


@pytest.mark.parametrize("left", ["tuned.yaml", "recipe.json"])
def test_results_alone_and_a_folder_without_results_begin_anew(study: Path, left: str) -> None:
    """Results are committed without trials; a folder of a study on a server has a snapshot alone."""
    study.unlink()
    for name in {"tuned.yaml", "recipe.json"} - {left}:
        (study.parent / name).unlink()

    _store(study).close()

    assert study.exists()


def test_an_empty_file_in_an_empty_folder_is_what_a_killed_start_leaves(tmp_path: Path) -> None:
    """SQLite makes the file before its first page is written."""
    (tmp_path / "study.db").touch()

    assert read_trials(tmp_path / "study.db") == []
    _store(tmp_path / "study.db").close()
    assert read_trials(tmp_path / "study.db") == []


def test_a_file_whose_writer_was_killed_is_left_to_sqlite(study: Path) -> None:
    """With a journal beside it, a file may be shorter than its header says for a moment."""
    os.truncate(study, study.stat().st_size - 184)
    study.with_name("study.db-journal").write_bytes(b"x")

    require_whole(study)


def test_records_that_lack_what_later_versions_write_are_sound() -> None:
    """Older versions recorded fewer attributes."""
    require_record({"key": "k"})
    require_record({"key": "k", "seed": 3, "started": 1, "hyperparameters": {"learning_rate": 1}})
