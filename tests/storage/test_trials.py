"""OptunaStore in a file: what is finished stays, what was running is free again, and Optuna's own tools read it."""

from __future__ import annotations

import math
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState as OptunaState

from hptransfer.cluster.study import open_store
from hptransfer.errors import MachineError, UsageError
from hptransfer.hyperparameters import MULTIPLIERS
from hptransfer.recipe.schema import Range
from hptransfer.storage.base import Experiment, PlannedTrial, TrialStore
from hptransfer.storage.database import SQLiteFile
from hptransfer.storage.optuna_store import OptunaStore
from hptransfer.storage.snapshot import read_trials
from hptransfer.testing import stores as conformance
from hptransfer.testing.stores import SIZE, TrialStoreConformance, make_trial, record
from hptransfer.trials.trial import Phase, TrialState, trial_from_dict, trial_to_dict
from tests.support.memory_store import Memory, MemoryStore

EXPERIMENT, SPACE = conformance.EXPERIMENT.digest, conformance.EXPERIMENT.space


def record_many(store: OptunaStore) -> None:
    """Records trials until something stops it."""
    for number in range(10_000):
        record(store, make_trial(str(number)))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the database lies: a path with characters that mean something in URLs and format strings."""
    folder = tmp_path / "a {b} c?d%20#e"
    folder.mkdir()
    return folder / "study.db"


@pytest.fixture
def store(path: Path) -> Iterator[OptunaStore]:
    """An empty store."""
    with OptunaStore(SQLiteFile(path), EXPERIMENT, SPACE) as empty:
        yield empty


def reopened(path: Path, space: Mapping[str, Range] = SPACE) -> OptunaStore:
    """The store as the next process sees it."""
    return OptunaStore(SQLiteFile(path), EXPERIMENT, space)


def optuna_study(path: Path, name: str = "w64-d2-01234567") -> optuna.Study:
    """A study opened as any Optuna user would, from a copy with a plain name."""
    copy = path.parent.parent / "copy.db"
    shutil.copy(path, copy)
    return optuna.load_study(study_name=name, storage=f"sqlite:///{copy}")


class TestOptunaStoreInAFile(TrialStoreConformance):
    """The built-in store on one machine."""

    @pytest.fixture
    def place(self, path: Path) -> Path:
        """A file with an awkward path."""
        return path

    def open_store(self, place: Path, experiment: Experiment) -> TrialStore:
        """As a session does."""
        return open_store(place, experiment)


class TestMemoryStore(TrialStoreConformance):
    """A second implementation, from outside the package."""

    @pytest.fixture
    def place(self) -> Memory:
        """Nothing yet."""
        return Memory()

    def open_store(self, place: Memory, experiment: Experiment) -> TrialStore:
        """Over the same memory."""
        return MemoryStore(place, experiment)


def test_no_store_has_an_unknown_scheme() -> None:
    """The schemes that are known are named."""
    with pytest.raises(UsageError, match="postgresql://") as refusal:
        open_store("mysql://host/database", conformance.EXPERIMENT)

    assert refusal.value.findings[0].received == "mysql://"


def test_a_running_trial_of_a_dead_process_is_interrupted(path: Path, store: OptunaStore) -> None:
    """What was running is marked failed on opening and can be started again with the same key."""
    store.start("k1", SIZE, {"learning_rate": 0.01}, 0, Phase.SEARCH)
    store.close()

    with reopened(path) as after:
        assert after.find("k1") is None
        assert [(failed.key, failed.cause) for failed in after.failures(SIZE, Phase.SEARCH)] == [("k1", "interrupted")]
        record(after, make_trial())
    assert [trial.state.name for trial in optuna_study(path).trials] == ["FAIL", "COMPLETE"]


def test_a_trial_whose_record_was_written_is_finished_on_opening(path: Path, store: OptunaStore) -> None:
    """Death between the two writes of `finish` loses nothing."""
    opened = store.start("k1", SIZE, make_trial().hyperparameters, 3, Phase.SEARCH)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(OptunaStore, "_complete", lambda *_: None)
        store.finish(opened, make_trial())
    store.close()

    with reopened(path) as after:
        assert after.find("k1") == make_trial()
        assert after.failures() == []


def test_optuna_reads_the_study_as_it_is(path: Path, store: OptunaStore) -> None:
    """Plain `optuna.load_study` sees parameters, log distributions, values and the best trial."""
    record(store, make_trial("a", 2.5, 0.01))
    record(store, make_trial("b", 2.0, 0.02))
    record(store, make_trial("c", 2.2, 0.4))  # beyond the search's bounds, as a check may go
    study = optuna_study(path)

    assert [trial.params for trial in study.trials] == [
        {"learning_rate": 0.01},
        {"learning_rate": 0.02},
        {"learning_rate": 0.4},
    ]
    assert study.best_params == {"learning_rate": 0.02}
    assert study.trials[0].distributions["learning_rate"] == optuna.distributions.FloatDistribution(
        0.001, 0.1, log=True
    )
    assert study.trials[2].distributions["learning_rate"] == optuna.distributions.FloatDistribution(
        0.001, 0.4, log=True
    )


def test_optunas_command_line_reads_the_study(path: Path, store: OptunaStore) -> None:
    """The `optuna` command lists the trials."""
    record(store, make_trial())
    shutil.copy(path, path.parent.parent / "copy.db")
    script = "import sys; from optuna.cli import main; sys.exit(main())"
    storage = f"sqlite:///{path.parent.parent / 'copy.db'}"
    listing = subprocess.run(
        [sys.executable, "-c", script, "trials", "--study-name", "w64-d2-01234567", "-f", "json", "--storage", storage],
        capture_output=True,
        text=True,
        check=True,
    )

    assert '"COMPLETE"' in listing.stdout
    assert "0.01" in listing.stdout


def test_a_diverged_trial_is_told_as_worse_than_all_finite_ones(path: Path, store: OptunaStore) -> None:
    """Samplers see a bad value, never a failure, a NaN or an infinity."""
    record(store, make_trial("a", 2.0))
    record(store, make_trial("b", 4.0))
    record(store, make_trial("c", math.inf))
    trial = optuna_study(path).trials[2]

    assert trial.state.name == "COMPLETE"
    assert trial.user_attrs["diverged"] is True
    assert trial.value is not None
    assert 4.0 < trial.value < 4.5


def test_a_first_diverged_trial_is_told_as_its_worst_training_loss(path: Path, store: OptunaStore) -> None:
    """Without any finite loss the trial's own curve (5.5 nats at worst) stands in."""
    record(store, make_trial("a", math.nan))
    value = optuna_study(path).trials[0].value

    assert value is not None
    assert 5.5 < value < 6


