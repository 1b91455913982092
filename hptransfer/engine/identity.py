"""The identity of a recipe's trials: rules, code and data brought together, for sessions, onlookers and `scale`."""

from __future__ import annotations

from pathlib import Path

from hptransfer.artifacts.recipe_snapshot import read_snapshot
from hptransfer.data.base import fingerprint_of
from hptransfer.engine.durations import with_durations
from hptransfer.engine.readings import Readings
from hptransfer.errors import HptransferError
from hptransfer.execution.pool import TaskPool
from hptransfer.recipe.load import LoadedRecipe
from hptransfer.recipe.schema import Recipe
from hptransfer.registry import look_in
from hptransfer.storage.run_folder import RunFolder
from hptransfer.trainers.base import require_trainable, trainer_identity
from hptransfer.trials.identity import Identity


def identity_of(
    recipe: Recipe,
    root: Path,
    fingerprint: str | None,
    pool: TaskPool | None,
    cache: Path | None,
    *,
    writable: bool = True,
) -> Identity:
    """The identity of a recipe's trials.

    Args:
        recipe: gives model, data, training and parameterization.
        root: folder of the recipe, where local modules are looked for too.
        fingerprint: sha256 (hex) of its data; None reads them.
        pool: of idle workers that read the model where the cache does not have it; None reads it in this process.
        cache: a JSON file of earlier readings; None remembers nothing.
        writable: whether new readings are kept there.

    Raises:
        UsageError: trainer, data, local code or model cannot be read, or no source covers the recipe's rules.
        MachineError: no worker could read the model.
    """
    look_in(root)
    fingerprint = fingerprint_of(recipe.data, root) if fingerprint is None else fingerprint
    readings = Readings(recipe, root, pool, cache, writable=writable)
    identity = Identity(recipe, fingerprint, trainer_identity(recipe, root), readings)
    require_trainable(recipe, root, readings)
    return identity


def identified(
    loaded: LoadedRecipe, fingerprint: str | None, pool: TaskPool | None, cache: Path, *, writable: bool = True
) -> tuple[LoadedRecipe, Identity]:
    """The recipe with the durations of its sizes, and the identity of its trials.

    Args:
        loaded: the recipe as it was read.
        fingerprint: sha256 (hex) of its data; None reads them.
        pool: of idle workers that read the model where the cache does not have it; None reads it in this process.
        cache: a JSON file of earlier readings.
        writable: whether new readings are kept there.

    Raises:
        UsageError, MachineError: as `identity_of`.
    """
    timed = with_durations(loaded, pool, cache, writable=writable)
    return timed, identity_of(timed.recipe, timed.root, fingerprint, pool, cache, writable=writable)


def identity_of_recipe(loaded: LoadedRecipe, folder: RunFolder) -> str:
    """The digest of rules, code and data as they are now, which evidence must carry to be used.

    Args:
        loaded: the recipe with its file.
        folder: its run folder; where the data are elsewhere, it says which they were.

    Returns:
        What `Session.identity.digest` is in a session of the same recipe, sha256 (hex).

    Raises:
        UsageError: as `identity_here`.
    """
    return identity_here(loaded, folder).digest


def identity_here(loaded: LoadedRecipe, folder: RunFolder) -> Identity:
    """The identity of a recipe's trials by rules, code and data as they are now.

    It imports torch where the run folder's cache does not have the model.

    Args:
        loaded: the recipe with its file.
        folder: its run folder; where the data are elsewhere, it says which they were.

    Raises:
        UsageError: the model or its code cannot be read, or the data are not here and the folder does not know them.
    """
    root = loaded.root
    try:
        fingerprint = fingerprint_of(loaded.recipe.data, root)
    except HptransferError:
        snapshot = read_snapshot(folder.recipe)
        if snapshot is None or snapshot.recipe.data != loaded.recipe.data:
            raise
        fingerprint = snapshot.fingerprint
    return identity_of(loaded.recipe, root, fingerprint, None, folder.readings, writable=False)
