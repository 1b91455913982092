"""How a task ended: a value, or one of four causes that decide whether to try again; and where it failed."""

from __future__ import annotations

import re
import signal
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from hptransfer.user_code import is_installed, is_own

Cause = Literal["error", "out of memory", "killed", "timeout"]

#: what torch, CUDA, the C++ library and Python say; the exception's type is looked at first (accelerate #4226)
_MEMORY_TYPES = ("MemoryError", "OutOfMemoryError")
_MEMORY_TEXTS = (
    "out of memory",
    "can't allocate memory",
    "cannot allocate memory",
    "not enough memory",
    "std::bad_alloc",
)


class KilledError(Exception):
    """A task reports that a process it had started was killed from outside."""


class TaskError(Exception):
    """A task failed for a reason that it knows.

    Args:
        message: one line for a person.
        cause: which of the four it was.
        details: what is shown instead of a traceback, for example the last lines that a program wrote.
    """

    def __init__(self, message: str, cause: Cause = "error", details: str = "") -> None:
        super().__init__(message)
        self.cause, self.details = cause, details


@dataclass(frozen=True, slots=True)
class Success:
    """A task that returned.

    Attributes:
        task_id: the id with which the task was submitted.
        value: what the entry function returned, as JSON carries it.
        seconds: monotonic time inside the entry function, without the start of the process.
    """

    task_id: str
    value: Any
    seconds: float


@dataclass(frozen=True, slots=True)
class Failure:
    """A task that did not return.

    Attributes:
        task_id: the id with which the task was submitted.
        cause: "error" (it raised or crashed), "out of memory", "killed" (from outside), "timeout".
        message: one line for a person.
        details: the traceback, or the last lines that the process wrote to stderr.
        seconds: monotonic time since the task was handed to a process.
    """

    task_id: str
    cause: Cause
    message: str
    details: str = ""
    seconds: float = 0.0


class FailureStreak:
    """Counts failures in a row, so that a run or a worker stops where the next trial would fail too.

    Args:
        most: this many failures in a row are too many.
        alike: whether only failures with the same cause and message are counted together.
    """

    def __init__(self, most: int, *, alike: bool) -> None:
        self._most, self._alike = most, alike
        self._last: Failure | None = None
        self._count = 0

    def reset(self) -> None:
        """A task succeeded."""
        self._last, self._count = None, 0

    def add(self, failure: Failure) -> bool:
        """Counts a failure; whether there are too many in a row now."""
        if self._alike and self._last and failure_signature(self._last) != failure_signature(failure):
            self._count = 0
        self._last, self._count = failure, self._count + 1
        return self._count >= self._most


def failure_signature(failure: Failure) -> tuple[str, str]:
    """What makes two failures equal: the cause, and the message without addresses and counts."""
    return failure.cause, re.sub(r"0x[0-9a-fA-F]+|\d+(\.\d+)?", "#", failure.message)


def outcome_to_dict(outcome: Success | Failure) -> dict[str, Any]:
    """The fields of an outcome but its task, as JSON-able data."""
    fields = asdict(outcome)
    del fields["task_id"]
    return fields


def outcome_from_dict(task_id: str, done: bool, fields: Mapping[str, Any]) -> Success | Failure:
    """The inverse of `outcome_to_dict`.

    Args:
        task_id: the id with which the task was submitted.
        done: whether the task returned a value; else it failed.
        fields: by name, what `outcome_to_dict` gave.
    """
    return Success(task_id, **fields) if done else Failure(task_id, **fields)


def classify_exception(type_name: str, message: str) -> Cause:
    """The cause of a task whose entry function raised an exception of this type with this message."""
    if type_name in _MEMORY_TYPES or speaks_of_memory(message):
        return "out of memory"
    return "killed" if type_name == KilledError.__name__ else "error"


def classify_death(returncode: int, stderr: str, *, oom_kill: bool) -> tuple[Cause, str]:
    """Cause and message for a task whose process is gone without an answer.

    Args:
        returncode: as `subprocess.Popen.returncode` gives it: negative for a signal.
        stderr: the last output of the process.
        oom_kill: whether the kernel's memory controller killed a process of this group meanwhile.
    """
    if speaks_of_memory(stderr):
        return "out of memory", "the worker process ran out of memory and died"
    if returncode >= 0:
        return "error", f"the worker process exited with status {returncode} in the middle of a task"
    name = signal_name(-returncode)
    if returncode == -signal.SIGKILL and oom_kill:
        return "out of memory", "the kernel killed the worker process because memory ran out"
    if returncode in (-signal.SIGKILL, -signal.SIGTERM, -signal.SIGINT, -signal.SIGHUP):
        return "killed", f"the worker process was killed by {name}"
    return "error", f"the worker process crashed with {name}"


def speaks_of_memory(text: str) -> bool:
    """Whether what a process wrote says that memory ran out.

    Args:
        text: of any length, for example the last lines of its stderr.
    """
    lowered = text.lower()
    return any(phrase in lowered for phrase in _MEMORY_TEXTS)


def signal_name(number: int) -> str:
    """Name of a signal, for example SIGKILL.

    Args:
        number: of the signal, above 0.
    """
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


# Where in the user's code a task failed, read from a Python traceback or from what faulthandler wrote in a crash.

_FRAME = re.compile(r'^ *File "(?P<file>[^"]+)", line (?P<line>\d+),? in (?P<function>.+)$')
_CRASH = "most recent call first"


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
    for belongs in (is_own, is_installed):
        for stack in reversed(found):
            if chosen := [frame for frame in stack if belongs(frame.file)]:
                return tuple(chosen[-most:])
    return found[-1][-1:] if found else ()