def test_a_changed_scale_is_a_usage_error(path: Path, store: OptunaStore) -> None:
    """Optuna cannot hold one parameter on two scales; the message says what to do."""
    record(store, make_trial())
    store.close()

    linear = {"learning_rate": Range(low=0.0, high=1.0, scale="linear")}
    with reopened(path, linear) as after, pytest.raises(UsageError) as refusal:
        after.start("k2", SIZE, {"learning_rate": 0.5}, 0, Phase.SEARCH)
    assert "another name" in (refusal.value.findings[0].hint or "")


def test_a_file_that_is_no_database_is_a_machine_error(tmp_path: Path) -> None:
    """Rubbish is named with its path and what to do, and is not overwritten."""
    path = tmp_path / "study.db"
    path.write_bytes(b"rubbish " * 1000)

    with pytest.raises(MachineError) as failure:
        OptunaStore(SQLiteFile(path), EXPERIMENT, SPACE)

    finding = failure.value.findings[0]
    assert str(path) in (finding.received or "")
    assert "move it away" in (finding.hint or "")
    assert path.read_bytes() == b"rubbish " * 1000


def test_a_locked_database_is_a_machine_error(path: Path, store: OptunaStore) -> None:
    """Another program that holds the database is reported after the patience ended."""
    store.close()
    other = sqlite3.connect(path)
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(MachineError) as failure:
        SQLiteFile(path, patience=0.1).open()
    other.close()

    assert "dashboards" in (failure.value.findings[0].hint or "")


def test_a_reader_does_not_stop_the_writer(path: Path, store: OptunaStore) -> None:
    """A dashboard that keeps the file open between its queries is harmless."""
    record(store, make_trial("a"))
    viewer = sqlite3.connect(path)
    assert viewer.execute("SELECT count(*) FROM trials").fetchone() == (1,)
    record(store, make_trial("b"))
    viewer.close()

    assert store.find("b") is not None


@pytest.mark.skipif(sys.platform != "linux" or os.geteuid() != 0, reason="mounting a small disk needs root on Linux")
def test_a_full_disk_loses_no_finished_trial(tmp_path: Path) -> None:
    """A study on a full disk stops with a message; with space again it goes on where it was."""
    mount = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", tmp_path], check=False)
    if mount.returncode != 0:
        pytest.skip("this machine does not allow mounting a small disk")
    try:
        with reopened(tmp_path / "study.db") as store:
            record(store, make_trial("first"))
            with pytest.raises(MachineError) as failure:
                record_many(store)
            assert "free some space" in (failure.value.findings[0].hint or "")
            recorded = len(store.trials())
        subprocess.run(["mount", "-o", "remount,size=10M", tmp_path], check=True)

        with reopened(tmp_path / "study.db") as after:
            assert len(after.trials()) == recorded > 1
            record(after, make_trial("last"))
    finally:
        subprocess.run(["umount", "-l", tmp_path], check=True)


def test_a_database_deleted_meanwhile_is_a_machine_error(path: Path, store: OptunaStore) -> None:
    """Nothing is silently created anew, and the message says what is wrong."""
    record(store, make_trial())
    path.unlink()

    with pytest.raises(MachineError, match="the file is gone"):
        record(store, make_trial("k2"))
    assert not path.exists()


