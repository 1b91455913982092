"""The recipe that a run folder was last worked on with, and what happens when the user's file says another now."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from hptransfer.data.base import read_text
from hptransfer.engine.options import OnChange
from hptransfer.errors import Place, UsageError
from hptransfer.files import write_atomically
from hptransfer.recipe.changes import Change, Effect, changes, without_removed_keys
from hptransfer.recipe.load import LoadedRecipe, recipe_hash
from hptransfer.recipe.schema import Recipe
from hptransfer.storage.run_folder import RunFolder

_FORMAT = 1
_HINT = (
    "`--on-change new` goes on with the recipe as it is now (finished trials stay in study.db, unused until the recipe "
    "is as before); `--on-change keep` goes on with the recipe as it was"
)


@dataclass(frozen=True, slots=True)
class RecipeSnapshot:
    """What `recipe.json` in a run folder holds.

    Attributes:
        recipe: as the last command worked with it.
        fingerprint: of its data at that time.
        file: the user's file.
    """

    recipe: Recipe
    fingerprint: str
    file: str


def read_snapshot(path: Path) -> RecipeSnapshot | None:
    """The recipe of a run folder; None where no command remembered one, or another version's cannot be read."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        # through JSON text, because pydantic's strict mode takes a list for a tuple there and nowhere else
        recipe = Recipe.model_validate_json(json.dumps(without_removed_keys(content["recipe"])))
        return RecipeSnapshot(recipe, str(content["fingerprint"]), str(content["file"]))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, ValidationError):
        return None


def write_snapshot(path: Path, loaded: LoadedRecipe, fingerprint: str) -> None:
    """Writes the recipe for the next command."""
    content: dict[str, Any] = {
        "format": _FORMAT,
        "file": str(loaded.path.absolute()),
        "recipe_hash": loaded.hash,
        "fingerprint": fingerprint,
        "recipe": loaded.recipe.model_dump(mode="json"),
    }
    write_atomically(path, json.dumps(content, indent=2) + "\n")


def reconcile_recipe(
    loaded: LoadedRecipe,
    fingerprint: str,
    folder: RunFolder,
    finished: Callable[[], int],
    on_change: OnChange | None,
    say: Callable[[str], None],
) -> LoadedRecipe:
    """Compare the recipe with the one the folder remembers, and decide which of them holds.

    Differences that leave finished trials usable are said and accepted. Others are refused unless told which way: the
    studies are named by content, so nothing would be lost, but trials that were paid for would silently be unused.

    Args:
        loaded: the recipe as it is now.
        fingerprint: of its data as they are now.
        folder: with the remembered recipe.
        finished: counts the trials in the folder's database; asked only where it matters.
        on_change: what the user decided.
        say: told of accepted differences.

    Returns:
        The recipe to go on with, which the caller remembers.

    Raises:
        UsageError: finished trials would not be used any more and nobody said that this is meant.
    """
    before = read_snapshot(folder.recipe)
    if before is None:
        return loaded
    found = _differences(before, loaded, fingerprint)
    if on_change == "keep" and found:
        return _kept(before, loaded, fingerprint, found)
    anew = any(change.effect is Effect.ANEW for change in found)
    if on_change is None and anew and (count := finished()):
        raise UsageError(
            "a recipe may change freely in what its finished trials do not depend on; in the rest only when told to",
            received=f"{_counted(found)} since {folder.path} was worked on, which holds {count} finished trials",
            hint=_HINT,
            place=Place(str(loaded.path)),
            excerpt=tuple(map(str, found)),
        )
    for change in found:
        if change.effect is not Effect.NONE:
            say(f"the recipe changed: {change}")
    return loaded


def _differences(before: RecipeSnapshot, loaded: LoadedRecipe, fingerprint: str) -> list[Change]:
    found = list(changes(before.recipe, loaded.recipe))
    if before.fingerprint != fingerprint and before.recipe.data == loaded.recipe.data:
        what = f"{before.fingerprint[:8]} (content)", f"{fingerprint[:8]} (content)"
        found.append(Change("data", *what, Effect.ANEW))
    return found


def _kept(before: RecipeSnapshot, loaded: LoadedRecipe, fingerprint: str, found: Sequence[Change]) -> LoadedRecipe:
    """The recipe as it was; the data it names must still be what they were."""
    if before.recipe.data != loaded.recipe.data:
        fingerprint = read_text(before.recipe.data, loaded.path.parent.absolute()).fingerprint
    if fingerprint != before.fingerprint:
        raise UsageError(
            "`--on-change keep` needs the data as they were",
            received="their content is another now",
            hint="put the files back, or use `--on-change new`",
            excerpt=tuple(map(str, found)),
        )
    # the target, the budget and the texts are the user's present wishes
    sizes = before.recipe.sizes.model_copy(update={"target": loaded.recipe.sizes.target})
    wishes = {"description": loaded.recipe.description, "budget": loaded.recipe.budget, "expect": loaded.recipe.expect}
    kept = before.recipe.model_copy(update={"sizes": sizes, **wishes})
    return replace(loaded, recipe=kept, hash=recipe_hash(kept))


def _counted(found: Sequence[Change]) -> str:
    count = Counter(change.effect is Effect.ANEW for change in found)
    keys = "key changed" if count[True] == 1 else "keys changed"
    return f"{count[True]} {keys} on which trials depend"
