"""What happens to trials while a session works, and who hears of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from hptransfer.sizes import Size
from hptransfer.trials.trial import Trial

EventKind = Literal["started", "finished", "reused", "retried", "failed", "left out"]


@dataclass(frozen=True, slots=True)
class TrialEvent:
    """Something happened to a trial.

    Attributes:
        kind: "started", "finished" (trained just now), "reused" (trained before), "retried" (killed, runs again),
            "failed", or "left out" (failed in an earlier run, not tried again).
        size: width, depth, batch and tokens of the trial.
        hyperparameters: base-size values by name.
        seed: of initialisation and data order.
        cost: relative cost of the trial, in any unit that is common to all.
        trial: the result, when there is one.
        message: why it failed.
    """

    kind: EventKind
    size: Size
    hyperparameters: Mapping[str, float]
    seed: int
    cost: float
    trial: Trial | None = None
    message: str = ""


OnEvent = Callable[[TrialEvent], None]


class Listener(Protocol):
    """Hears of finished trials and of results, for example to log them elsewhere."""

    def trials(self, trials: Iterable[Trial]) -> None:
        """Trials that are finished; the same ones may come again."""

    def result(self, name: str, document: Mapping[str, Any]) -> None:
        """What a step found.

        Args:
            name: of the step: "tune" or "check".
            document: the result as JSON-able data.
        """
