"""What coordinators and workers send each other: one writer and one reader per kind of message, with a format number.

A message travels as JSON through a pipe, a queue or a file. A coordinator computes a trial's key once; the worker that
trains it echoes the key, and refuses where the data it reads are not those that the key was computed from.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from hptransfer.errors import UsageError
from hptransfer.parameterization.roles import InitSource
from hptransfer.recipe.model_sections import Model
from hptransfer.recipe.schema import (
    Recipe,
)
from hptransfer.sizes import Size
from hptransfer.trials.spec import TrialSpec
from hptransfer.trials.trial import Trial, trial_from_dict, trial_to_dict

#: "module:function" that a worker process runs with every message
ENTRY = "hptransfer.trainers._tasks:work"
#: optimizer steps that the task "timing" times
TIMED_STEPS = 20


class Message(BaseModel):
    """What all messages have in common."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, ser_json_inf_nan="constants")

    FORMAT: ClassVar[int] = 1

    format: Literal[1] = 1
    """number of the messages' format, raised whenever a field changes its name, unit or meaning"""

    @classmethod
    def parse(cls, payload: Mapping[str, Any]) -> Self:
        """Read a message.

        Args:
            payload: what `payload` gave, after any number of trips through JSON.

        Raises:
            UsageError: it has another format, as messages of another version do, or is no such message.
        """
        if payload.get("format") != cls.FORMAT:
            raise UsageError(
                f"coordinator and worker must send messages of format {cls.FORMAT}",
                received=f"format {payload.get('format')!r}",
                hint="install the same version of hptransfer everywhere",
            )
        try:
            # through JSON text: pydantic's strict mode, in which recipes are read, takes a list for a tuple there only
            return cls.model_validate_json(json.dumps(payload))
        except ValidationError as error:
            fault = error.errors(include_url=False)[0]
            place = ".".join(map(str, fault["loc"]))
            raise UsageError(f"a message must be a {cls.__name__}", received=f"{place}: {fault['msg']}") from error

    def payload(self) -> dict[str, Any]:
        """The message as JSON-able data."""
        return self.model_dump(mode="json")


class SpecMessage(Message):
    """A task about one model of a recipe; the base of all that train."""

    task: str
    """which of the worker's tasks is meant"""
    recipe: Recipe
    """gives model, data, training and parameterization"""
    root: Path
    """the recipe's folder on the worker's machine, where data patterns start"""
    size: Size
    """width, depth, batch (examples per step) and tokens (predicted positions over the run)"""
    hyperparameters: dict[str, float]
    """base-size value of every hyperparameter, by its name"""
    seed: int
    """of initialisation and data order, at least 0"""
    fingerprint: str | None = None
    """sha256 (hex) of the data that the coordinator read; None accepts whatever the worker finds"""

    @property
    def spec(self) -> TrialSpec:
        """The run that the message is about."""
        return TrialSpec(self.recipe, self.root, self.size, self.hyperparameters, self.seed)


def _fields(spec: TrialSpec, fingerprint: str | None) -> dict[str, Any]:
    return {
        "recipe": spec.recipe,
        "root": spec.root,
        "size": spec.size,
        "hyperparameters": dict(spec.hyperparameters),
        "seed": spec.seed,
        "fingerprint": fingerprint,
    }


class TrialMessage(SpecMessage):
    """Train one model; a `TrialResult` answers it."""

    task: Literal["trial"] = "trial"
    key: str
    """the trial's key, sha256 (hex), which the answer carries"""
    scratch: Path | None = None
    """folder on the worker's machine where a long trial may keep its state; None: it keeps none"""
    folder: Path | None = None
    """the run folder on the worker's machine, where logs are kept; None: there is none"""

    @classmethod
    def of(
        cls,
        spec: TrialSpec,
        key: str,
        fingerprint: str | None = None,
        scratch: Path | None = None,
        folder: Path | None = None,
    ) -> Self:
        """The message about a run.

        Args:
            spec: the run that is wanted.
            key: its key, sha256 (hex).
            fingerprint: sha256 (hex) of the data that the key was computed from; None accepts any.
            scratch: folder on the worker's machine for the state of a long trial; None for none.
            folder: the run folder, where logs are kept; None: there is none.
        """
        return cls(**_fields(spec, fingerprint), key=key, scratch=scratch, folder=folder)


