"""Weights & Biases: a run per trial in a project of the recipe's name; `WANDB_MODE=offline` sends nothing."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import wandb

from hptransfer.report.tracking import final, numbers
from hptransfer.trials.trial import Trial


class WandbSink:
    """Runs are known by the trial's key, so that logging one again continues it."""

    def __init__(self, folder: Path, recipe: str) -> None:
        self._place = {"project": f"hptransfer-{recipe}", "dir": str(folder), "reinit": "create_new"}

    def trial(self, trial: Trial) -> None:
        """One run, in the group of its size."""
        with wandb.init(
            **self._place,
            id=trial.key[:32],
            resume="allow",
            group=trial.size.label,
            job_type="trial",
            config=dict(numbers(trial)),
        ) as run:
            for step, loss in trial.curve:
                run.log({"training loss": loss}, step=step)
            run.summary.update(final(trial))

    def result(self, name: str, values: Mapping[str, float | str]) -> None:
        """One run per time that a command ended."""
        with wandb.init(**self._place, name=name, job_type="result") as run:
            run.summary.update(dict(values))

    def close(self) -> None:
        """Nothing is open between calls."""


def open_sink(folder: Path, recipe: str) -> WandbSink:
    """The sink of a run folder."""
    return WandbSink(folder, recipe)
