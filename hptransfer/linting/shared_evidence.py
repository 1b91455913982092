"""Recipes of one invocation that share a run folder: evidence in it cannot be that of each of them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from hptransfer.errors import Finding
from hptransfer.evidence.files import folder_of
from hptransfer.files import shown_path
from hptransfer.linting.catalogue import explanations
from hptransfer.linting.levels.base import LevelOutcome
from hptransfer.linting.validate import Validation
from hptransfer.recipe.load import LoadedRecipe
from hptransfer.recipe.rule_text import explained

_LEVEL = "evidence"


def told_apart(results: Sequence[Validation], runs: Path | None) -> list[Validation]:
    """The results, with an error on each recipe whose evidence was read for one before it.

    Args:
        results: one per recipe, in the order in which they were named.
        runs: the folder of run folders that the user named; None where none was.
    """
    runs = None if runs is None else shown_path(runs)
    first: dict[str, LoadedRecipe] = {}
    found = []
    for result in results:
        loaded = result.loaded
        if loaded is not None and _LEVEL in result.ran:
            folder = folder_of(loaded, runs)
            other = first.setdefault(os.path.realpath(folder), loaded)
            if other is not loaded:
                found.append(_with(result, _shared(loaded, other, folder)))
                continue
        found.append(result)
    return found


def _shared(loaded: LoadedRecipe, other: LoadedRecipe, folder: Path) -> Finding:
    (finding,) = explained(
        [
            Finding(
                "recipes that are checked together must have evidence of their own",
                f"{loaded.recipe.name}, which is also the name of {other.path}: both are judged by {folder}",
                "give one of them another `name`, and run it",
                loaded.place(("name",), value=True),
                "evidence/shared",
            )
        ],
        explanations(),
    )
    return finding


def _with(result: Validation, finding: Finding) -> Validation:
    def more(outcome: LevelOutcome) -> LevelOutcome:
        return replace(outcome, errors=(*outcome.errors, finding))

    outcomes = ((level, more(outcome) if level == _LEVEL else outcome) for level, outcome in result.outcomes)
    return replace(result, outcomes=tuple(outcomes))
