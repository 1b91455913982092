"""Files that a `data` section names by patterns below the recipe's folder."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Annotated

from pydantic import AfterValidator, Field, ValidationInfo

from hptransfer.errors import UsageError
from hptransfer.matching import matching
from hptransfer.recipe.sections import BELOW, refused
from hptransfer.registry import may_run


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


#: bytes of all files of data that are read for a recipe that is not trusted: text takes three times its size
MOST_OF_A_STRANGER = 64 * 2**20


def files_matching(patterns: Iterable[str], root: Path, key: str) -> dict[str, Path]:
    """Files that match any of the patterns, by their path relative to the recipe's folder, sorted.

    Commands that train follow links out of the recipe's folder, because data often lie on another disk and running a
    recipe is trusting it. Where it is not trusted (`registry.untrusted_recipe`) such a link is refused.

    Args:
        patterns: globs relative to the recipe's folder.
        root: the recipe's folder, where patterns start.
        key: of the section that holds them, for messages.

    Raises:
        UsageError: a pattern matches no file, or more names than may be looked at; or an untrusted recipe's pattern
            matches a link that leads out of its folder.
    """
    found: dict[str, Path] = {}
    for pattern in patterns:
        matches = matching(pattern, root, trusted=may_run())
        if matches.outside:
            raise leading_out(key, matches.outside)
        if not matches.files:
            raise UsageError(
                f"each pattern in `data.{key}` must match a file",
                received=pattern,
                hint=f"patterns are relative to the recipe's folder, {root}",
            )
        found.update((name, root / name) for name in matches.files)
    return dict(sorted(found.items()))


def leading_out(key: str, links: Sequence[str]) -> UsageError:
    """The error of links that lead out of an untrusted recipe's folder; it says nothing of where they lead.

    Args:
        key: of the section that holds the pattern.
        links: names of the links in the recipe's folder, at least one.
    """
    more = f" and {len(links) - 1} more" if len(links) > 1 else ""
    return UsageError(
        f"`data.{key}` must name files inside the recipe's folder",
        received=f"{links[0]}{more}: a link that leads out of it, which is not followed",
        hint="copy the files below the recipe's folder; for a recipe of your own say `--trust`",
        code="path/outside",
    )


def require_readable(files: Mapping[str, Path]) -> None:
    """An untrusted recipe's files of data are read whole only within bounds.

    Args:
        files: what patterns matched, by name.

    Raises:
        UsageError: they are longer together than may be read without trust; its code is "path/limits".
    """
    if may_run():
        return
    total = sum(path.stat().st_size for path in files.values())
    if total > MOST_OF_A_STRANGER:
        raise UsageError(
            f"data of a recipe that is not trusted must be at most {MOST_OF_A_STRANGER // 2**20} MiB",
            received=f"{total / 2**20:,.0f} MiB in {len(files)} file(s)",
            hint="for a recipe of your own say `--trust`",
            code="path/limits",
        )
