"""Trials of version 0.1: adopted under the keys of this version where its rules for the model were the same."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from hptransfer.errors import UsageError
from hptransfer.hyperparameters import NAMES
from hptransfer.recipe.schema import Recipe
from hptransfer.storage.base import TrialStore
from hptransfer.trials.identity import Identity
from hptransfer.trials.legacy import changed_rules, legacy_experiment, legacy_key
from hptransfer.trials.spec import TrialSpec
from hptransfer.trials.trial import Trial

#: who trained under 0.1
_TRAINER = ("torch", 1)


def adopt_legacy_trials(
    store: TrialStore,
    recipe: Recipe,
    root: Path,
    identity: Identity,
    say: Callable[[str], None],
    *,
    named: bool = False,
) -> None:
    """Makes finished trials of version 0.1 visible under this version's keys, once; says how many, or why not.

    Args:
        store: of this version's experiment, in the folder or database where 0.1 may have worked.
        recipe: as the session works with it.
        root: folder of the recipe, where data patterns start.
        identity: of this version's trials.
        say: called with one sentence; not at all where 0.1 left no trials, or they were adopted before.
        named: whether it was said before why finished trials are not used.
    """
    before = legacy_experiment(recipe, identity.fingerprint)
    waiting = 0 if before is None else store.count_unadopted(before)
    if before is None or not waiting:
        return
    reason = _reason(recipe, identity)
    if reason is not None:
        if not (named or store.trials()):
            say(f"{waiting} finished trials of version 0.1 are not used: {reason}")
        return

    def new_key(trial: Trial) -> str | None:
        if not set(trial.hyperparameters) <= set(NAMES):
            return None
        spec = TrialSpec(recipe, root, trial.size, trial.hyperparameters, trial.seed)
        try:
            return identity.key(spec) if legacy_key(spec, identity.fingerprint) == trial.key else None
        except UsageError:  # a size that the model cannot be read at any more
            return None

    adopted, left = store.adopt(before, new_key)
    sentence = f"{adopted} finished trials of version 0.1 are reused: its rules for this model are the same"
    if recipe.model.kind == "factory":
        sentence += f"; it kept no record of the code of {recipe.model.factory}, which is taken to be what it is now"
    if left:
        sentence += f"; {left} are not used: their keys are not those of their records, or their size cannot be built"
    say(sentence)


def _reason(recipe: Recipe, identity: Identity) -> str | None:
    """Why 0.1's trials are not what would be trained now; None where they are."""
    trainer = (identity.trainer.name, identity.trainer.version)
    if trainer != _TRAINER:
        return f"the trainer changed: {_TRAINER[0]} {_TRAINER[1]} -> {trainer[0]} {trainer[1]}"
    changed = changed_rules(recipe, identity.reading())
    return f"the rules changed: {'; '.join(changed)}" if changed else None
