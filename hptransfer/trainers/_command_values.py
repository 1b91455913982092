"""What one run of a program is told: values of placeholders, environment variables, `plan.json`."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path

from hptransfer.artifacts.plan_file import PlanFile
from hptransfer.artifacts.target import TrainingRecord
from hptransfer.artifacts.watch import PATH_VARIABLE, SIZE_VARIABLE
from hptransfer.execution.limits import GPUS, PATH_BEFORE
from hptransfer.models.model_record import model_record, said_options
from hptransfer.parameterization.groups import group_rows
from hptransfer.parameterization.plan_parameter import Plan
from hptransfer.recipe.command_sections import CommandTrainer, Resources
from hptransfer.recipe.placeholders import Value, as_text, names_in_all, rendered_setting
from hptransfer.sizes import AXES, rule_name
from hptransfer.trainers._plan_values import one_number
from hptransfer.trials.spec import TrialSpec

#: beginning of the names of the variables that a program gets
PREFIX = "HPTRANSFER_"
#: variables of hptransfer's own that are no program's business; one may hold a password
_WITHHELD = (GPUS, PATH_BEFORE, "HPTRANSFER_STORAGE")
#: names of files in a trial's folder
PLAN_FILE, WATCH_FILE = "plan.json", "watch.jsonl"


def values_of(
    spec: TrialSpec,
    command: CommandTrainer,
    plan: Plan | None,
    resources: Resources,
    paths: Mapping[str, Path],
) -> dict[str, Value]:
    """The value of every placeholder.

    Args:
        spec: the run, with its recipe, size, hyperparameters and seed.
        command: its recipe's section, whose texts say which of the plan's values are needed.
        plan: of the run's size; None where the recipe has no model.
        resources: what the run takes.
        paths: by name, those of `placeholders.PATHS` that there are.

    Raises:
        UsageError: a value of the plan is not one number.
    """
    recipe, size, base = spec.recipe, spec.size, spec.base
    values: dict[str, Value] = {axis: getattr(size, axis) for axis in AXES}
    values |= {f"base_{axis}": getattr(base, axis) for axis in AXES}
    values |= {f"{rule_name(axis).removesuffix('s')}_mult": getattr(size, axis) / getattr(base, axis) for axis in AXES}
    values |= {"steps": recipe.steps(size), "base_steps": recipe.steps(base), "seed": spec.seed}
    values |= dict(spec.hyperparameters)
    values |= {"processes": resources.processes, "gpus": resources.gpus, "nodes": resources.nodes}
    values |= {"python": sys.executable, **{name: str(path) for name, path in paths.items()}}
    if plan is not None:
        wanted = {name for name in names_in_all(command.texts) if name.startswith("plan.")}
        values |= {name: one_number(plan, name) for name in sorted(wanted)}
    return values


def environment_of(values: Mapping[str, Value], command: CommandTrainer, more: Mapping[str, str]) -> dict[str, str]:
    """All variables that the program gets.

    Those of this process, but with the module search path that the command line was started with, and Python told to
    write its output at once, so that losses are seen when they are printed.

    Args:
        values: of every placeholder, by its name.
        command: whose `environment` goes last.
        more: variables by which results are found, or GPUs.
    """
    environment = {name: value for name, value in os.environ.items() if name not in _WITHHELD}
    before = os.environ.get(PATH_BEFORE, os.environ.get("PYTHONPATH", ""))
    environment.pop("PYTHONPATH", None)
    environment |= {"PYTHONPATH": before} if before else {}
    environment |= {"PYTHONUNBUFFERED": "1", **more}
    environment |= {variable_of(name): as_text(value) for name, value in values.items()}
    size = {axis: values[axis] for axis in AXES}
    environment |= {SIZE_VARIABLE: json.dumps(size), PATH_VARIABLE: str(values["watch_file"])}
    own = {name: rendered_setting(setting, values) for name, setting in command.environment.items()}
    return environment | {name: "" if value is None else _text(value) for name, value in own.items()}


def variable_of(name: str) -> str:
    """The environment variable that has a placeholder's value: HPTRANSFER_WIDTH.

    Args:
        name: as a text has it, without its braces.
    """
    return PREFIX + name.upper().replace(".", "_").replace("+", "_")


def _text(value: bool | float | str) -> str:
    return str(value).lower() if isinstance(value, bool) else as_text(value)


def plan_file(spec: TrialSpec, plan: Plan | None) -> PlanFile:
    """The content of `plan.json`.

    Args:
        spec: the run, with its recipe, size, hyperparameters and seed.
        plan: of its size; None where the recipe has no model.
    """
    return PlanFile(
        format=PlanFile.FORMAT,
        parameterization=spec.recipe.parameterization.name if plan is None else plan.parameterization,
        gauge="plain" if plan is None else plan.gauge,
        optimizer=spec.recipe.training.optimizer,
        options={} if plan is None else said_options(plan.options),
        model=model_record(spec.recipe.model, spec.size, plan),
        base=spec.base,
        size=spec.size,
        seed=spec.seed,
        hyperparameters=dict(spec.hyperparameters),
        optimizer_values={} if plan is None else dict(plan.optimizer_values),
        muon_scale=None if plan is None else plan.options.muon_scale,
        searched=tuple(spec.recipe.tune.space),
        training=TrainingRecord.of(spec.recipe, spec.size, spec.hyperparameters["warmup"]),
        notes=() if plan is None else tuple(plan.notes),
        parameters=() if plan is None else group_rows(plan.rows),
    )
