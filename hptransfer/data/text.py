"""The user's own files."""

from __future__ import annotations

import glob
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from hptransfer.data.base import SplitText, split_text
from hptransfer.errors import UsageError
from hptransfer.recipe.sections import DataSection, refused


def _below_the_recipe(pattern: str) -> str:
    """Recipes come from strangers' pull requests too: they read below their own folder only."""
    pure = PurePosixPath(pattern.replace("\\", "/"))
    if pure.is_absolute() or PureWindowsPath(pattern).drive or ".." in pure.parts or not pattern.strip():
        raise refused(
            "recipe/files-outside",
            "`data.files` must be patterns below the recipe's folder, without `..`",
            "move the files below the recipe's folder, or the recipe above the files",
        )
    return pattern


class TextFiles(DataSection):
    """The user's own files, read as bytes."""

    kind: Literal["text"]
    files: Annotated[tuple[Annotated[str, AfterValidator(_below_the_recipe)], ...], Field(min_length=1, strict=False)]
    """glob patterns relative to the recipe's folder"""
    validation_fraction: Annotated[float, Field(gt=0, lt=1)] = 0.1


class TextSource:
    """Reads every file that a pattern matches, once."""

    section = TextFiles

    def read(self, section: TextFiles, root: Path, /) -> SplitText:
        """As `DataSource.read`.

        Raises:
            UsageError: a pattern matches nothing, or there are fewer than two bytes.
        """
        texts = {name: path.read_bytes() for name, path in matching_files(section, root).items()}
        return split_text(texts, section.validation_fraction)


SOURCE = TextSource()


def matching_files(data: TextFiles, root: Path) -> dict[str, Path]:
    """Files that match any of the patterns, by their path relative to the recipe's folder, sorted.

    Args:
        data: the section with the patterns.
        root: the recipe's folder, where patterns start.

    Raises:
        UsageError: a pattern matches no file.
    """
    found: dict[str, Path] = {}
    for pattern in data.files:
        names = [name for name in glob.glob(pattern, root_dir=root, recursive=True) if (root / name).is_file()]
        if not names:
            raise UsageError(
                "each pattern in `data.files` must match a file",
                received=pattern,
                hint=f"patterns are relative to the recipe's folder, {root}",
            )
        found.update((Path(name).as_posix(), root / name) for name in names)
    return dict(sorted(found.items()))
