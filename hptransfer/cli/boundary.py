"""The one place where errors become text on stderr and an exit status (docs/exit-status.md); results own stdout.

A user's or a machine's fault is printed as rule, received, hint. Anything else is a defect of hptransfer: a short
message, the traceback only on request (`HPTRANSFER_TRACEBACK=1`), and never the values of local variables.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import sys
import traceback
from collections.abc import Callable, Sequence

from hptransfer.errors import Finding, HptransferError, Terminated
from hptransfer.execution.signals import sigterm_raises
from hptransfer.recipe.rule_text import explained
from hptransfer.report.columns import terminal_width
from hptransfer.report.findings import as_text

ENVIRONMENT = 4
DEFECT = 70
INTERRUPTED = 130
PIPE_CLOSED = 141
TERMINATED = 143

#: what the operating system refuses for reasons outside the request
_MACHINE = {
    errno.EDQUOT: "the disk must have room",
    errno.EFBIG: "the disk must have room",
    errno.ENOSPC: "the disk must have room",
    errno.EIO: "the disk must work",
    errno.EROFS: "the file system must be writable",
    errno.EACCES: "the file must be accessible",
    errno.EPERM: "the file must be accessible",
    errno.EMFILE: "more files must be allowed open (ulimit -n)",
    errno.ENFILE: "more files must be allowed open",
    errno.ENOMEM: "the machine must have enough memory",
}


def guarded(action: Callable[[], int], command: str = "the same command") -> int:
    """Run a command and return its exit status; no expected failure leaves as an exception.

    Args:
        action: the command; returns an exit status.
        command: what to run again where it was stopped.

    Returns:
        What the command returned, or the status of its failure.
    """
    try:
        with sigterm_raises():
            status = action()
            sys.stdout.flush()  # here, so that a full disk or a closed pipe is met inside the boundary
            return status
    except BaseException as error:
        return _reported(error, f"run {command} again: it continues, finished trials are kept")


def _reported(error: BaseException, going_on: str) -> int:
    """Prints an exception to stderr; its exit status."""
    match error:
        case SystemExit(code=int() as status):
            return status
        case BrokenPipeError():
            _abandon_stdout()
            return PIPE_CLOSED
        case Exception() | KeyboardInterrupt() | Terminated():
            findings, status = _explained(error, going_on)
            if status == DEFECT and os.environ.get("HPTRANSFER_TRACEBACK"):
                _write("".join(traceback.format_exception(error)).rstrip())
            _tell(findings)
            if isinstance(error, OSError):
                _abandon_stdout()
            return status
    raise error


def _explained(error: BaseException, going_on: str) -> tuple[Sequence[Finding], int]:
    """What to say about an exception, and the exit status."""
    match error:
        case HptransferError():
            return _numbered(error.findings), error.exit_status
        case KeyboardInterrupt():
            return [Finding("stopped by Ctrl-C", hint=going_on)], INTERRUPTED
        case Terminated():
            return [Finding("stopped by SIGTERM", hint=going_on)], TERMINATED
        case _:
            finding = _machine_fault(error, going_on)
            return [finding or _defect(error)], ENVIRONMENT if finding else DEFECT


def _numbered(findings: Sequence[Finding]) -> Sequence[Finding]:
    """With the numbers of their rules, as `validate` prints them."""
    if not any(finding.code and finding.id is None for finding in findings):
        return findings
    from hptransfer.linting.catalogue import explanations  # here: only a few errors are of a rule with a number

    return explained(findings, explanations())


def _machine_fault(error: BaseException, going_on: str) -> Finding | None:
    """The finding for what the machine cannot do; None when the machine is not to blame."""
    match error:
        case MemoryError():
            hint = f"close other programs, or use fewer workers or smaller sizes; then {going_on}"
            return Finding("the machine must have enough memory", hint=hint)
        case OSError(errno=number) if number in _MACHINE:
            named = f"{error.filename}: " if error.filename else ""
            return Finding(_MACHINE[number], f"{named}{error.strerror}", f"change that, then {going_on}")
        case ImportError() if not (error.name or "hptransfer").startswith("hptransfer"):
            return Finding(f"`import {error.name}` must work", str(error), "install again (docs/install.md)")
        case _:
            return None


def _defect(error: BaseException) -> Finding:
    hint = "set HPTRANSFER_TRACEBACK=1 for the traceback, and please report it"
    return Finding("this is a defect of hptransfer", f"{type(error).__name__}: {str(error)[:300]}", hint)


def _tell(findings: Sequence[Finding]) -> None:
    for index, finding in enumerate(findings):
        text = as_text(finding, width=terminal_width(sys.stderr))
        if _colour():
            text = re.sub(r"^error(\[\w+\])?:", "\x1b[1;31m\\g<0>\x1b[0m", text)
            text = text.replace("\nhint:", "\n\x1b[1;36mhint:\x1b[0m")
        _write(f"\n{text}" if index else text)
    if len(findings) > 1:
        _write(f"\n{len(findings)} errors")


def _colour() -> bool:
    return sys.stderr.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def _write(text: str) -> None:
    with contextlib.suppress(OSError, ValueError):  # stderr may be closed; there is nobody left to tell
        print(text, file=sys.stderr, flush=True)


def _abandon_stdout() -> None:
    """Point stdout at nothing, or the interpreter's last flush fails again and spoils the exit status."""
    with contextlib.suppress(OSError, ValueError):
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, sys.stdout.fileno())
        os.close(nothing)
