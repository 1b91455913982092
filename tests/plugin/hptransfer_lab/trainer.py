"""A trainer from outside the package: a loss that is a function of width and learning rate, without torch."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hptransfer.recipe.schema import Recipe
from hptransfer.trainers.base import Capabilities
from hptransfer.trials.messages import TrialMessage, TrialResult
from hptransfer.trials.trial import OnLoss, Trial, TrialState, ignore


class Valley:
    """The optimum is 2^-6 at every width; above 2^-3 training diverges."""

    name = "valley"
    version = 3
    capabilities = Capabilities()

    def identity(self, recipe: Recipe) -> Mapping[str, Any]:
        """Its one constant."""
        return {"optimum": "2^-6"}

    def code(self, recipe: Recipe, root: Path) -> Mapping[str, str]:
        """None besides this module."""
        return {}

    def run(self, message: TrialMessage, on_loss: OnLoss = ignore) -> TrialResult:
        """A parabola in octaves, a little noise per seed."""
        x = math.log2(message.hyperparameters["learning_rate"])
        noise = 0.001 * math.sin(100 * x + message.seed)
        loss = 2 + 0.05 * (x + 6) ** 2 + 0.3 / message.size.width**0.5 + noise
        state = TrialState.DIVERGED if x > -3 else TrialState.COMPLETE
        final = math.inf if state is TrialState.DIVERGED else loss
        values, size = message.hyperparameters, message.size
        return TrialResult.of(Trial(message.key, size, values, message.seed, state, final, flops=1e6, seconds=0.1))


TRAINER = Valley()
