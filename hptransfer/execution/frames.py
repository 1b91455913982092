"""Where in the user's code a task failed, read from a Python traceback or from what faulthandler wrote in a crash."""

from __future__ import annotations

import re
import sysconfig
from dataclasses import dataclass
from pathlib import Path

_FRAME = re.compile(r'^ *File "(?P<file>[^"]+)", line (?P<line>\d+),? in (?P<function>.+)$')
_CRASH = "most recent call first"
_PACKAGE = Path(__file__).parents[1]
#: libraries that raise what their caller did wrong
_PLUMBING = ("torch", "numpy")


@dataclass(frozen=True, slots=True)
class Frame:
    """One call of a stack.

    Attributes:
        file: as Python knows it.
        line: number of the line, from 1.
        function: name of the function.
        source: the line's text; empty where it is not known.
    """

    file: str
    line: int
    function: str
    source: str = ""

    def __str__(self) -> str:
        place = f"{self.file}:{self.line} in {self.function}"
        return f"{place}: {self.source}" if self.source else place


def stacks(details: str) -> tuple[tuple[Frame, ...], ...]:
    """The stacks in `details` in order (an exception raised from another has two), each from its outermost call on."""
    found: list[list[Frame]] = []
    crashed = False
    for line in details.splitlines():
        if line.startswith("Traceback (most recent call last)") or _CRASH in line:
            crashed = _CRASH in line
            found.append([])
        elif found and (match := _FRAME.match(line)):
            frame = Frame(match["file"], int(match["line"]), match["function"].strip())
            found[-1].insert(0 if crashed else len(found[-1]), frame)
        elif found and found[-1] and not crashed and line.startswith("    ") and line.strip(" ^~"):
            last = found[-1][-1]
            found[-1][-1] = Frame(last.file, last.line, last.function, last.source or line.strip())
    return tuple(tuple(stack) for stack in found if stack)


def user_frames(details: str, most: int = 3) -> tuple[Frame, ...]:
    """The innermost calls that belong to the user, at most `most`, outermost first; empty without a stack.

    Code outside Python's own folders and outside hptransfer is the user's; where there is none, installed packages
    other than torch and numpy; where there is none either, the innermost call alone.
    """
    found = stacks(details)
    for belongs in (_is_own, _is_installed):
        for stack in reversed(found):
            if chosen := [frame for frame in stack if belongs(frame.file)]:
                return tuple(chosen[-most:])
    return found[-1][-1:] if found else ()


def _is_own(file: str) -> bool:
    return not _is_internal(file) and not any(_within(file, folder) for folder in _installed_folders())


def _is_installed(file: str) -> bool:
    plumbing = any(_within(file, folder / name) for folder in _installed_folders() for name in _PLUMBING)
    return any(_within(file, folder) for folder in _installed_folders()) and not plumbing and not _is_internal(file)


def _is_internal(file: str) -> bool:
    if file.startswith("<") or _within(file, _PACKAGE):
        return True
    standard = _within(file, Path(sysconfig.get_path("stdlib")))
    return standard and not any(_within(file, folder) for folder in _installed_folders())


def _installed_folders() -> tuple[Path, ...]:
    return Path(sysconfig.get_path("purelib")), Path(sysconfig.get_path("platlib"))


def _within(file: str, folder: Path) -> bool:
    return Path(file).is_relative_to(folder)
