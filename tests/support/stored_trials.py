"""Trials as a study stores them."""

from __future__ import annotations

import math

from hptransfer.hyperparameters import with_default_multipliers
from hptransfer.recipe.schema import Range
from hptransfer.sizes import Size
from hptransfer.storage.trials import TrialStore
from hptransfer.trials.trial import Trial, TrialState

EXPERIMENT = "0123456789abcdef" * 4
SPACE = {"learning_rate": Range(low=0.001, high=0.1)}
SIZE = Size(64, 2, 32, 1000)


def a_trial(key: str = "k1", loss: float = 2.5, learning_rate: float = 0.01, size: Size = SIZE) -> Trial:
    """A finished trial; a loss that is not finite makes it diverged."""
    return Trial(
        key=key,
        size=size,
        hyperparameters=with_default_multipliers({"learning_rate": learning_rate, "weight_decay": 0.0}),
        seed=3,
        state=TrialState.COMPLETE if math.isfinite(loss) else TrialState.DIVERGED,
        loss=loss,
        curve=((1, 5.5), (2, 4.0)),
        flops=1e9,
        seconds=1.5,
        provenance={"torch": "2.13.0"},
    )


def record(store: TrialStore, trial: Trial, phase: str = "search") -> None:
    """Starts and finishes a trial."""
    opened = store.start(trial.key, trial.size, trial.hyperparameters, trial.seed, phase)
    store.finish(opened, trial)