def test_a_write_torn_by_sigkill_is_undone(path: Path, store: OptunaStore) -> None:
    """A process dies in the middle of a transaction whose pages are partly in the file: SQLite's journal undoes it."""
    for number in range(30):
        record(store, make_trial(str(number)))
    store.close()
    code = (
        "import os, signal, sqlite3, sys\n"
        "connection = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
        "connection.execute('PRAGMA cache_size = 1')\n"  # spill into the file before the end
        "connection.execute('BEGIN IMMEDIATE')\n"
        "connection.execute('DELETE FROM trial_user_attributes')\n"
        "connection.execute('DELETE FROM trials')\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    before = path.read_bytes()
    subprocess.run([sys.executable, "-c", code, str(path)], check=False)

    assert path.read_bytes() != before
    assert len(reopened(path).trials()) == 30


def test_records_older_than_the_multipliers_are_completed(path: Path, store: OptunaStore) -> None:
    """A record without multipliers was trained with all of them at 1, and is read as one that says so."""
    old = replace(make_trial(), hyperparameters={"learning_rate": 0.01, "weight_decay": 0.0})
    record(store, old)
    store.add_planned(SIZE, [PlannedTrial(old.hyperparameters, 3)])
    store.close()

    with reopened(path) as after:
        found = after.find("k1")
        assert found is not None
        assert found.hyperparameters == {**old.hyperparameters, **dict.fromkeys(MULTIPLIERS, 1.0)}
        assert after.planned(SIZE) == (PlannedTrial(found.hyperparameters, 3),)


def test_zero_on_a_log_scale_is_in_the_record_alone(path: Path) -> None:
    """A search along one line holds the other hyperparameters at the recipe's values: without weight decay, at 0."""
    space = dict(SPACE) | {"weight_decay": Range(low=0.01, high=1.0)}
    with OptunaStore(SQLiteFile(path), EXPERIMENT, space) as store:
        for decay, key in ((0.0, "k1"), (0.1, "k2")):
            trial = make_trial(key)
            record(store, replace(trial, hyperparameters={**trial.hyperparameters, "weight_decay": decay}))

    assert [sorted(trial.params) for trial in optuna_study(path).trials] == [
        ["learning_rate"],
        ["learning_rate", "weight_decay"],
    ]
    with OptunaStore(SQLiteFile(path), EXPERIMENT, space) as store:
        assert [trial.hyperparameters["weight_decay"] for trial in store.trials()] == [0.0, 0.1]


def test_trials_that_an_early_version_stopped_are_ignored(path: Path, store: OptunaStore) -> None:
    """0.1 pruned trials (PRUNED, or recorded as stopped when it died) and decided on ones it never trained."""
    stopped = replace(make_trial(), state=TrialState.STOPPED, loss=math.inf)
    for key, state in (("k1", OptunaState.PRUNED), ("k2", None)):
        opened = store.start(key, SIZE, stopped.hyperparameters, 3, Phase.SEARCH)
        store._storage.set_trial_user_attr(opened.trial_id, "trial", trial_to_dict(replace(stopped, key=key)))
        if state is not None:
            store._storage.set_trial_state_values(opened.trial_id, state)
    (study,) = store._studies.values()
    entries: list[dict[str, object]] = [
        {"hyperparameters": {"learning_rate": 0.01}, "seed": 3, "rungs": [[5, 2.0]]},
        {"hyperparameters": {"learning_rate": 0.02}, "seed": 4, "spared": "clearly worse"},
    ]
    store._storage.set_study_user_attr(study, "asked", entries)
    store.close()

    with reopened(path) as after:
        assert after.trials() == []
        assert [(failed.key, failed.cause) for failed in after.failures()] == [("k2", "interrupted")]
        assert [planned.seed for planned in after.planned(SIZE)] == [3]
        record(after, make_trial())
    assert [seen.state for seen in read_trials(path)] == ["requeued", "finished"]


def test_steps_beyond_what_the_database_holds_are_left_out(store: OptunaStore, path: Path) -> None:
    """Optuna's column of steps is a whole number of the database; the record has all of the curve."""
    trial = replace(make_trial("a"), curve=((1, 3.0), (2**31 - 1, 2.5), (2**53, 2.25), (10**30, 2.125)))
    opened = store.start(trial.key, trial.size, trial.hyperparameters, trial.seed, Phase.SEARCH)
    store.report(opened, trial.curve)
    store.finish(opened, trial)
    store.close()

    with reopened(path) as again:
        found = again.find(trial.key)
    assert found is not None
    assert found.curve == trial.curve


@pytest.mark.parametrize("flops", [math.nan, math.inf, -1.0])
def test_flops_of_a_record_that_mean_nothing_count_as_none(flops: float) -> None:
    """A training function could once set them."""
    assert trial_from_dict({**trial_to_dict(make_trial("a")), "flops": flops}).flops == 0.0
