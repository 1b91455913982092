"""A training function as `trainer: {function: ...}` calls it: the model and loop of plain_train.py, without a process.

`trial` has the run's size, hyperparameters and seed; `report` takes the training loss on the way, and what is returned
is the objective's final value (docs/trainers.md).
"""

import plain_train

from hptransfer import TrialRun


def train(trial: TrialRun) -> float:
    """One run; the loss on held-out text, in nats per byte."""
    return plain_train.train(
        width=trial.size.width,
        lr=trial.hyperparameters["learning_rate"],
        steps=trial.steps,
        batch=trial.size.batch_size,
        seed=trial.seed,
        report=trial.report,
    )
