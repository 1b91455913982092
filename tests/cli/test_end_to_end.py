"""Whole commands as a user types them, with what they need of the world: a tracker's files, a database server."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
import yaml

from hptransfer.storage.snapshot import read_trials
from tests.support.command_line import RECIPE, ROOT, hptransfer
from tests.support.fleet import trials_of


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A recipe of trials that take a moment, and its text."""
    (tmp_path / "tiny.yaml").write_text(RECIPE)
    for number in range(2):
        (tmp_path / f"{number}.txt").write_text("".join(f"{n * (number + 3)} bottles\n" for n in range(800)))
    return tmp_path


def tuned(folder: Path, *options: str) -> str:
    """Tunes with one worker, which must succeed; what was said on stderr."""
    done = hptransfer(folder, "tune", "tiny.yaml", "--workers", "1", "--quiet", *options)
    assert done.returncode == 0, done.stderr
    return done.stderr


def losses(folder: Path) -> dict[str, float]:
    """Final losses by key, as the study has them."""
    seen = read_trials(folder / "runs" / "tiny" / "study.db")
    return {each.key: each.trial.loss for each in seen if each.trial is not None}


def test_log_tensorboard(folder: Path) -> None:
    """Event files, read back by TensorBoard, hold every trial's curve and loss once and what `tune` recommends."""
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    assert tuned(folder, "--log", "tensorboard") == ""
    assert tuned(folder, "--log", "tensorboard") == ""
    place = folder / "runs" / "tiny" / "tensorboard"
    recommended = yaml.safe_load((folder / "runs" / "tiny" / "tuned.yaml").read_text())["recommended"]
    found = {}
    for path in sorted((place / "w8-d2").iterdir()):
        events = accumulator.EventAccumulator(str(path)).Reload()
        assert len(list(path.glob("events.*"))) == 1
        assert len(events.Scalars("training loss")) > 1
        (found[path.name],) = (event.value for event in events.Scalars("loss"))
    result = accumulator.EventAccumulator(str(place / "tune")).Reload()

    assert found == pytest.approx({key[:12]: loss for key, loss in losses(folder).items()}, rel=1e-6)
    assert len(found) == 6 + 1
    logged = [event.value for event in result.Scalars("recommended.learning_rate")]
    assert logged == pytest.approx([recommended["learning_rate"]] * 2, rel=1e-6)


def test_log_mlflow(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run per trial in the run folder's own store, and one for the result."""
    tracking = pytest.importorskip("mlflow.tracking")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    tuned(folder, "--log", "mlflow")
    client = tracking.MlflowClient(tracking_uri=f"sqlite:///{folder / 'runs' / 'tiny' / 'mlflow.db'}")
    runs = client.search_runs([client.get_experiment_by_name("hptransfer-tiny").experiment_id])
    trials = {run.data.tags["hptransfer.key"]: run for run in runs if "hptransfer.key" in run.data.tags}

    assert {key: run.data.metrics["loss"] for key, run in trials.items()} == pytest.approx(losses(folder))
    assert len(runs) == len(trials) + 1


def test_log_wandb(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Offline, a folder per trial and one for the result; nothing is sent and nothing complains."""
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    said = tuned(folder, "--log", "wandb")

    assert "left alone" not in said
    assert len(list((folder / "runs" / "tiny" / "wandb").glob("offline-run-*"))) == len(losses(folder)) + 1


def test_log_without_the_package(folder: Path) -> None:
    """Said with the command that installs it, exit 2, before anything is trained."""
    (folder / "tensorboard.py").write_text("raise ImportError('not here')")
    done = subprocess.run(
        [sys.executable, "-m", "hptransfer", "tune", "tiny.yaml", "--log", "tensorboard"],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": f"{folder}{os.pathsep}{ROOT}"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 2
    assert "pip install 'hptransfer[tensorboard]'" in done.stderr
    assert losses(folder) == {}


@pytest.mark.slow
def test_retry_in_a_database(folder: Path, database: str) -> None:
    """Trials that took too long are left out until `retry --storage` requeues them; then each is trained once."""

    def command(*arguments: str, status: int = 0) -> subprocess.CompletedProcess[str]:
        done = hptransfer(folder, arguments[0], *arguments[1:], "--storage", database)
        assert done.returncode == status, done.stderr
        return done

    def tune_with_a_worker(*options: str, status: int, worker_status: int) -> str:
        worker = subprocess.Popen(
            [sys.executable, "-m", "hptransfer", "worker", "tiny.yaml", "--storage", database, "--idle-exit", "3"],
            cwd=folder,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            return command("tune", "tiny.yaml", "--workers", "1", *options, status=status).stderr
        finally:
            _, said = worker.communicate(timeout=120)
            assert worker.returncode == worker_status, said

    command("study", "init", "tiny.yaml")
    # no trial ends in a millisecond; three in a row that fail end both the worker and the command
    refused = tune_with_a_worker("--trial-time", "0.001s", status=4, worker_status=4)
    elsewhere = json.loads(hptransfer(folder, "retry", "tiny.yaml", "--json").stdout)
    wrong_cause = json.loads(command("retry", "tiny.yaml", "--cause", "error", "--json").stdout)
    requeued = json.loads(command("retry", "tiny.yaml", "--json").stdout)["requeued"]
    again = json.loads(command("retry", "tiny.yaml", "--json").stdout)
    said = tune_with_a_worker(status=0, worker_status=0)
    finished = Counter(trial.user_attrs["key"] for trial in trials_of(database))

    assert "0.001 s" in refused
    assert elsewhere == wrong_cause == again == {"requeued": []}
    assert [each["cause"] for each in requeued] == ["timeout"] * 3
    assert "left out" not in said
    assert list(finished.values()) == [1] * (6 + 1)
    assert {each["key"] for each in requeued} <= set(finished)
