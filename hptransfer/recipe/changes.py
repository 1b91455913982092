"""How two versions of a recipe differ, key by key, and what each difference means for trials that are finished."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from hptransfer.hyperparameters import NAMES
from hptransfer.recipe.command_sections import NOT_IDENTIFYING
from hptransfer.recipe.schema import Recipe
from hptransfer.recipe.training import MACHINE


class Effect(StrEnum):
    """What becomes of finished trials."""

    NONE = "changes no trial"
    REUSE = "trials that still fit are reused"
    ANEW = "trains anew"


@dataclass(frozen=True, slots=True)
class Former:
    """What became of a key of an earlier version.

    Attributes:
        instead: what is written now, with its place; None where nothing replaces it.
        reason: why nothing does, as a sentence; empty where something does.
    """

    instead: str | None = None
    reason: str = ""


#: keys of earlier versions -> what became of them
REMOVED: Mapping[tuple[str, ...], Former] = {
    ("tune", "early_stopping"): Former(
        reason="early_stopping was removed: measurements showed no gain (docs/search.md)"
    ),
    ("check", "sharpness"): Former("`diagnostics: [sharpness]` in `check`"),
    ("check", "noise_scale"): Former("`diagnostics: [noise-scale]` in `check`"),
    ("check", "coordinate", "linearisation"): Former("`diagnostics: [linearization]` in `check`"),
}

#: longest prefix of a key -> effect; every key has one
_EFFECTS = {
    "name": Effect.NONE,
    "description": Effect.NONE,
    "budget": Effect.NONE,
    "expect": Effect.NONE,
    "training.processes": Effect.NONE,  # the loss stays the same up to rounding
    **dict.fromkeys((f"trainer.{key}" for key in NOT_IDENTIFYING), Effect.NONE),
    **{f"training.{name}": Effect.NONE for name in MACHINE},
    "sizes.target": Effect.NONE,
    "sizes": Effect.REUSE,  # of a ladder and a proxy: a trial's key has its own size
    "tune": Effect.REUSE,
    "check": Effect.REUSE,
}


@dataclass(frozen=True, slots=True)
class Change:
    """One key that differs.

    Attributes:
        key: dotted path, for example "tune.trials".
        old: value in the earlier recipe; None where it lacks the key.
        new: value in the later recipe; None where it lacks the key.
        effect: what becomes of trials that finished under the earlier recipe.
    """

    key: str
    old: Any
    new: Any
    effect: Effect

    def __str__(self) -> str:
        return f"{self.key}: {_shown(self.old)} -> {_shown(self.new)} ({self.effect})"


def without_removed_keys(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """A recipe that an earlier version wrote down, without the keys that are no more.

    Args:
        recipe: as JSON-able data, defaults written out.
    """
    return {name: _kept((name,), value) for name, value in recipe.items() if (name,) not in REMOVED}


def _kept(path: tuple[str, ...], value: Any) -> Any:
    if not isinstance(value, Mapping):
        return value
    return {key: _kept((*path, key), item) for key, item in value.items() if (*path, key) not in REMOVED}


def changes(old: Recipe, new: Recipe) -> tuple[Change, ...]:
    """Every key whose value differs, in the recipe's order; defaults count as written.

    Args:
        old: the recipe as it was before.
        new: the later recipe, whose order of keys counts.
    """
    before, after = _leaves(old.model_dump(mode="json")), _leaves(new.model_dump(mode="json"))
    keys = [*after, *(key for key in before if key not in after)]
    searched = {str(name) for name in old.tune.space if name in new.tune.space}
    return tuple(
        Change(key, before.get(key), after.get(key), _effect(key, searched))
        for key in keys
        if before.get(key) != after.get(key)
    )


def _effect(key: str, searched: set[str]) -> Effect:
    section, _, name = key.partition(".")
    if section == "training" and name in NAMES and name in searched:
        return Effect.NONE  # every trial of the search has its own value
    if key == "sizes.base" or key.startswith("sizes.base."):
        return Effect.ANEW
    for end in range(key.count(".") + 1, 0, -1):
        effect = _EFFECTS.get(".".join(key.split(".")[:end]))
        if effect is not None:
            return effect
    return Effect.ANEW


def _leaves(value: Mapping[str, Any]) -> dict[str, Any]:
    return dict(_walk("", value))


def _walk(path: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping) and value:
        for key, item in value.items():
            yield from _walk(f"{path}.{key}" if path else str(key), item)
    else:
        yield path, value


def _shown(value: Any) -> str:
    text = "nothing" if value in (None, {}) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:57]}..."
