"""One run, as a training function of the user's gets it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cached_property
from numbers import Real
from pathlib import Path
from typing import TYPE_CHECKING

from hptransfer.errors import UsageError
from hptransfer.recipe.sections import Setting
from hptransfer.sizes import Size
from hptransfer.trainers._stream import LAST_STEP, Stream
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
        flops: set it to the run's floating point operations where the function knows them, finite and at least 0.
        fault: what the function reported wrongly, also where it caught the error; None: nothing.
    """

    def __init__(self, spec: TrialSpec, arguments: Mapping[str, Setting], stream: Stream) -> None:
        self.size: Size = spec.size
        self.base: Size = spec.base
        self.hyperparameters: dict[str, float] = dict(spec.hyperparameters)
        self.seed: int = spec.seed
        self.steps: int = spec.recipe.steps(spec.size)
        self.arguments: dict[str, Setting] = dict(arguments)
        self.root: Path = spec.root
        self.fault: UsageError | None = None
        self._flops: float | None = None
        self._spec, self._stream = spec, stream

    @property
    def flops(self) -> float | None:
        """Floating point operations of the run; None: not known."""
        return self._flops

    @flops.setter
    def flops(self, value: object) -> None:
        found = None if value is None else plain_number(value)
        if value is not None and (found is None or not 0 <= found < math.inf):
            raise self._refused("`trial.flops` must be a finite number, at least 0", value)
        self._flops = found

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
        from hptransfer.models.applied_plan import AppliedPlan
        from hptransfer.models.planning import plan_recipe

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
            step: optimizer steps done, a whole number from 1 to 2**53, increasing; the same again replaces its value.
            value: of the objective or of the training loss, a number; a tensor without dimensions is one.

        Raises:
            UsageError: the step or the value is none.
        """
        done, found = plain_number(step), plain_number(value)
        if done is None or not 1 <= done <= LAST_STEP or done != int(done):
            raise self._refused("`trial.report` takes a step, a whole number from 1 to 2**53", step)
        if found is None:
            raise self._refused(f"`trial.report` takes a value, a number, at step {int(done)}", value)
        try:
            self._stream.report(int(done), found)
        except UsageError as error:
            self.fault = error
            raise
        if self._stream.stopped:
            raise StoppedError

    def _refused(self, rule: str, value: object) -> UsageError:
        self.fault = UsageError(rule, received=f"{type(value).__name__} {str(value)[:80]}")
        return self.fault


class StoppedError(Exception):
    """Whoever listens to the values ended the run."""


def plain_number(value: object) -> float | None:
    """A number of Python, numpy or torch as a float, maybe not finite; None for whatever else, text and truth included.

    Args:
        value: a number, or an array or tensor without dimensions.
    """
    item = getattr(value, "item", None)
    if callable(item) and getattr(value, "ndim", None) == 0:
        value = item()
    if isinstance(value, bool) or not isinstance(value, Real):
        return None
    try:
        return float(value)
    except OverflowError:  # a whole number beyond all floats
        return None
