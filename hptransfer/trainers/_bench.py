"""What a worker hands to a diagnostic: model, data and settings of one run, each made when it is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from hptransfer.parameterization.plan import Plan
from hptransfer.recipe.registered import DIAGNOSTICS
from hptransfer.registry import look_in
from hptransfer.trainers._data import accepted_batches
from hptransfer.trainers._planned_model import planned, planned_model
from hptransfer.trainers._torch_runs import training_settings
from hptransfer.trainers._watched import watched
from hptransfer.trials.messages import DiagnosticMessage
from hptransfer.trials.spec import TrialSpec

if TYPE_CHECKING:  # torch is imported only where a worker measures
    from torch import nn

    from hptransfer.training.batches import Batches
    from hptransfer.training.loop import TrainingSettings


@dataclass(frozen=True, slots=True)
class Bench:
    """One run to measure in.

    Attributes:
        message: the coordinator's, with the run and the request's options.
    """

    message: DiagnosticMessage

    @property
    def spec(self) -> TrialSpec:
        """Size, hyperparameters and seed of the run."""
        return self.message.spec

    @property
    def options(self) -> Mapping[str, Any]:
        """Settings that the diagnostic's request added."""
        return self.message.options

    @property
    def corpus(self) -> Batches:
        """The recipe's data.

        Raises:
            UsageError: the data here are not the coordinator's.
        """
        return accepted_batches(self.message)

    @property
    def settings(self) -> TrainingSettings:
        """How the run trains: steps, batch, schedule and what the optimizer reads."""
        return training_settings(self.spec)

    @property
    def plan(self) -> Plan:
        """What every parameter gets at the run's size."""
        return planned(self.spec)

    def model(self) -> tuple[nn.Module, list[dict[str, Any]]]:
        """A model as it is before the first step, made anew at each call, and its optimizer groups."""
        return planned_model(self.spec)


def run_diagnostic(payload: Mapping[str, Any]) -> dict[str, Any]:
    """Measure what a diagnostic asked for; an entry point of a worker.

    Args:
        payload: JSON-able data of a `DiagnosticMessage`.

    Returns:
        "size", "seed" and what the diagnostic's `measure` returns.
    """
    message = DiagnosticMessage.parse(payload)
    look_in(message.root)
    if message.recipe.trainer.watches:
        measured: Mapping[str, Any] = watched(message)
    else:
        measured = DIAGNOSTICS.look_up(message.diagnostic).measure(Bench(message))
    return {"size": asdict(message.size), "seed": message.seed, **measured}
