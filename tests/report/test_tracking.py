"""`--log`: each trial reaches the tracker once, results too, and no tracker ends a run."""

from __future__ import annotations

import math
import os
import sys
from pathlib import Path

import pytest

from hptransfer.errors import UsageError
from hptransfer.report.tracking import TRACKERS, Tracking
from hptransfer.sizes import Size
from hptransfer.trials.trial import Trial, TrialState


def a_trial(key: str = "a" * 64, loss: float = 2.5) -> Trial:
    """A finished trial; a loss that is not finite makes it diverged."""
    state = TrialState.COMPLETE if math.isfinite(loss) else TrialState.DIVERGED
    curve = ((10, 5.5), (20, 4.0))
    return Trial(key, Size(64, 2, 32, 1000), {"learning_rate": 0.01}, 3, state, loss, curve, flops=1e9, seconds=1.5)


class Deaf:
    """A tracker that fails."""

    def trial(self, trial: Trial) -> None:
        """Fail."""
        raise ConnectionError("no network")

    def result(self, name: str, values: object) -> None:
        """Never reached."""
        raise AssertionError

    def close(self) -> None:
        """Never reached."""
        raise AssertionError


def test_tensorboard_shows_curve_hyperparameters_and_verdict(tmp_path: Path) -> None:
    """Read back by TensorBoard's own reader; a diverged trial has no final loss."""
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    with Tracking(["tensorboard"], tmp_path, "mine") as tracking:
        tracking.trials([a_trial(), a_trial("b" * 64, math.inf)])
        tracking.result("check", {"verdict": "TRANSFERS", "spent": {"flops": 2e9}, "axes": [1, 2], "open": None})

    def events(folder: str) -> object:
        return accumulator.EventAccumulator(str(tmp_path / "tensorboard" / folder)).Reload()

    good, diverged, result = events("w64-d2/aaaaaaaaaaaa"), events("w64-d2/bbbbbbbbbbbb"), events("check")
    assert [(event.step, event.value) for event in good.Scalars("training loss")] == [(10, 5.5), (20, 4.0)]  # type: ignore[attr-defined]
    assert [(event.step, event.value) for event in good.Scalars("loss")] == [(20, 2.5)]  # type: ignore[attr-defined]
    assert "_hparams_/session_start_info" in good.Tags()["tensors"]  # type: ignore[attr-defined]
    assert "loss" not in diverged.Tags()["scalars"]  # type: ignore[attr-defined]
    assert result.Scalars("spent.flops")[0].value == 2e9  # type: ignore[attr-defined]
    assert result.Tensors("verdict")[0].tensor_proto.string_val == [b"TRANSFERS"]  # type: ignore[attr-defined]


def test_a_trial_is_logged_once_over_all_commands(tmp_path: Path) -> None:
    """The next command finds the first one's ledger."""
    pytest.importorskip("tensorboard")
    for _ in range(2):
        with Tracking(["tensorboard"], tmp_path, "mine") as tracking:
            tracking.trials([a_trial(), a_trial()])

    assert len(list((tmp_path / "tensorboard").rglob("events.*"))) == 1


def test_a_tracker_that_fails_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One warning, no exception, and the trial counts as not logged, so a later command tries again."""
    monkeypatch.setattr("hptransfer.report.tracking._open", lambda name, folder, recipe: Deaf())
    said: list[str] = []
    with Tracking(["wandb"], tmp_path, "mine", said.append) as tracking:
        tracking.trials([a_trial(), a_trial("b" * 64)])
        tracking.result("tune", {"loss": 2.5})

    assert said == ["warning: wandb is left alone from now on: ConnectionError: no network"]
    assert not (tmp_path / "logged-wandb.txt").exists()


@pytest.mark.parametrize("name", TRACKERS.names)
def test_a_missing_package_is_named_before_anything_is_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """The hint is the command that installs it."""
    loaded = [each for each in sys.modules if each.startswith(f"{name}.")]
    for module in (f"hptransfer.report.trackers.{name}", *loaded):
        monkeypatch.delitem(sys.modules, module, raising=False)
    monkeypatch.setitem(sys.modules, name, None)

    with pytest.raises(UsageError, match="must be installed") as caught:
        Tracking([name], tmp_path, "mine")

    assert caught.value.findings[0].hint == f"pip install 'hptransfer[{name}]'"


def test_no_tracker_costs_nothing(tmp_path: Path) -> None:
    """Nothing is written without `--log`."""
    with Tracking([], tmp_path, "mine") as tracking:
        tracking.trials([a_trial()])
        tracking.result("tune", {})

    assert list(tmp_path.iterdir()) == []


@pytest.mark.filterwarnings("default")  # the tracker's own
def test_mlflow_holds_a_run_per_trial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a store in the run folder; a second look at the same trial, from another folder's ledger, adds none."""
    tracking_module = pytest.importorskip("mlflow.tracking")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    for _ in range(2):
        with Tracking(["mlflow"], tmp_path, "mine") as tracking:
            tracking.trials([a_trial()])
        (tmp_path / "logged-mlflow.txt").unlink()
    client = tracking_module.MlflowClient(tracking_uri=f"sqlite:///{tmp_path / 'mlflow.db'}")
    (run,) = client.search_runs([client.get_experiment_by_name("hptransfer-mine").experiment_id])

    assert run.data.params["learning_rate"] == "0.01"
    assert run.data.metrics["loss"] == 2.5
    assert [(m.step, m.value) for m in client.get_metric_history(run.info.run_id, "training loss")] == [
        (10, 5.5),
        (20, 4.0),
    ]


@pytest.mark.filterwarnings("default")  # the tracker's own
def test_wandb_writes_a_run_offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With WANDB_MODE=offline nothing is sent; the run's files lie in the run folder."""
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    said: list[str] = []
    with Tracking(["wandb"], tmp_path, "mine", said.append) as tracking:
        tracking.trials([a_trial()])

    assert said == []
    (run,) = (tmp_path / "wandb").glob("offline-run-*")
    assert os.path.getsize(next(run.glob("*.wandb"))) > 100
