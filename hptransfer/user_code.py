"""Code that a user gave, where it fails: its file and line, the exception and its message; never a file of ours."""

from __future__ import annotations

import os
import sys
import sysconfig
import traceback
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, NoReturn
from unittest.mock import patch

_PACKAGE = Path(__file__).parent
#: libraries that raise what their caller did wrong
_PLUMBING = ("torch", "numpy")


@dataclass(frozen=True, slots=True)
class Raised:
    """Where an exception was raised.

    Attributes:
        file: as Python knows it.
        line: number of the line, from 1.
        function: name of the function; none where it lies outside of every function.
    """

    file: str
    line: int
    function: str

    def __str__(self) -> str:
        return f"{short_path(self.file)}:{self.line}" + (
            f" in {self.function}" if self.function not in ("", "<module>") else ""
        )


#: functions that end this process at once, or put another program in its place
_ENDINGS = ("_exit", "execv", "execve")


@contextmanager
def ending_raises() -> Iterator[None]:
    """Within it `os._exit` and `os.exec...` raise `SystemExit`, so that no code can end this process unnoticed."""
    own = os.getpid()

    def instead(name: str, ends: Callable[..., Any]) -> Callable[..., NoReturn]:
        def ending(*arguments: Any) -> NoReturn:
            if os.getpid() != own:  # a child that was forked ends itself so
                ends(*arguments)
            raise SystemExit(f"os.{name}({', '.join(map(repr, arguments[:1]))}) was called")

        return ending

    with ExitStack() as stack:
        for module in (os, sys.modules[os.name]):  # os takes them from posix or nt, as others may
            for name in _ENDINGS:
                stack.enter_context(patch.object(module, name, instead(name, getattr(module, name))))
        yield


def raised_in(error: BaseException) -> Raised | None:
    """The innermost call in the user's code, or in an installed package other than torch and numpy; None without one.

    Args:
        error: as it was caught; what it was raised from is asked where its own calls are all ours.
    """
    if isinstance(error, SyntaxError) and error.filename and not is_internal(error.filename):
        return Raised(error.filename, error.lineno or 1, "")
    for belongs in (is_own, is_installed):
        at = _innermost(error, belongs)
        if at is not None:
            return at
    return None


def _innermost(error: BaseException, belongs: Callable[[str], bool]) -> Raised | None:
    seen: BaseException | None = error
    while seen is not None:
        for call in reversed(traceback.extract_tb(seen.__traceback__)):
            if belongs(call.filename):
                return Raised(call.filename, call.lineno or 1, call.name)
        seen = seen.__cause__ or (None if seen.__suppress_context__ else seen.__context__)
    return None


def described_error(error: BaseException) -> str:
    """An exception of the user's code in one line: place, type and message, "model.py:41 in forward: ValueError: ...".

    Args:
        error: as it was caught.
    """
    at = raised_in(error)
    place = "" if at is None else f"{at}: "
    said = " ".join(str(error).split())
    return f"{place}{type(error).__name__}" + (f": {said}" if said else "")


def short_path(file: str) -> str:
    """A path as a message has it: relative to the working directory where it lies below that.

    Args:
        file: as Python knows it.
    """
    relative = os.path.relpath(file)
    return file if relative.startswith(os.pardir) else relative


def is_own(file: str) -> bool:
    """Whether a file is neither hptransfer's nor Python's nor that of an installed package.

    Args:
        file: as a stack names it.
    """
    return not is_internal(file) and not any(_within(file, folder) for folder in _installed_folders())


def is_installed(file: str) -> bool:
    """Whether a file is that of an installed package which does not only pass on what its caller did.

    Args:
        file: as a stack names it.
    """
    installed = any(_within(file, folder) for folder in _installed_folders())
    return installed and not is_plumbing(file) and not is_internal(file)


def is_plumbing(file: str) -> bool:
    """Whether a file is torch's or NumPy's, which raise what their caller did wrong.

    Args:
        file: as a stack names it.
    """
    return any(_within(file, folder / name) for folder in _installed_folders() for name in _PLUMBING)


def is_internal(file: str) -> bool:
    """Whether a file belongs to hptransfer or to Python itself.

    Args:
        file: as a stack names it.
    """
    if file.startswith("<") or _within(file, _PACKAGE):
        return True
    return _within(file, _standard()) and not any(_within(file, folder) for folder in _installed_folders())


@cache
def _standard() -> Path:
    return Path(sysconfig.get_path("stdlib"))


@cache
def _installed_folders() -> tuple[Path, ...]:
    return Path(sysconfig.get_path("purelib")), Path(sysconfig.get_path("platlib"))


def _within(file: str, folder: Path) -> bool:
    return Path(file).is_relative_to(folder)
