"""What a worker hands to a diagnostic: model, data and settings of one run, each made when it is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from hptransfer.parameterization.plan import Plan
from hptransfer.recipe.registered import DIAGNOSTICS
from hptransfer.trainers.torch import cached_corpus, planned, planned_model, training_settings
from hptransfer.trials.spec import TrialSpec, request_from_payload

if TYPE_CHECKING:  # torch is imported only where a worker measures
    from torch import nn

    from hptransfer.training.data import Corpus
    from hptransfer.training.loop import TrainingSettings


@dataclass(frozen=True, slots=True)
class Bench:
    """One run to measure in.

    Attributes:
        spec: size, hyperparameters and seed of the run.
        options: settings that the diagnostic's request added.
    """

    spec: TrialSpec
    options: Mapping[str, Any]

    @property
    def corpus(self) -> Corpus:
        """The recipe's data."""
        return cached_corpus(self.spec.recipe.data, self.spec.root)

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
        payload: a trial's, with "diagnostic" (its name) and "options" (the request's).

    Returns:
        "size", "seed" and what the diagnostic's `measure` returns.
    """
    spec = request_from_payload(payload)
    diagnostic = DIAGNOSTICS.look_up(payload["diagnostic"])
    measured = diagnostic.measure(Bench(spec, payload["options"]))
    return {"size": asdict(spec.size), "seed": spec.seed, **measured}
