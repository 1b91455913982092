"""The user's own training loop: a function that gets a run and returns the final value of the objective."""

from __future__ import annotations

import contextlib
import math
import os
import time
from collections.abc import Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from hptransfer.artifacts.watch import OFF, PATH_VARIABLE
from hptransfer.errors import UsageError
from hptransfer.provenance import versions
from hptransfer.recipe.schema import Recipe
from hptransfer.recipe.trainer_sections import FunctionTrainer
from hptransfer.registry import current_folder_first, require_trusted
from hptransfer.trainers._stream import DivergedError, Stream
from hptransfer.trainers._trial_run import StoppedError, TrialRun, plain_number
from hptransfer.trainers.base import Capabilities
from hptransfer.trials.code import code_digests
from hptransfer.trials.messages import TrialMessage, TrialResult
from hptransfer.trials.trial import OnLoss, Trial, TrialState, ignore

#: of how the function is called and its result read; the function's code is in the keys by itself
VERSION = 1


class RunsFunction:
    """Calls the function that the recipe's `trainer` section names."""

    name = "function"
    version = VERSION
    capabilities = Capabilities(streams_losses=True, follows_rules=True)

    def identity(self, recipe: Recipe) -> Mapping[str, Any]:
        """The function's name and its arguments."""
        section = _section(recipe)
        arguments = {"arguments": dict(section.arguments)} if section.arguments else {}
        return {"function": section.function, **arguments}

    def code(self, recipe: Recipe, root: Path) -> dict[str, str]:
        """As `Trainer.code`: the function's module, and those that it imports."""
        return code_digests(_section(recipe).function, root)

    def run(self, message: TrialMessage, on_loss: OnLoss = ignore) -> TrialResult:
        """Call the function once, in this process.

        Raises:
            UsageError: there is no such function, or what it returned or reported is no number.
        """
        spec, section = message.spec, _section(message.recipe)
        sign = spec.recipe.objective.sign
        stream = Stream(on_loss, sign)
        trial = TrialRun(spec, section.arguments, stream)
        started = time.monotonic()
        loss, state = math.inf, TrialState.DIVERGED
        with current_folder_first(), _unwatched():
            function = _imported(section.function)
            value: object = None
            with contextlib.suppress(DivergedError, StoppedError):
                value = function(trial)
            # asked of the stream: the function may have caught what ended its run
            if stream.stopped:
                state = TrialState.STOPPED
            elif not stream.diverged:
                if trial.fault is not None:
                    raise trial.fault
                loss = sign * _number(value, section.function)
        if math.isfinite(loss):
            state = TrialState.COMPLETE
        record = Trial(
            key=message.key,
            size=spec.size,
            hyperparameters=spec.hyperparameters,
            seed=spec.seed,
            state=state,
            loss=loss if state is TrialState.COMPLETE else math.inf,
            curve=stream.curve,
            flops=float(trial.flops or 0.0),
            seconds=time.monotonic() - started,
            provenance=_provenance(trial, message.fingerprint),
        )
        return TrialResult.of(record)


@contextlib.contextmanager
def _unwatched() -> Iterator[None]:
    """A loop that calls `hptransfer.watch` records nothing, but where the coordinate check has named a file."""
    named = PATH_VARIABLE in os.environ
    os.environ.setdefault(PATH_VARIABLE, OFF)
    try:
        yield
    finally:
        if not named:
            del os.environ[PATH_VARIABLE]


def _section(recipe: Recipe) -> FunctionTrainer:
    if not isinstance(recipe.trainer, FunctionTrainer):
        raise UsageError("the trainer `function` must be told its function", received=str(recipe.trainer))
    return recipe.trainer


def _imported(reference: str) -> Any:
    require_trusted(reference)
    module, _, attribute = reference.partition(":")
    try:
        function: Any = import_module(module)
        for part in attribute.split("."):
            function = getattr(function, part)
    except (ImportError, AttributeError) as error:
        raise UsageError(
            "the training function must be importable",
            received=f"{reference}: {type(error).__name__}: {error}",
            hint="modules are looked for in the recipe's folder, the working directory and what is installed",
        ) from error
    return function


def _number(value: object, reference: str) -> float:
    """What the function returned, as a number; a 0-d tensor is one."""
    number = plain_number(value)
    if number is None:
        shape = f" of shape {tuple(value.shape)}" if hasattr(value, "shape") else ""
        raise UsageError(
            "a training function must return the final value of the objective, a number",
            received=f"{reference} returned {type(value).__name__}{shape}",
            hint="end it with `return loss`",
        )
    return number


def _provenance(trial: TrialRun, fingerprint: str | None) -> dict[str, str]:
    with contextlib.suppress(ImportError):  # a loop without torch is welcome
        return versions("torch") | {"device": trial.device, "data": fingerprint or ""}
    return versions() | {"device": "cpu", "data": fingerprint or ""}


TRAINER = RunsFunction()
