"""One finished training run as an immutable record, whatever trained it; why a trial was run, and why one failed."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

from hptransfer.errors import UsageError
from hptransfer.sizes import Size

#: most points of a learning curve that is kept
CURVE_POINTS = 100


class TrialState(StrEnum):
    """How a trial ended; each member is the word users see."""

    COMPLETE = "complete"
    DIVERGED = "diverged"
    STOPPED = "stopped"


#: of a trial's provenance: standard error of its loss over the evaluation set, in the loss's unit, as text
EVALUATION_ERROR = "evaluation_error"


@dataclass(frozen=True, slots=True)
class Trial:
    """The record of one run.

    Attributes:
        key: sha256 (hex) of everything that determines the run; two trials with one key are the same run.
        size: width, depth, batch, tokens.
        hyperparameters: base-size values by name, before any rule scaled them.
        seed: seeds initialisation and data order.
        state: complete or diverged, or stopped before its last step (never evidence); crashes are not trials.
        loss: final validation loss in the unit of the loss; not finite exactly when diverged.
        curve: (step, training loss) pairs, at most a few hundred.
        flops: training cost, floating point operations (6 * parameters * tokens for matrices).
        seconds: wall time of training by a monotonic clock.
        provenance: versions, data fingerprint, device, and what the loss was measured on, with its unit.
    """

    key: str
    size: Size
    hyperparameters: Mapping[str, float]
    seed: int
    state: TrialState
    loss: float
    curve: tuple[tuple[int, float], ...] = ()
    flops: float = 0.0
    seconds: float = 0.0
    provenance: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if (self.state is TrialState.COMPLETE) != math.isfinite(self.loss):
            raise ValueError(
                f"a trial's loss is finite exactly when it is complete, but got {self.state=} {self.loss=}"
            )


def trial_to_dict(trial: Trial) -> dict[str, Any]:
    """The record as JSON-able data; a loss that is not finite becomes null, because JSON has no NaN."""
    data = {name: getattr(trial, name) for name in Trial.__dataclass_fields__}
    return data | {
        "size": asdict(trial.size),
        "hyperparameters": dict(trial.hyperparameters),
        "state": trial.state.value,
        "loss": trial.loss if math.isfinite(trial.loss) else None,
        "curve": [list(point) for point in trial.curve],
        "provenance": dict(trial.provenance),
    }


def trial_from_dict(data: Mapping[str, Any]) -> Trial:
    """The inverse of `trial_to_dict`; a null loss becomes infinity, FLOPs that count nothing become 0.

    Raises:
        ValueError: loss and state contradict each other.
        KeyError, TypeError: a field is missing or unknown.
    """
    flops = data.get("flops", 0.0)
    return Trial(
        **{
            **data,
            "flops": 0.0 if isinstance(flops, float) and not 0 <= flops < math.inf else flops,
            "size": Size(**data["size"]),
            "state": TrialState(data["state"]),
            "loss": math.inf if data["loss"] is None else data["loss"],
            "curve": tuple((int(step), float(loss)) for step, loss in data["curve"]),
        }
    )


def recorded_trial(attributes: Mapping[str, Any]) -> Trial | None:
    """The record among what a database keeps of an attempt; None where there is none, or it is damaged.

    Args:
        attributes: of the attempt, as the database has them; the record is under "trial".
    """
    try:
        trial = trial_from_dict(attributes["trial"])
        size, values = asdict(trial.size).values(), dict(trial.hyperparameters)
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, UsageError):
        return None
    numbers = (*values.values(), trial.loss, trial.flops, trial.seconds)
    sound = (
        isinstance(trial.key, str)
        and all(type(number) is int for number in (*size, trial.seed))
        and all(type(number) in (int, float) for number in numbers)
        and isinstance(trial.provenance, Mapping)
    )
    return trial if sound else None


#: called with the optimizer steps done, from 1, and the loss there; True asks the run to end
OnLoss = Callable[[int, float], bool | None]


def ignore(step: int, loss: float) -> bool:
    """Nobody listens to the losses.

    Args:
        step: optimizer steps done, from 1.
        loss: on the way, as what is minimized.
    """
    return False


#: causes that would repeat themselves: such a trial is not run again before `hptransfer retry`
BLOCKING_CAUSES = ("error", "out of memory", "timeout")


class Phase(StrEnum):
    """What a trial was first trained for; each member is the word in the database and in messages."""

    SEARCH = "search"
    CONFIRM = "confirm"
    CHECK = "check"
