"""The files that determine what a command does, as digests: words that are files, declared ones, the template."""

from __future__ import annotations

import fnmatch
import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from hptransfer.errors import UsageError
from hptransfer.recipe.command_sections import CommandTrainer
from hptransfer.trainers._scripts import absent_script
from hptransfer.trials.code import LARGEST_FILE, script_digests


def command_code(command: CommandTrainer, root: Path) -> dict[str, str]:
    """Sha256 (hex) by file relative to the recipe's folder, and by dotted name of local modules of Python scripts.

    Args:
        command: the recipe's `trainer` section, which names them.
        root: the recipe's folder, where relative names start.

    Raises:
        UsageError: the script or a declared pattern is not there, or files cannot be read or are too long.
    """
    if (absent := absent_script(command, root)) is not None:
        raise UsageError(absent[1].rule, received=absent[1].received, hint=absent[1].hint)
    found: dict[str, str] = {}
    paths = list(dict.fromkeys(_files(command, root)))
    if sum(path.stat().st_size for path in paths) > LARGEST_FILE:
        raise UsageError(
            "files that determine what a command does must be at most 1 GiB long, all of them together",
            received=max(paths, key=lambda path: path.stat().st_size).name,
            hint="name large data in `environment`, and their version in `data: {kind: external, version: ...}`",
        )
    for path in paths:
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
            yield from [path for path in found if path.is_file() and _inside(path, root)][:1]
    for pattern in command.files:
        names = sorted(name for name in _matching(pattern, root) if (root / name).is_file())
        if not names:
            raise UsageError(
                "each pattern in `trainer.files` must match a file",
                received=pattern,
                hint=f"patterns are relative to the recipe's folder, {root}; links out of it are not followed",
            )
        yield from (root / name for name in names)
    if command.config is not None and (root / command.config.template).is_file():
        yield root / command.config.template


def _inside(path: Path, root: Path) -> bool:
    """Programs of the machine are no files of the recipe's; and a stranger's recipe reads nothing but its own."""
    try:
        return path.resolve().is_relative_to(root.resolve())
    except (OSError, RuntimeError):  # a circle of links
        return False


def _matching(pattern: str, root: Path) -> Iterator[str]:
    """As `glob.glob`, but what leads out of the folder by a link is never entered."""
    parts = [part for part in PurePosixPath(pattern.replace("\\", "/")).parts if part != "."]
    seen: set[tuple[str, int]] = set()
    waiting = [("", 0)]
    while waiting:
        state = waiting.pop()
        if state in seen:
            continue
        seen.add(state)
        folder, at = state
        if at == len(parts):
            yield folder
            continue
        part, last = parts[at], at + 1 == len(parts)
        if part == "**" and not last:
            waiting.append((folder, at + 1))
        for name, is_folder in _entries(root, folder):
            path = f"{folder}/{name}" if folder else name
            shown = not name.startswith(".")
            if part == "**":
                # links to folders could lead around in circles
                waiting += [(path, at)] if shown and is_folder and not (root / path).is_symlink() else []
                waiting += [(path, at + 1)] if shown and last else []
            elif (shown or part.startswith(".")) and fnmatch.fnmatchcase(name, part) and (last or is_folder):
                waiting.append((path, at + 1))


def _entries(root: Path, folder: str) -> list[tuple[str, bool]]:
    """Names in a folder of the recipe's, and which are folders; what leads out of it is left out."""
    try:
        found = [(entry.name, entry.is_dir(), entry.is_symlink()) for entry in os.scandir(root / folder)]
    except OSError:  # it may not be read, or is no folder
        return []
    return [
        (name, is_folder) for name, is_folder, is_link in found if not is_link or _inside(root / folder / name, root)
    ]
