"""MLflow: a run per trial in an experiment of the recipe's name, where MLFLOW_TRACKING_URI says, or on disk."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path

from mlflow.entities import Metric, Param, RunTag
from mlflow.tracking import MlflowClient

from hptransfer.report.tracking import final, numbers
from hptransfer.trials.trial import Trial

_LONGEST = 500  # characters of a parameter's value


class MlflowSink:
    """Trials are tagged `hptransfer.key`, so that one is not logged twice into a server that has it."""

    def __init__(self, place: str, recipe: str) -> None:
        self._client = MlflowClient(tracking_uri=place)
        name = f"hptransfer-{recipe}"
        found = self._client.get_experiment_by_name(name)
        self._experiment = self._client.create_experiment(name) if found is None else found.experiment_id

    def trial(self, trial: Trial) -> None:
        """One run."""
        known = self._client.search_runs([self._experiment], f"tags.`hptransfer.key` = '{trial.key}'", max_results=1)
        if known:
            return
        now = int(1000 * time.time())
        steps = trial.curve[-1][0] if trial.curve else 0
        metrics = [Metric("training loss", loss, now, step) for step, loss in trial.curve]
        metrics += [Metric(name, value, now, steps) for name, value in final(trial).items()]
        params = [Param(name, str(value)) for name, value in numbers(trial).items()]
        self._run(f"{trial.size.label}-{trial.key[:8]}", metrics, params, {"hptransfer.key": trial.key})

    def result(self, name: str, values: Mapping[str, float | str]) -> None:
        """One run per time that a command ended."""
        now = int(1000 * time.time())
        metrics = [Metric(tag, value, now, 0) for tag, value in values.items() if not isinstance(value, str)]
        words = [Param(tag, value[:_LONGEST]) for tag, value in values.items() if isinstance(value, str)]
        self._run(name, metrics, words, {"hptransfer.result": name})

    def close(self) -> None:
        """Nothing is open between calls."""

    def _run(self, name: str, metrics: list[Metric], params: list[Param], tags: Mapping[str, str]) -> None:
        run = self._client.create_run(self._experiment, run_name=name).info.run_id
        labels = [RunTag(key, value) for key, value in tags.items()]
        # 1000 entries at a time are allowed in all, 100 parameters: a trial has a few dozen and a hundred points
        self._client.log_batch(run, metrics=metrics, params=params[:100], tags=labels)
        self._client.set_terminated(run)


def open_sink(folder: Path, recipe: str) -> MlflowSink:
    """The sink of a run folder, or of the server that the environment names."""
    place = os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{(folder / 'mlflow.db').absolute()}"
    return MlflowSink(place, recipe)
