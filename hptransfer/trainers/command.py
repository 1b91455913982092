"""Any program: told what to train by its command line, environment and files; its results are read as they come."""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from hptransfer.errors import UsageError
from hptransfer.parameterization.plan import plan as plan_rows
from hptransfer.parameterization.plan_parameter import Plan
from hptransfer.provenance import versions
from hptransfer.recipe.command_sections import NOT_IDENTIFYING, CommandTrainer
from hptransfer.recipe.schema import Recipe
from hptransfer.sizes import Size
from hptransfer.trainers._attempt import Attempt, ExitError
from hptransfer.trainers._command_code import command_code
from hptransfer.trainers._launch import resources_for
from hptransfer.trainers._logs import trial_folder
from hptransfer.trainers._measured_run import MeasuredRun
from hptransfer.trainers._plan_values import require_taken
from hptransfer.trainers._rendered_config import require_template
from hptransfer.trainers._stream import DivergedError
from hptransfer.trainers.base import Capabilities
from hptransfer.trials.identity import ModelReader, options_of
from hptransfer.trials.messages import TrialMessage, TrialResult
from hptransfer.trials.spec import TrialSpec
from hptransfer.trials.trial import OnLoss, Trial, TrialState, ignore

#: of what a command is told and how its results are read
VERSION = 1


class RunsCommand:
    """Runs the program that the recipe's `trainer` section names."""

    name = "command"
    version = VERSION
    capabilities = Capabilities(streams_losses=True, processes=True, follows_rules=True)

    def identity(self, recipe: Recipe) -> Mapping[str, Any]:
        """The section as it is written, but for what changes where and how often the command runs."""
        section = _section(recipe)
        return {"section": section.model_dump(mode="json", exclude_defaults=True, exclude=set(NOT_IDENTIFYING))}

    def code(self, recipe: Recipe, root: Path) -> dict[str, str]:
        """As `Trainer.code`: files of the command's words, declared ones, the configuration's template."""
        return command_code(_section(recipe), root)

    def require_trainable(self, recipe: Recipe, root: Path, reader: ModelReader) -> None:
        """Refuses what no run could be told, before any is started.

        Args:
            recipe: what its runs are described by.
            root: the recipe's folder.
            reader: of the recipe's model; not asked where there is none.

        Raises:
            UsageError: the plan sets what the command does not take, or the configuration's template lacks a key.
        """
        section = _section(recipe)
        require_template(section, root)
        if recipe.model.kind == "external":
            return

        def plan_at(size: Size, values: Mapping[str, float]) -> Plan:
            reading = reader.at(size.width, size.depth)
            common = (recipe.parameterization, recipe.base_size, size, reading.parameters, values)
            given = {"optimizer": recipe.training.optimizer, "options": options_of(recipe)}
            result = plan_rows(*common, **given)  # type: ignore[arg-type]  # a mapping of both
            if not reading.multiplied:
                return result
            others = plan_rows(*common, gauge="multipliers", **given)  # type: ignore[arg-type]
            pairs = zip(result.rows, others.rows, strict=True)
            rows = tuple(other if row.parameter.name in reading.multiplied else row for row, other in pairs)
            return replace(result, rows=rows)

        require_taken(recipe, section, plan_at)

    def run(self, message: TrialMessage, on_loss: OnLoss = ignore) -> TrialResult:
        """Run the program, again where its exit status says so.

        Raises:
            TaskError: it ended with an error, was killed, hung, or reported what cannot be a result.
            UsageError: the plan of the run's size cannot be told.
        """
        spec, section = message.spec, _section(message.recipe)
        plan = _plan(spec)
        resources = resources_for(section.resources, spec.size.width)
        started = time.monotonic()
        attempts = 1 if section.retry is None else section.retry.attempts
        for left in range(attempts - 1, -1, -1):
            folder = trial_folder(message.folder, spec.size, message.key)
            measured = MeasuredRun(section.results, spec.recipe.objective, on_loss)
            state, others = TrialState.DIVERGED, 0
            try:
                others = Attempt(spec, section, plan, resources, folder, message.key).run(measured).others
                state = TrialState.STOPPED if measured.stream.stopped else TrialState.COMPLETE
            except DivergedError:
                pass
            except ExitError as error:
                if left and section.retry is not None and error.code in section.retry.exit_codes:
                    continue
                raise
            break
        final = measured.final if state is TrialState.COMPLETE else None
        logs = {"logs": folder.name} if message.folder is not None else {}
        if message.folder is None:
            shutil.rmtree(folder, ignore_errors=True)  # nobody keeps it
        record = Trial(
            key=message.key,
            size=spec.size,
            hyperparameters=spec.hyperparameters,
            seed=spec.seed,
            state=state,
            loss=math.inf if final is None else spec.recipe.objective.sign * final,
            curve=measured.stream.curve,
            flops=measured.flops,
            seconds=time.monotonic() - started,
            provenance=versions()
            | {"data": message.fingerprint or "", "processes": str(resources.processes * resources.nodes), **logs}
            | ({"killed afterwards": str(others)} if others else {}),
        )
        return TrialResult.of(record)


def _section(recipe: Recipe) -> CommandTrainer:
    if not isinstance(recipe.trainer, CommandTrainer):
        raise UsageError("the trainer `command` must be told its command", received=str(recipe.trainer))
    return recipe.trainer


def _plan(spec: TrialSpec) -> Plan | None:
    if spec.recipe.model.kind == "external":
        return None
    from hptransfer.trainers._torch_runs import planned  # it reads the model, with torch

    return planned(spec)


TRAINER = RunsCommand()
