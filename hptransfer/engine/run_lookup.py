"""From what the user names, a recipe or a run folder, to the run folder and the recipe it was worked on with."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path

from hptransfer.artifacts.pasted import command
from hptransfer.artifacts.recipe_snapshot import read_snapshot
from hptransfer.data.base import fingerprint_of
from hptransfer.engine.durations import counted_recipe
from hptransfer.engine.options import DEFAULT_RUNS
from hptransfer.engine.readings import Readings
from hptransfer.errors import UsageError
from hptransfer.recipe.load import RecipeUnavailableError, load_recipe, recipe_hash
from hptransfer.recipe.schema import Recipe
from hptransfer.storage.run_folder import RunFolder
from hptransfer.trials.legacy import legacy_experiment


@dataclass(frozen=True, slots=True)
class Located:
    """A run folder.

    Attributes:
        folder: the run folder, not locked.
        recipe: as the last command there worked with it; the user's where none remembered it.
        fingerprint: of its data at that time.
        experiment: digest whose first 8 digits end the names of its studies; None where nobody knows it.
        reference: what the user may call it in the next command.
        recipe_hash: sha256 (hex) of what evidence rests on, as the user wrote it.
    """

    folder: RunFolder
    recipe: Recipe
    fingerprint: str
    experiment: str | None
    reference: str
    recipe_hash: str


def locate(reference: str, runs: Path) -> Located:
    """The run folder of a recipe, or the one whose path or name is given.

    Args:
        reference: a recipe's file or shipped name, a run folder's path, or its name under `runs`.
        runs: the folder of run folders.

    Raises:
        RecipeError: the recipe has faults.
        UsageError: nothing was run there yet.
    """
    for present in (RunFolder(_named(reference)), RunFolder(runs / reference)):
        if present.study.exists() or present.recipe.exists():
            return _located(present, reference)
    try:
        loaded = load_recipe(reference)
    except RecipeUnavailableError as error:
        raise UsageError(
            "a recipe or a run folder must be named",
            received=f"`{reference}` is no run folder, none of {runs}, and no recipe ({error.findings[0].received})",
            hint=_nearby(runs),
        ) from None
    folder = RunFolder(runs / loaded.recipe.name)
    if not _begun(folder.path):
        hint = f"run {command('tune', reference, runs)}"
        beside = loaded.path.parent / DEFAULT_RUNS
        if _begun(beside / loaded.recipe.name):
            hint = f"{beside / loaded.recipe.name} has a run of it: write `--runs {shlex.quote(str(beside))}`"
        raise UsageError("the recipe must have been worked on", received=f"no {folder.path}", hint=hint)
    if read_snapshot(folder.recipe) is not None:
        return _located(folder, reference)
    fingerprint = fingerprint_of(loaded.recipe.data, loaded.root)
    former = legacy_experiment(loaded.recipe, fingerprint)
    return Located(folder, loaded.recipe, fingerprint, former, reference, loaded.hash)


def _begun(folder: Path) -> bool:
    """Whether a command left anything in a run folder; one that was only made holds no run."""
    return folder.is_dir() and any(folder.iterdir())


def _named(reference: str) -> Path:
    """A folder that the user names may be a link; nothing in it is."""
    try:
        return Path(reference).resolve()
    except (OSError, RuntimeError, ValueError):  # a loop of links, a zero byte: no folder
        return Path(reference)


def _located(folder: RunFolder, reference: str) -> Located:
    remembered = read_snapshot(folder.recipe)
    if remembered is None:
        raise UsageError(
            "a run folder must hold the recipe.json that a command of this version wrote",
            received=f"no such file, or one of another version, in {folder.path}",
            hint="name the recipe instead of the folder",
        )
    named = reference if Path(reference).is_file() else remembered.file
    # what was read is in the folder, so that nothing is read here
    root = Path(named).parent.absolute()
    recipe = counted_recipe(remembered.recipe, Readings(remembered.recipe, root, None, folder.readings, writable=False))
    written = recipe_hash(remembered.recipe)
    return Located(folder, recipe, remembered.fingerprint, remembered.experiment, named, written)


def _nearby(runs: Path) -> str | None:
    names = sorted(path.name for path in runs.iterdir() if path.is_dir())[:5] if runs.is_dir() else []
    return f"run folders there: {', '.join(names)}" if names else None
