"""TrialStore: what is finished stays, what was running is free again, and Optuna's own tools read it."""

from __future__ import annotations

import math
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import optuna
import pytest

from hptransfer.errors import MachineError, UsageError
from hptransfer.hyperparameters import MULTIPLIERS, with_default_multipliers
from hptransfer.recipe.schema import Range
from hptransfer.sizes import Size
from hptransfer.storage.database import open_database
from hptransfer.storage.trials import PlannedTrial, TrialStore
from hptransfer.trials.trial import TrialState
from tests.support.stored_trials import EXPERIMENT, SIZE, SPACE, a_trial, record


def record_many(store: TrialStore) -> None:
    """Records trials until something stops it."""
    for number in range(10_000):
        record(store, a_trial(str(number)))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the database lies: a path with characters that mean something in URLs and format strings."""
    folder = tmp_path / "a {b} c?d%20#e"
    folder.mkdir()
    return folder / "study.db"


@pytest.fixture
def store(path: Path) -> Iterator[TrialStore]:
    """An empty store."""
    with TrialStore(path, EXPERIMENT, SPACE) as empty:
        yield empty


def reopened(path: Path, space: dict[str, Range] = SPACE) -> TrialStore:
    """The store as the next process sees it."""
    return TrialStore(path, EXPERIMENT, space)


def optuna_study(path: Path, name: str = "w64-d2-01234567") -> optuna.Study:
    """A study opened as any Optuna user would, from a copy with a plain name."""
    copy = path.parent.parent / "copy.db"
    shutil.copy(path, copy)
    return optuna.load_study(study_name=name, storage=f"sqlite:///{copy}")


def test_a_finished_trial_is_found_by_its_key_after_reopening(path: Path, store: TrialStore) -> None:
    """The whole record survives, number for number."""
    record(store, a_trial())
    store.close()

    with reopened(path) as after:
        assert after.find("k1") == a_trial()
        assert after.find("k2") is None


def test_a_diverged_trial_survives_as_diverged(path: Path, store: TrialStore) -> None:
    """Divergence is not a failure: the trial is found, with an infinite loss."""
    record(store, a_trial(loss=math.inf))
    store.close()

    with reopened(path) as after:
        found = after.find("k1")
        assert found is not None
        assert (found.state, found.loss) == (TrialState.DIVERGED, math.inf)


def test_trials_are_filtered_by_size_and_phase(store: TrialStore) -> None:
    """Order of start is kept within a study."""
    wide = Size(128, 2, 32, 1000)
    record(store, a_trial("a"))
    record(store, a_trial("b"), phase="confirm")
    record(store, a_trial("c", size=wide), phase="check")

    assert [trial.key for trial in store.trials()] == ["a", "b", "c"]
    assert [trial.key for trial in store.trials(SIZE)] == ["a", "b"]
    assert [trial.key for trial in store.trials(phase="confirm")] == ["b"]
    assert [trial.key for trial in store.trials(wide, "search")] == []


def test_other_experiments_are_found_by_key_but_not_listed(path: Path, store: TrialStore) -> None:
    """An edited recipe starts new studies beside the old ones."""
    record(store, a_trial())
    store.close()

    with TrialStore(path, "f" * 64, SPACE) as other:
        assert other.trials() == []
        assert other.find("k1") is not None


def test_a_running_trial_of_a_dead_process_is_interrupted(path: Path, store: TrialStore) -> None:
    """What was running is marked failed on opening and can be started again with the same key."""
    store.start("k1", SIZE, {"learning_rate": 0.01}, 0, "search")
    store.close()

    with reopened(path) as after:
        assert after.find("k1") is None
        assert [(failed.key, failed.cause) for failed in after.failures(SIZE, "search")] == [("k1", "interrupted")]
        record(after, a_trial())
    assert [trial.state.name for trial in optuna_study(path).trials] == ["FAIL", "COMPLETE"]


def test_a_trial_whose_record_was_written_is_finished_on_opening(path: Path, store: TrialStore) -> None:
    """Death between the two writes of `finish` loses nothing."""
    opened = store.start("k1", SIZE, a_trial().hyperparameters, 3, "search")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TrialStore, "_complete", lambda *_: None)
        store.finish(opened, a_trial())
    store.close()

    with reopened(path) as after:
        assert after.find("k1") == a_trial()
        assert after.failures() == []


def test_failures_keep_cause_and_message(path: Path, store: TrialStore) -> None:
    """A failed attempt is remembered and its key stays free."""
    opened = store.start("k1", SIZE, {"learning_rate": 0.01}, 0, "search")
    store.abandon(opened, "out of memory", "MemoryError")
    store.close()

    with reopened(path) as after:
        (failed,) = after.failures()
        assert (failed.cause, failed.message, failed.phase) == ("out of memory", "MemoryError", "search")


def test_a_finished_trial_is_not_started_again(store: TrialStore) -> None:
    """Nothing is trained twice."""
    record(store, a_trial())

    with pytest.raises(ValueError, match="trained once"):
        store.start("k1", SIZE, {"learning_rate": 0.01}, 0, "search")


def test_a_result_of_another_trial_is_refused(store: TrialStore) -> None:
    """Key and result belong together."""
    opened = store.start("k1", SIZE, {"learning_rate": 0.01}, 0, "search")

    with pytest.raises(ValueError, match="cannot end"):
        store.finish(opened, a_trial("k2"))


def test_optuna_reads_the_study_as_it_is(path: Path, store: TrialStore) -> None:
    """Plain `optuna.load_study` sees parameters, log distributions, values and the best trial."""
    record(store, a_trial("a", 2.5, 0.01))
    record(store, a_trial("b", 2.0, 0.02))
    record(store, a_trial("c", 2.2, 0.4))  # beyond the search's bounds, as a check may go
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


def test_optunas_command_line_reads_the_study(path: Path, store: TrialStore) -> None:
    """The `optuna` command lists the trials."""
    record(store, a_trial())
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


def test_a_diverged_trial_is_told_as_worse_than_all_finite_ones(path: Path, store: TrialStore) -> None:
    """Samplers see a bad value, never a failure, a NaN or an infinity."""
    record(store, a_trial("a", 2.0))
    record(store, a_trial("b", 4.0))
    record(store, a_trial("c", math.inf))
    trial = optuna_study(path).trials[2]

    assert trial.state.name == "COMPLETE"
    assert trial.user_attrs["diverged"] is True
    assert trial.value is not None
    assert 4.0 < trial.value < 4.5


def test_a_first_diverged_trial_is_told_as_its_worst_training_loss(path: Path, store: TrialStore) -> None:
    """Without any finite loss the trial's own curve (5.5 nats at worst) stands in."""
    record(store, a_trial("a", math.nan))
    value = optuna_study(path).trials[0].value

    assert value is not None
    assert 5.5 < value < 6


