"""What the command line says to the commands that train, as one value; standard library only, for a fast help."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

#: what to do where finished trials would not be used any more: go on with the recipe as it is now, or as it was
OnChange = Literal["new", "keep"]


@dataclass(frozen=True, slots=True)
class BudgetOptions:
    """What the command line says about the budget, as written; each overrides its key of the recipe's `budget`.

    Attributes:
        max_trials: finished trials of the recipe in all, at least 1.
        max_flops: floating point operations of its trials in all.
        max_time: wall time of the command as text, "30m" or "2h".
        trial_time: wall time of a trial as text, "90s" or "10m".
        trial_memory: resident memory of a trial as text, "4GB".
    """

    max_trials: int | None = None
    max_flops: float | None = None
    max_time: str | None = None
    trial_time: str | None = None
    trial_memory: str | None = None


@dataclass(frozen=True, slots=True)
class Launch:
    """How the processes of one trial are started; each attribute overrides the recipe's `training.processes`.

    Attributes:
        launcher: "none" trains in the worker itself, "torchrun" starts several processes.
        processes: that train one trial together.
    """

    launcher: Literal["none", "torchrun"] | None = None
    processes: int | None = None


@dataclass(frozen=True, slots=True)
class TrainingOptions:
    """What `tune`, `check` and `run` have in common.

    Attributes:
        recipe: path or name of a recipe.
        runs: the folder of run folders.
        workers: trials at a time.
        budget: limits.
        launch: of each trial.
        on_change: which recipe holds where finished trials do not belong to it as it is now; None refuses.
        storage: address of a database whose workers train; None to train here.
        log: trackers that trials and results are logged to.
        as_json: print the result as JSON.
        quiet: no progress.
    """

    recipe: str
    runs: Path
    workers: int
    budget: BudgetOptions = BudgetOptions()
    launch: Launch = Launch()
    on_change: OnChange | None = None
    storage: str | None = None
    log: tuple[str, ...] = ()
    as_json: bool = False
    quiet: bool = False
