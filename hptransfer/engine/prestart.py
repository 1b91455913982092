"""Starting workers before the command's own modules are loaded, where it is plain that they will be needed."""

from __future__ import annotations

from pathlib import Path

from hptransfer.engine.options import TrainingCommand
from hptransfer.errors import HptransferError
from hptransfer.execution.early import start_early
from hptransfer.recipe.load import load_recipe
from hptransfer.storage.run_folder import RunFolder
from hptransfer.trials.messages import ENTRY


def start_workers(command: str, recipe: str, runs: Path, workers: int) -> None:
    """Start workers for a command whose result is not there yet; a command that may train nothing starts none.

    Args:
        command: name of the command; those that train at once are `TrainingCommand`s.
        recipe: path or name of a recipe.
        runs: the folder of run folders.
        workers: trials at a time, at least 1.
    """
    try:
        folder = RunFolder(runs / load_recipe(recipe).recipe.name)
        needed = {
            TrainingCommand.TUNE: not folder.tuned.exists(),
            TrainingCommand.CHECK: folder.tuned.exists() and not folder.transfer.exists(),
            TrainingCommand.RUN: not folder.transfer.exists(),
        }
        if any(need and command == each for each, need in needed.items()):
            start_early(ENTRY, workers)
    except HptransferError:  # whatever it is, the command itself finds it and says it
        return
