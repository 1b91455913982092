"""The files that determine what a command does, as digests: words that are files, declared ones, the template."""

from __future__ import annotations

import glob
from collections.abc import Iterator
from pathlib import Path

from hptransfer.errors import UsageError
from hptransfer.recipe.command_sections import CommandTrainer
from hptransfer.trials.code import script_digests


def command_code(command: CommandTrainer, root: Path) -> dict[str, str]:
    """Sha256 (hex) by file relative to the recipe's folder, and by dotted name of local modules of Python scripts.

    Args:
        command: the recipe's `trainer` section, which names them.
        root: the recipe's folder, where relative names start.

    Raises:
        UsageError: a declared pattern matches nothing, or a file cannot be read.
    """
    found: dict[str, str] = {}
    for path in _files(command, root):
        found |= script_digests(path, root)
    return found


def _files(command: CommandTrainer, root: Path) -> Iterator[Path]:
    words = command.command.split() if isinstance(command.command, str) else command.command
    places = [root] if "{" in command.cwd else [root / command.cwd, root]
    for word in words:
        # `{recipe_dir}/train.py` is how a command that runs elsewhere names its script
        name = word.removeprefix("{recipe_dir}/").strip("'\"")
        if 0 < len(name) < 1000 and "{" not in name and "\0" not in name:
            found = (place / name for place in places)
            yield from [path for path in found if path.is_file() and _inside(path, places)][:1]
    for pattern in command.files:
        names = sorted(name for name in glob.glob(pattern, root_dir=root, recursive=True) if (root / name).is_file())
        if not names:
            raise UsageError(
                "each pattern in `trainer.files` must match a file",
                received=pattern,
                hint=f"patterns are relative to the recipe's folder, {root}",
            )
        yield from (root / name for name in names)
    if command.config is not None and (root / command.config.template).is_file():
        yield root / command.config.template


def _inside(path: Path, places: list[Path]) -> bool:
    """Programs of the machine, such as an interpreter by its path, are no files of the recipe's."""
    return any(path.resolve().is_relative_to(place.resolve()) for place in places)
