"""What is started for one run of a program: its files are written, its command line and environment rendered."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from hptransfer.artifacts.watch import PATH_VARIABLE
from hptransfer.execution.limits import VISIBLE
from hptransfer.parameterization.plan_parameter import Plan
from hptransfer.recipe.command_sections import CommandTrainer
from hptransfer.recipe.placeholders import Value, for_a_shell, rendered, rendered_setting
from hptransfer.trainers._command_values import PLAN_FILE, WATCH_FILE, environment_of, plan_file, values_of
from hptransfer.trainers._launch import Lease, all_gpus, launched, require_launcher
from hptransfer.trainers._rendered_config import rendered_config
from hptransfer.trainers.results.base import reader_of
from hptransfer.trials.spec import TrialSpec


@dataclass(frozen=True, slots=True)
class Prepared:
    """What is started for one run.

    Attributes:
        line: the launcher, the program and its arguments.
        cwd: the folder in which it runs, absolute.
        environment: all variables that it gets.
    """

    line: Sequence[str]
    cwd: Path
    environment: Mapping[str, str]


def prepare(spec: TrialSpec, command: CommandTrainer, plan: Plan | None, lease: Lease, folder: Path) -> Prepared:
    """Writes `plan.json`, the configuration and `command.json`, and renders what is started.

    Args:
        spec: the run, with its recipe, size, hyperparameters and seed.
        command: the `trainer` section of its recipe.
        plan: of the run's size; None where the recipe has no model.
        lease: what the run holds.
        folder: of the attempt; it exists.

    Raises:
        UsageError: a value of the plan is not one number, the configuration's template lacks a key, or the launcher
            cannot start the command.
    """
    reader = reader_of(command.results)
    paths = {
        "trial_dir": folder,
        "recipe_dir": spec.root,
        "results": reader.path(command.results, folder),
        "plan_file": folder / PLAN_FILE,
        # where a coordinate check asks for it, else in the run's own folder
        "watch_file": Path(os.environ.get(PATH_VARIABLE, folder / WATCH_FILE)),
    }
    if command.config is not None:
        paths["config"] = folder / f"config{Path(command.config.template).suffix}"
    values = values_of(spec, command, plan, lease.resources, paths)
    (folder / PLAN_FILE).write_text(plan_file(spec, plan).to_json(), encoding="utf-8")
    if command.config is not None:
        settings = {key: rendered_setting(value, values) for key, value in command.config.set.items()}
        paths["config"].write_text(rendered_config(command.config, spec.root, settings), encoding="utf-8")
    line = launched(_words(command, values), lease.resources, lease.key)
    require_launcher(line)
    more = dict(reader.environment(command.results, folder)) | _placement(lease, line)
    environment = environment_of(values, command, more)
    prepared = Prepared(line, spec.root / rendered(command.cwd, values), environment)
    told = {name: value for name, value in environment.items() if os.environ.get(name) != value}
    shown = {"command": list(line), "cwd": str(prepared.cwd), "gpus": list(lease.gpus), "environment": told}
    (folder / "command.json").write_text(json.dumps(shown, indent=2) + "\n", encoding="utf-8")
    return prepared


def _words(command: CommandTrainer, values: Mapping[str, Value]) -> list[str]:
    if isinstance(command.command, str):
        return ["/bin/sh", "-c", for_a_shell(command.command, values)]
    return [rendered(word, values) for word in command.command]


def _placement(lease: Lease, line: Sequence[str]) -> dict[str, str]:
    """Which GPUs the program sees, and the network of processes of one machine."""
    if lease.gpus:
        return {VISIBLE: ",".join(lease.gpus)}
    if line[0] == "srun" and all_gpus():
        return {VISIBLE: ",".join(all_gpus())}  # not the one of this worker
    alone = lease.resources.launcher == "torchrun" and lease.resources.nodes == 1
    # a host's own name may lead nowhere
    return {"GLOO_SOCKET_IFNAME": "lo"} if alone and "GLOO_SOCKET_IFNAME" not in os.environ else {}
