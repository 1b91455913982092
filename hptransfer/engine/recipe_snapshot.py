"""What happens when the recipe, its code or its rules are others than those a run folder was last worked on with."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

from hptransfer.artifacts.recipe_snapshot import RecipeSnapshot, load_snapshot, read_snapshot
from hptransfer.data.base import fingerprint_of
from hptransfer.engine.options import OnChange
from hptransfer.errors import Place, UsageError
from hptransfer.files import write_atomically
from hptransfer.parameterization.applied_rules import RuleText, as_text
from hptransfer.recipe.changes import Change, Effect, changes
from hptransfer.recipe.load import LoadedRecipe, recipe_hash
from hptransfer.storage.run_folder import RunFolder
from hptransfer.storage.snapshot import count_finished
from hptransfer.trainers.base import trainer_identity
from hptransfer.trials.identity import Identity

_HINT = (
    "`--on-change new` goes on with the recipe as it is now (finished trials stay in study.db, unused until the recipe "
    "is as before); `--on-change keep` goes on with the recipe as it was"
)


def remember(folder: RunFolder, loaded: LoadedRecipe, identity: Identity) -> None:
    """Writes recipe.json for the next command.

    Args:
        folder: the run folder, locked.
        loaded: the recipe that it is worked on with.
        identity: what determines the recipe's trials now.
    """
    write_atomically(folder.recipe, RecipeSnapshot.of(loaded, identity).to_json())


def reconcile_recipe(
    loaded: LoadedRecipe,
    fingerprint: str | None,
    folder: RunFolder,
    on_change: OnChange | None,
    say: Callable[[str], None],
) -> tuple[LoadedRecipe, str]:
    """Compare the recipe with the one the folder remembers, and decide which of them holds.

    Differences that leave finished trials usable are said and accepted. Others are refused unless `on_change` decides:
    studies are named by content, so nothing would be lost, but trials that were paid for would silently be unused.

    Args:
        loaded: the recipe as it is now.
        fingerprint: of its data as they are now.
        folder: with the remembered recipe.
        finished: counts the trials in the folder's database; asked only where it matters.
        on_change: what the user decided; None refuses where trials would be left unused.
        say: called with a sentence on accepted differences.

    Returns:
        The recipe to go on with, which the caller remembers, and the fingerprint of its data.

    Raises:
        UsageError: finished trials would not be used any more and nobody said that this is meant.
    """
    fingerprint = fingerprint or _fingerprint(loaded)
    try:
        before = load_snapshot(folder.recipe)
    except UsageError as unreadable:
        say(f"what changed since {folder.path} was worked on is not known: {unreadable.findings[0].received}")
        before = None
    if before is None:
        return loaded, fingerprint
    found = _differences(before, loaded, fingerprint)
    if on_change == "keep" and found:
        return _kept(before, loaded, fingerprint, found), before.fingerprint
    anew = any(change.effect is Effect.ANEW for change in found)
    if on_change is None and anew and (count := count_finished(folder.study)):
        raise UsageError(
            "a recipe may change freely in what its finished trials do not depend on; else only with `--on-change`",
            received=f"{_counted(found)} since {folder.path} was worked on, which holds {count} finished trials",
            hint=_HINT,
            place=Place(str(loaded.path)),
            excerpt=tuple(map(str, found)),
        )
    for change in found:
        if change.effect is not Effect.NONE:
            say(f"the recipe changed: {change}")
    return loaded, fingerprint


def _fingerprint(loaded: LoadedRecipe) -> str:
    return fingerprint_of(loaded.recipe.data, loaded.root)


def _differences(before: RecipeSnapshot, loaded: LoadedRecipe, fingerprint: str) -> list[Change]:
    found = list(changes(before.recipe, loaded.recipe))
    if before.fingerprint != fingerprint and before.recipe.data == loaded.recipe.data:
        what = f"{before.fingerprint[:8]} (content)", f"{fingerprint[:8]} (content)"
        found.append(Change("data", *what, Effect.ANEW))
    if before.identity is not None and before.recipe.model == loaded.recipe.model:
        found += _changed_code(before.code, _code(loaded))
    return found


def _code(loaded: LoadedRecipe) -> Mapping[str, str]:
    return trainer_identity(loaded.recipe, loaded.root).code


def _changed_code(before: Mapping[str, str], now: Mapping[str, str]) -> Iterator[Change]:
    """Local modules of the user's own code whose syntax tree is another one, or that are imported anew or no more."""
    for module in sorted({**before, **now}):
        old, new = before.get(module), now.get(module)
        if old != new:
            yield Change(f"code of {module}", _code_text(old), _code_text(new), Effect.ANEW)


def _code_text(digest: str | None) -> str | None:
    return None if digest is None else f"{digest[:8]} (code)"


def _kept(before: RecipeSnapshot, loaded: LoadedRecipe, fingerprint: str, found: Sequence[Change]) -> LoadedRecipe:
    """The recipe as it was; the data it names must still be what they were."""
    if before.recipe.data != loaded.recipe.data:
        fingerprint = _fingerprint(replace(loaded, recipe=before.recipe))
    if fingerprint != before.fingerprint:
        raise UsageError(
            "`--on-change keep` needs the data as they were",
            received="their content is another now",
            hint="put the files back, or use `--on-change new`",
            excerpt=tuple(map(str, found)),
        )
    if before.identity is not None and dict(before.code) != dict(_code(replace(loaded, recipe=before.recipe))):
        raise UsageError(
            "`--on-change keep` needs the code as it was",
            received="it is another now",
            hint="put the modules back, or use `--on-change new`",
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


def name_changed_rules(folder: RunFolder, loaded: LoadedRecipe, identity: Identity, say: Callable[[str], None]) -> bool:
    """Says which rules, or which version of the trainer, leave finished trials unused though nothing else changed.

    Args:
        folder: with the remembered recipe.
        loaded: the recipe as it is now.
        identity: what determines the recipe's trials now.
        say: called with one sentence for the user.

    Returns:
        Whether there was something to say.
    """
    before = read_snapshot(folder.recipe)
    if before is None or before.identity in (None, identity.digest) or before.recipe_hash != loaded.hash:
        return False
    trainer = f"{identity.trainer.name} {identity.trainer.version}"
    found = [] if before.trainer == trainer else [f"trainer: {before.trainer} -> {trainer}"]
    found += _changed_rules(before.rules, identity.rules())
    count = count_finished(folder.study) if found else 0
    if count:
        say(f"{count} finished trials follow other rules and are not used: {'; '.join(found)}")
    return count > 0


def _changed_rules(
    before: Mapping[str, Mapping[str, RuleText]], now: Mapping[str, Mapping[str, RuleText]]
) -> list[str]:
    found: dict[str, None] = {}
    for pattern in {**before, **now}:
        old_roles, new_roles = before.get(pattern, {}), now.get(pattern, {})
        if old_roles.keys() != new_roles.keys():
            found[f"{pattern}: {', '.join(old_roles) or 'none'} -> {', '.join(new_roles) or 'none'}"] = None
            continue
        for role, rules in new_roles.items():
            for quantity in {**old_roles[role], **rules}:
                old, new = old_roles[role].get(quantity, {}), rules.get(quantity, {})
                if old != new:
                    found[f"{role} {quantity}: {as_text(old)} -> {as_text(new)}"] = None
    return list(found)
