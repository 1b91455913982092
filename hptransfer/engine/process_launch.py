"""How many processes train one trial (the command line's word, over the recipe's); and workers that start early."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from hptransfer.engine.options import Launch, Launcher, TrainingCommand
from hptransfer.errors import HptransferError, UsageError
from hptransfer.execution.limits import trials_at_once, visible_gpus
from hptransfer.execution.pool import start_early
from hptransfer.recipe.load import LoadedRecipe, load_recipe
from hptransfer.recipe.schema import Recipe
from hptransfer.recipe.trainer_sections import NamedTrainer
from hptransfer.storage.run_folder import RunFolder
from hptransfer.trials.messages import ENTRY


def with_processes(loaded: LoadedRecipe, launch: Launch) -> LoadedRecipe:
    """The recipe with as many processes as the command line says; its hash and its trials stay the same.

    Args:
        loaded: the recipe as it was read.
        launch: what the command line says.

    Raises:
        UsageError: launcher, number of processes and batch do not go together.
    """
    training = loaded.recipe.training
    processes = _processes(launch, training.processes)
    if processes > training.batch_size:
        raise UsageError(
            "`--processes <= training.batch_size` must hold: each process takes at least one example of a batch",
            received=f"--processes {processes}, batch_size={training.batch_size}",
        )
    shared = {"trials_per_device": launch.per_gpu} if launch.per_gpu is not None else {}
    training = training.model_copy(update={"processes": processes, **shared})
    return replace(loaded, recipe=loaded.recipe.model_copy(update={"training": training}))


def training_workers(recipe: Recipe, workers: int) -> int:
    """Trials at a time: as many as wanted, on GPUs at most `training.trials_per_device` of them on each.

    Args:
        recipe: says where its trials train, with how many processes each.
        workers: trials at a time that are wanted, at least 1.
    """
    training = recipe.training
    used = training.device in ("auto", "cuda") and isinstance(recipe.trainer, NamedTrainer)
    gpus = len(visible_gpus(os.environ)) if used else 0
    return trials_at_once(workers, gpus, each=training.processes, per_gpu=training.trials_per_device)


def _processes(launch: Launch, own: int) -> int:
    match launch.launcher, launch.processes:
        case Launcher.NONE, int() as asked if asked > 1:
            raise UsageError(
                "a trial of several processes needs a launcher",
                received=f"--launcher none --processes {asked}",
                hint="use `--launcher torchrun`, or leave `--launcher` out",
            )
        case Launcher.TORCHRUN, 1:
            raise UsageError(
                "`--launcher torchrun` starts at least two processes for a trial",
                received="--processes 1",
                hint="leave both options out: one process needs no launcher",
            )
        case Launcher.TORCHRUN, None if own == 1:
            raise UsageError(
                "`--launcher torchrun` must know how many processes to start for a trial",
                received="neither `--processes` nor `training.processes` in the recipe",
                hint="add `--processes 2`",
            )
        case Launcher.NONE, None:
            return 1
        case _, None:
            return own
        case _, asked:
            return asked


def require_workers_here(launch: Launch, storage: str | None) -> None:
    """Refuses to say how trials are started where others train them.

    Raises:
        UsageError: the trials are trained by `hptransfer worker`s.
    """
    if storage is not None and launch != Launch():
        raise UsageError(
            "`--launcher` and `--processes` must be given where trials are trained",
            received="both `--storage` and one of them",
            hint="give them to `hptransfer worker`, or set `training.processes` in the recipe",
        )


# Starting workers before the command's own modules are loaded, where it is plain that they will be needed.


def start_workers(command: str, recipe: str, runs: Path, workers: int, launch: Launch | None = None) -> None:
    """Start workers for a command whose result is not there yet; a command that may train nothing starts none.

    Args:
        command: name of the command; those that train at once are `TrainingCommand`s.
        recipe: path or name of a recipe.
        runs: the folder of run folders.
        workers: trials at a time, at least 1.
        launch: what the command line says of a trial's processes and GPUs.
    """
    try:
        loaded = with_processes(load_recipe(recipe), launch or Launch())
        folder = RunFolder(runs / loaded.recipe.name)
        needed = {
            TrainingCommand.TUNE: not folder.tuned.exists(),
            TrainingCommand.CHECK: folder.tuned.exists() and not folder.transfer.exists(),
            TrainingCommand.RUN: not folder.transfer.exists(),
        }
        if any(need and command == each for each, need in needed.items()):
            start_early(ENTRY, training_workers(loaded.recipe, workers), loaded.recipe.training.processes)
    except HptransferError:  # whatever it is, the command itself finds it and says it
        return
