"""Files that a `data` section names by patterns below the recipe's folder."""

from __future__ import annotations

import glob
from collections.abc import Iterable
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Annotated

from pydantic import AfterValidator, Field, ValidationInfo

from hptransfer.errors import UsageError
from hptransfer.recipe.sections import BELOW, refused


def _below_the_recipe(pattern: str, info: ValidationInfo) -> str:
    """Recipes come from strangers' pull requests too: they read below their own folder only."""
    pure = PurePosixPath(pattern.replace("\\", "/"))
    if pure.is_absolute() or PureWindowsPath(pattern).drive or ".." in pure.parts or not pattern.strip():
        raise refused(
            "recipe/files-outside",
            f"`data.{info.field_name}` must be patterns below the recipe's folder, without `..`",
            "move the files below the recipe's folder, or the recipe above the files",
        )
    return pattern


#: a glob pattern relative to the recipe's folder
Pattern = Annotated[str, AfterValidator(_below_the_recipe), BELOW]
#: at least one
Patterns = Annotated[tuple[Pattern, ...], Field(min_length=1, strict=False)]


def files_matching(patterns: Iterable[str], root: Path, key: str) -> dict[str, Path]:
    """Files that match any of the patterns, by their path relative to the recipe's folder, sorted.

    Args:
        patterns: globs relative to the recipe's folder.
        root: the recipe's folder, where patterns start.
        key: of the section that holds them, for messages.

    Raises:
        UsageError: a pattern matches no file.
    """
    found: dict[str, Path] = {}
    for pattern in patterns:
        names = [name for name in glob.glob(pattern, root_dir=root, recursive=True) if (root / name).is_file()]
        if not names:
            raise UsageError(
                f"each pattern in `data.{key}` must match a file",
                received=pattern,
                hint=f"patterns are relative to the recipe's folder, {root}",
            )
        found.update((Path(name).as_posix(), root / name) for name in names)
    return dict(sorted(found.items()))
