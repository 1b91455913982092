"""One run of a program, with as many attempts as its exit statuses are worth, as the record of a trial."""

from __future__ import annotations

import math
import shutil
import time
from pathlib import Path

from hptransfer.parameterization.plan_parameter import Plan
from hptransfer.provenance import versions
from hptransfer.recipe.command_sections import CommandTrainer
from hptransfer.trainers._attempt import Attempt, ExitError
from hptransfer.trainers._launch import resources_for
from hptransfer.trainers._logs import trial_folder
from hptransfer.trainers._measured_run import MeasuredRun
from hptransfer.trainers._stream import DivergedError
from hptransfer.trials.messages import TrialMessage
from hptransfer.trials.spec import TrialSpec
from hptransfer.trials.trial import OnLoss, Trial, TrialState


def run_command(message: TrialMessage, section: CommandTrainer, on_loss: OnLoss) -> Trial:
    """Run the program, again where its exit status says so.

    Args:
        message: the run, its key and the run folder.
        section: the `trainer` section of its recipe.
        on_loss: told of the objective on the way.

    Raises:
        TaskError: it ended with an error, was killed, hung, or reported what cannot be a result.
        UsageError: the plan of the run's size cannot be made.
    """
    spec, retry = message.spec, section.retry
    plan = _plan(spec)
    resources = resources_for(section.resources, spec.size.width)
    started = time.monotonic()
    left = 1 if retry is None else retry.attempts
    while True:
        left -= 1
        folder = trial_folder(message.folder, spec.size, message.key)
        measured = MeasuredRun(section.results, spec.recipe.objective, on_loss)
        state, others = TrialState.DIVERGED, 0
        try:
            others = Attempt(spec, section, plan, resources, folder, message.key).run(measured).others
            state = TrialState.STOPPED if measured.stream.stopped else TrialState.COMPLETE
        except DivergedError:
            pass
        except ExitError as error:
            if left and retry is not None and error.code in retry.exit_codes:
                continue
            raise
        break
    provenance = {"data": message.fingerprint or "", "processes": str(resources.processes * resources.nodes)}
    if others:
        provenance["killed afterwards"] = str(others)
    return Trial(
        key=message.key,
        size=spec.size,
        hyperparameters=spec.hyperparameters,
        seed=spec.seed,
        state=state,
        loss=_loss(measured, spec) if state is TrialState.COMPLETE else math.inf,
        curve=measured.stream.curve,
        flops=measured.flops,
        seconds=time.monotonic() - started,
        provenance=versions() | provenance | _kept(folder, message.folder),
    )


def _loss(measured: MeasuredRun, spec: TrialSpec) -> float:
    final = measured.final
    return math.inf if final is None else spec.recipe.objective.sign * final


def _kept(folder: Path, runs: Path | None) -> dict[str, str]:
    """Where the logs of a run are; without a run folder nobody keeps them."""
    if runs is not None:
        return {"logs": folder.name}
    shutil.rmtree(folder, ignore_errors=True)
    return {}


def _plan(spec: TrialSpec) -> Plan | None:
    if spec.recipe.model.kind == "external":
        return None
    from hptransfer.trainers._planned_model import planned  # it reads the model, with torch

    return planned(spec)
