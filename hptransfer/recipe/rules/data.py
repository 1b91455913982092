"""Rules of the data: recipes come from strangers' pull requests too, so they read below their own folder only."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePosixPath, PureWindowsPath

from hptransfer.recipe.rules.base import Draft, RecipeRule, Violation


def _files_outside(draft: Draft) -> Iterator[Violation]:
    for index, pattern in enumerate(draft.files.files if draft.files else ()):
        pure = PurePosixPath(pattern.replace("\\", "/"))
        if pure.is_absolute() or PureWindowsPath(pattern).drive or ".." in pure.parts or not pattern.strip():
            rule = "`data.files` must be patterns below the recipe's folder, without `..`"
            hint = "move the files below the recipe's folder, or the recipe above the files"
            yield Violation(("data", "files", index), rule, f'"{pattern}"', hint)


RULES = (
    RecipeRule(
        "recipe/files-outside", "`data.files` are patterns below the recipe's folder, without `..`", _files_outside
    ),
)
