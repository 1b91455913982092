"""What a run folder already knows: finished trials, and tuned values. Nothing is locked or written."""

from __future__ import annotations

from hptransfer.artifacts.tuned import read_tuned
from hptransfer.recipe.load import LoadedRecipe
from hptransfer.storage.run_folder import RunFolder
from hptransfer.trials.trial import Trial


def finished_trials(folder: RunFolder) -> list[Trial]:
    """Finished trials, where there are any; asking for them imports optuna.

    Args:
        folder: the run folder, which may not exist.

    Raises:
        MachineError: its database cannot be read.
    """
    if not folder.study.exists():
        return []
    from hptransfer.storage.snapshot import read_trials

    return [seen.trial for seen in read_trials(folder.study) if seen.trial is not None]


def tuned_values(loaded: LoadedRecipe, folder: RunFolder) -> dict[str, float] | None:
    """Tuned base-size values of this version of the recipe; None where nothing is tuned yet.

    Args:
        loaded: the recipe with its hash.
        folder: the run folder, which may not exist.

    Raises:
        UsageError: `tuned.yaml` cannot be read.
    """
    if not folder.tuned.exists():
        return None
    tuned = read_tuned(folder.tuned, str(loaded.path))
    return dict(tuned.hyperparameters) if tuned.recipe_hash == loaded.hash else None