class DiagnosticMessage(SpecMessage):
    """Measure what a diagnostic asks for in one run; what its `measure` returns answers it, with "size" and "seed"."""

    task: Literal["diagnostic"] = "diagnostic"
    diagnostic: str
    """name of the diagnostic, or `module:attribute`"""
    options: dict[str, Any]
    """JSON-able settings that determine the measurement in addition to the run"""

    @classmethod
    def of(
        cls, diagnostic: str, spec: TrialSpec, fingerprint: str | None = None, options: Mapping[str, Any] | None = None
    ) -> Self:
        """The message about a run.

        Args:
            diagnostic: name of the diagnostic, or `module:attribute`.
            spec: the run to measure in.
            fingerprint: sha256 (hex) of the coordinator's data; None accepts any.
            options: JSON-able settings of the measurement; None for none.
        """
        return cls(**_fields(spec, fingerprint), diagnostic=diagnostic, options=dict(options or {}))


class TimingMessage(SpecMessage):
    """Time the first steps of one run."""

    task: Literal["timing"] = "timing"

    @classmethod
    def of(cls, spec: TrialSpec, fingerprint: str | None = None) -> Self:
        """The message about a run.

        Args:
            spec: the run whose first steps are timed.
            fingerprint: sha256 (hex) of the coordinator's data; None accepts any.
        """
        return cls(**_fields(spec, fingerprint))


class RehearsalMessage(SpecMessage):
    """Run one forward and one backward pass; the answer's "faults" says why the run could not train."""

    task: Literal["rehearsal"] = "rehearsal"

    @classmethod
    def of(cls, spec: TrialSpec, fingerprint: str | None = None) -> Self:
        """The message about a run.

        Args:
            spec: the run whose first step is rehearsed.
            fingerprint: sha256 (hex) of the coordinator's data; None accepts any.
        """
        return cls(**_fields(spec, fingerprint))


class CostMessage(Message):
    """Count what one run of each of several sizes costs.

    The answer's "flops" has one number per size; where `memory` is asked for, its "costs" has one `RunCost` per size.
    """

    task: Literal["cost"] = "cost"
    recipe: Recipe
    """gives model, loss, optimizer and parameterization"""
    root: Path | None = None
    """the recipe's folder, where modules are looked for too"""
    sizes: tuple[Size, ...]
    """width, depth, batch and tokens of each run"""
    memory: bool = False
    """whether memory is counted too"""
    examples: int | None = None
    """that go through the model at once; None: the whole batch"""


class ReadingsMessage(Message):
    """Read a model's parameters and their roles at several sizes; the answer's "readings" has one entry per size."""

    task: Literal["readings"] = "readings"
    model: Model
    """the recipe's `model` section"""
    root: Path | None = None
    """the recipe's folder, where modules are looked for too"""
    base: tuple[int, int]
    """width and depth at which every factor of a rule is 1"""
    init: InitSource = "rule"
    """whose init is planned: the model's own, or the tables'"""
    covers: tuple[str, ...] = ()
    """axes ("width", "depth") for which the rules that will be applied have a power"""
    sizes: tuple[tuple[int, int], ...]
    """width and depth of each model to read"""


class TrialResult(Message):
    """What a trainer answers to a `TrialMessage`: a finished trial, or why the run was refused."""

    key: str
    """the message's"""
    trial: dict[str, Any] | None = None
    """the record of the run, as `trial_to_dict` writes it; None where the run was refused"""
    refused: str | None = None
    """why the worker did not train, one clause; None where it did"""

    @classmethod
    def of(cls, trial: Trial) -> Self:
        """The answer of a run that ended.

        Args:
            trial: its record, with the message's key.
        """
        return cls(key=trial.key, trial=trial_to_dict(trial))

    def finished(self) -> Trial:
        """The record of the run.

        Raises:
            ValueError, KeyError, TypeError: what the trainer returned is no record of a finished run.
        """
        if self.trial is None:
            raise ValueError(f"the run was refused: {self.refused}")
        return trial_from_dict(self.trial)


def refusal(message: SpecMessage, found: str) -> str | None:
    """Why a task must not be done with the data that a worker found; None where it may.

    Args:
        message: the task, with the fingerprint of the coordinator's data.
        found: sha256 (hex) of the worker's data.
    """
    if message.fingerprint in (None, found):
        return None
    return f"the data here are {found[:8]} (content), the coordinator's {str(message.fingerprint)[:8]}"


def require_same_data(message: SpecMessage, found: str) -> None:
    """See `refusal`, for tasks that answer with a measurement.

    Args:
        message: the task, with the fingerprint of the coordinator's data.
        found: sha256 (hex) of the worker's data.

    Raises:
        UsageError: the data are not the coordinator's.
    """
    refused = refusal(message, found)
    if refused is not None:
        raise UsageError("data must stay the same while a command works", received=refused)
