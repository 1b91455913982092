"""One run, as a training function of the user's gets it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from hptransfer.errors import UsageError
from hptransfer.recipe.sections import Setting
from hptransfer.sizes import Size
from hptransfer.trainers._stream import Stream
from hptransfer.trials.spec import TrialSpec

if TYPE_CHECKING:  # torch is imported only where a worker trains
    from hptransfer.models.applied_plan import AppliedPlan


class TrialRun:
    """One run, as a training function gets it.

    Args:
        spec: size, hyperparameters and seed of the run, and its recipe.
        arguments: from the recipe's `trainer` section.
        stream: takes what is reported.

    Attributes:
        size: width, depth, batch_size (examples per step) and tokens (predictions over the run).
        base: the size at which the hyperparameters hold as they are.
        hyperparameters: base-size value by name: "learning_rate", "weight_decay", "warmup", ...
        seed: of initialisation and data order, at least 0.
        steps: optimizer steps of the run.
        device: where to train, "cuda" where this process sees a GPU, else "cpu".
        arguments: from the recipe's `trainer` section.
        root: absolute path of the recipe's folder.
        flops: set it to the run's floating point operations where the function knows them.
    """

    def __init__(self, spec: TrialSpec, arguments: Mapping[str, Setting], stream: Stream) -> None:
        self.size: Size = spec.size
        self.base: Size = spec.base
        self.hyperparameters: dict[str, float] = dict(spec.hyperparameters)
        self.seed: int = spec.seed
        self.steps: int = spec.recipe.steps(spec.size)
        self.arguments: dict[str, Setting] = dict(arguments)
        self.root: Path = spec.root
        self.flops: float | None = None
        self._spec, self._stream = spec, stream

    @cached_property
    def device(self) -> str:
        """Where to train."""
        import torch

        return "cuda" if torch.cuda.is_available() else "cpu"

    @cached_property
    def plan(self) -> AppliedPlan:
        """What every parameter gets at the run's size: `init_(model, seed)`, `param_groups(model)`, `optimizer_values`.

        Raises:
            UsageError: the recipe names no model that could be read.
        """
        from hptransfer.models.api import plan_recipe
        from hptransfer.models.applied_plan import AppliedPlan

        if self._spec.recipe.model.kind == "external":
            raise UsageError(
                "a plan needs a model that can be read",
                received="a recipe without `model`",
                hint="write `model: {kind: factory, factory: 'module:function'}`, or use `trial.hyperparameters`",
            )
        return AppliedPlan.from_plan(plan_recipe(self._spec.recipe, self.size, self.hyperparameters))

    def report(self, step: int, value: float) -> None:
        """Record the objective on the way: learning curves are made of it, and a value that is not finite ends the run.

        Args:
            step: optimizer steps done, from 1, increasing.
            value: of the objective or of the training loss, a number.
        """
        self._stream.report(int(step), float(value))
        if self._stream.stopped:
            raise StoppedError


class StoppedError(Exception):
    """Whoever listens to the values ended the run."""
