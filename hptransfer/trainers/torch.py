"""The built-in trainer: whatever model can be built here, trained by torch in one process or in several."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hptransfer.recipe.schema import Recipe
from hptransfer.trainers._plan_values import require_applied
from hptransfer.trainers._torch_runs import train_trial
from hptransfer.trainers._torchrun import run_processes
from hptransfer.trainers.base import Capabilities
from hptransfer.trials.identity import ModelReader
from hptransfer.trials.messages import TrialMessage, TrialResult
from hptransfer.trials.trial import OnLoss, ignore

#: Raise it with every change after which the same run may end with another loss (initialisation, batches, loop,
#: schedules, optimizers, models): finished trials of the version before are then not used any more, which is said.
#: tests/trainers/test_golden_curves.py notices such a change.
VERSION = 1


class TorchTrainer:
    """Trains the recipe's model by the plan of its size."""

    name = "torch"
    version = VERSION
    capabilities = Capabilities(
        streams_losses=True, diagnostics=True, processes=True, follows_rules=True, counts_flops=True
    )

    def identity(self, recipe: Recipe) -> Mapping[str, Any]:
        """Nothing besides recipe, rules and version: versions of torch change losses by rounding alone."""
        return {}

    def code(self, recipe: Recipe, root: Path) -> Mapping[str, str]:
        """None: its section names no code."""
        return {}

    def require_trainable(self, recipe: Recipe, root: Path, reader: ModelReader) -> None:
        """Refuses a gauge whose factors the model does not apply, before any run is started.

        Args:
            recipe: what its runs are described by.
            root: the recipe's folder, where relative names start.
            reader: of the recipe's model.

        Raises:
            UsageError: `forward` lacks a factor.
        """
        if recipe.model.kind != "external":
            require_applied(recipe, reader)

    def run(self, message: TrialMessage, on_loss: OnLoss = ignore) -> TrialResult:
        """Train one model, with as many processes as the recipe says; several of them announce no losses."""
        processes = message.recipe.training.processes
        return run_processes(message, processes) if processes > 1 else train_trial(message, on_loss=on_loss)


TRAINER = TorchTrainer()
