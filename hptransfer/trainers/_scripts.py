"""The script that a command runs: which word names it, and whether it is there before anything is trained."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path, PurePosixPath

from hptransfer.errors import Finding
from hptransfer.recipe import suggestion
from hptransfer.recipe.command_sections import CommandTrainer

_INTERPRETER = re.compile(r"(python|pypy)[\d.]*|ba?sh|dash|zsh|perl|ruby|node|julia|Rscript")
#: of interpreters: options that take the next word, and those after which no file is run
_TAKING, _NO_FILE = ("-W", "-X", "--check-hash-based-pycs"), ("-c", "-m", "-e", "-s", "-i", "-E", "--eval")
#: programs that start a Python script, with options of their own before it
_LAUNCHERS = ("torchrun", "deepspeed", "accelerate")
_SUFFIXES = (".py", ".sh", ".pl", ".rb", ".js", ".mjs", ".jl", ".R")
#: what makes a text for a shell more than the words of one program
_SHELL = re.compile(r"[;&|<>$`()\n*?#\\]|(^|\s)cd\s")
#: entries of a folder among which a name is looked for
_MOST = 2_000


def absent_script(command: CommandTrainer, root: Path) -> tuple[int | None, Finding] | None:
    """The word that names a script which is not there; None where it is, or where that cannot be known.

    Nothing outside of the recipe's folder is looked at: whether it is there is not a stranger's to ask.

    Args:
        command: the recipe's `trainer` section.
        root: the recipe's folder, where relative names start.

    Returns:
        The index of the word, None in a text for a shell, and the finding.
    """
    text = command.command
    if isinstance(text, str) and _SHELL.search(text):
        return None
    words = text.split() if isinstance(text, str) else text
    at = _script(words)
    if at is None or "{" in command.cwd:
        return None
    name = words[at].removeprefix("{recipe_dir}/")
    path = PurePosixPath(name)
    if "{" in name or "\0" in name or path.is_absolute() or ".." in (*path.parts, *PurePosixPath(command.cwd).parts):
        return None
    places = [root] if words[at].startswith("{recipe_dir}/") else [root / command.cwd, root]
    if any(os.path.lexists(place / name) for place in places):
        return None
    there = sorted(_beside(places[0] / path.parent, path.suffix))
    guess = suggestion.closest(path.name, there)
    hint = f"did you mean `{path.with_name(guess)}`?" if guess else "put it there, or correct the name"
    where = "the recipe's folder" if places[0] == root else f"`{command.cwd}`, its `cwd`"
    finding = Finding("the script that a command runs must be there", f"no {path} in {where}", hint)
    return (None if isinstance(text, str) else at), finding


def _script(words: Sequence[str]) -> int | None:
    """Index of the word that names the script."""
    if not words:
        return None
    first = PurePosixPath(words[0])
    if first.name in _LAUNCHERS:
        return next((at for at, word in enumerate(words[1:], 1) if word.endswith(".py") and word[:1] != "-"), None)
    if words[0] != "{python}" and not _INTERPRETER.fullmatch(first.name):
        return 0 if first.suffix in _SUFFIXES and "/" in words[0] else None
    at = 1
    while at < len(words) and words[at].startswith("-"):
        if words[at].startswith(_NO_FILE) or words[at] == "-":
            return None
        at += 2 if words[at] in _TAKING else 1
    return at if at < len(words) else None


def _beside(folder: Path, suffix: str) -> Iterator[str]:
    try:
        with os.scandir(folder) as entries:
            yield from [entry.name for entry in islice(entries, _MOST) if entry.name.endswith(suffix or "")]
    except OSError:  # there is no such folder
        return
