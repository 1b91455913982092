"""Early stopping: at which training loss a hopeless trial ends before its time.

Asynchronous successive halving (Li et al., "A System for Massively Parallel Hyperparameter Tuning", arXiv 1810.05934):
at each rung a trial goes on when it is among the better half of those that came so far. Against bias there is a second
condition: it goes on as well when any trial that ended close to the best was as high at this rung, because small
learning rates start slowly and large ones gain most from the schedule's end. Limits are decided with the trial, from
finished trials alone, so they do not depend on timing and survive an interruption.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hptransfer.trials.trial import Trial, TrialState

#: shares of the run at which trials are compared
RUNGS = (0.25, 0.5)
#: fewer trials at a rung compare nothing
_FEWEST = 4
#: trials that end within this fraction of the best loss are close to it
_CLOSE = 0.02


@dataclass(frozen=True, slots=True)
class Rung:
    """A place where a trial may be stopped.

    Attributes:
        step: optimizer steps done.
        limit: the mean training loss over the last tenth of the run before it may not be higher, nats.
    """

    step: int
    limit: float


def rungs(trials: Sequence[Trial], steps: int) -> tuple[Rung, ...]:
    """Where a new trial would be stopped.

    Args:
        trials: complete and stopped ones of the same size; divergences compare nothing.
        steps: of a whole run.

    Returns:
        No rung at which fewer than four trials can be compared, or before anything is complete.
    """
    complete = [trial for trial in trials if trial.state is TrialState.COMPLETE]
    if not complete:
        return ()
    close = min(trial.loss for trial in complete) * (1 + _CLOSE)
    found = []
    for share in RUNGS:
        step = max(1, round(share * steps))
        seen = [loss for trial in trials if (loss := loss_at(trial, step, steps)) is not None]
        guarded = [
            loss for trial in complete if trial.loss <= close and (loss := loss_at(trial, step, steps)) is not None
        ]
        if len(seen) >= _FEWEST and guarded:
            found.append(Rung(step, max(float(np.median(seen)), *guarded)))
    return tuple(found)


def loss_at(trial: Trial, step: int, steps: int) -> float | None:
    """Mean training loss over the last tenth of the run before a step; None where the trial did not come so far."""
    if trial.state is TrialState.DIVERGED or not trial.curve or trial.curve[-1][0] < step:
        return None
    recent = [loss for at, loss in trial.curve if step - steps / 10 < at <= step]
    return sum(recent) / len(recent) if recent else None