def test_a_changed_scale_is_a_usage_error(path: Path, store: TrialStore) -> None:
    """Optuna cannot hold one parameter on two scales; the message says what to do."""
    record(store, a_trial())
    store.close()

    linear = {"learning_rate": Range(low=0.0, high=1.0, scale="linear")}
    with reopened(path, linear) as after, pytest.raises(UsageError) as refusal:
        after.start("k2", SIZE, {"learning_rate": 0.5}, 0, "search")
    assert "another name" in (refusal.value.findings[0].hint or "")


def test_what_a_search_asked_survives_in_order(path: Path, store: TrialStore) -> None:
    """Points decided by a search are remembered before they are trained."""
    first, second = (PlannedTrial(with_default_multipliers({"learning_rate": value}), 0) for value in (0.01, 0.02))
    store.add_planned(SIZE, [first])
    store.add_planned(SIZE, [second])
    store.close()

    with reopened(path) as after:
        assert after.planned(SIZE) == (first, second)
        assert after.planned(Size(128, 2, 32, 1000)) == ()


def test_a_file_that_is_no_database_is_a_machine_error(tmp_path: Path) -> None:
    """Rubbish is named with its path and what to do, and is not overwritten."""
    path = tmp_path / "study.db"
    path.write_bytes(b"rubbish " * 1000)

    with pytest.raises(MachineError) as failure:
        TrialStore(path, EXPERIMENT, SPACE)

    finding = failure.value.findings[0]
    assert str(path) in (finding.received or "")
    assert "move it away" in (finding.hint or "")
    assert path.read_bytes() == b"rubbish " * 1000


def test_a_locked_database_is_a_machine_error(path: Path, store: TrialStore) -> None:
    """Another program that holds the database is reported after the patience ended."""
    store.close()
    other = sqlite3.connect(path)
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(MachineError) as failure:
        open_database(path, patience=0.1)
    other.close()

    assert "dashboards" in (failure.value.findings[0].hint or "")


def test_a_reader_does_not_stop_the_writer(path: Path, store: TrialStore) -> None:
    """A dashboard that keeps the file open between its queries is harmless."""
    record(store, a_trial("a"))
    viewer = sqlite3.connect(path)
    assert viewer.execute("SELECT count(*) FROM trials").fetchone() == (1,)
    record(store, a_trial("b"))
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
            record(store, a_trial("first"))
            with pytest.raises(MachineError) as failure:
                record_many(store)
            assert "free some space" in (failure.value.findings[0].hint or "")
            recorded = len(store.trials())
        subprocess.run(["mount", "-o", "remount,size=10M", tmp_path], check=True)

        with reopened(tmp_path / "study.db") as after:
            assert len(after.trials()) == recorded > 1
            record(after, a_trial("last"))
    finally:
        subprocess.run(["umount", "-l", tmp_path], check=True)


def test_a_database_deleted_meanwhile_is_a_machine_error(path: Path, store: TrialStore) -> None:
    """Nothing is silently created anew, and the message says what is wrong."""
    record(store, a_trial())
    path.unlink()

    with pytest.raises(MachineError, match="the file is gone"):
        record(store, a_trial("k2"))
    assert not path.exists()


def test_a_write_torn_by_sigkill_is_undone(path: Path, store: TrialStore) -> None:
    """A process dies in the middle of a transaction whose pages are partly in the file: SQLite's journal undoes it."""
    for number in range(30):
        record(store, a_trial(str(number)))
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


def test_records_older_than_the_multipliers_are_completed(path: Path, store: TrialStore) -> None:
    """A record without multipliers was trained with all of them at 1, and is read as one that says so."""
    old = replace(a_trial(), hyperparameters={"learning_rate": 0.01, "weight_decay": 0.0})
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
    space = SPACE | {"weight_decay": Range(low=0.01, high=1.0)}
    with TrialStore(path, EXPERIMENT, space) as store:
        for decay, key in ((0.0, "k1"), (0.1, "k2")):
            trial = a_trial(key)
            record(store, replace(trial, hyperparameters={**trial.hyperparameters, "weight_decay": decay}))

    assert [sorted(trial.params) for trial in optuna_study(path).trials] == [
        ["learning_rate"],
        ["learning_rate", "weight_decay"],
    ]
    with TrialStore(path, EXPERIMENT, space) as store:
        assert [trial.hyperparameters["weight_decay"] for trial in store.trials()] == [0.0, 0.1]
