"""Everything that is a user's or a machine's fault, as data; `cli` is the one place that turns it into text.

Exit status (docs/exit-status.md): 0 it holds; 1 it was checked and does not hold; 2 it could not be run (usage,
recipe); 3 inconclusive or out of budget; 4 environment or storage; 130 and 143 signals.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

_HIDDEN = {"Cc", "Cf", "Cs", "Zl", "Zp"}


def printable(text: str) -> str:
    """The text on one line, without characters that move a cursor, change colours, reorder or hide text.

    Args:
        text: from a file or another process, which may try to steer a terminal or a log.
    """
    spaced = text.translate({ord(character): " " for character in "\t\n\r\u2028\u2029"})
    return "".join(character for character in spaced if unicodedata.category(character) not in _HIDDEN)


@dataclass(frozen=True, slots=True)
class Place:
    """A position in a file the user wrote; line and column count from 1, `None` when they are not known."""

    file: str
    line: int | None = None
    column: int | None = None

    def __str__(self) -> str:
        return ":".join(str(part) for part in (self.file, self.line, self.column) if part is not None)


@dataclass(frozen=True, slots=True)
class Finding:
    """One violated rule.

    Attributes:
        rule: the rule as a sentence, for example "`width >= 1` must hold".
        received: what was found instead.
        hint: what to do about it.
        place: where, when the fault lies in a file.
        code: stable identifier for CI formats, for example "recipe/unknown-key".
        excerpt: lines that show the fault, for example the last calls of a traceback.
        id: number of the rule, "HPT101", where it has one.
    """

    rule: str
    received: str | None = None
    hint: str | None = None
    place: Place | None = None
    code: str = "usage"
    excerpt: tuple[str, ...] = ()
    id: str | None = None


class Terminated(BaseException):
    """SIGTERM arrived: a request, like KeyboardInterrupt, raised in the main thread so that `finally` blocks run."""


class HptransferError(Exception):
    """Root of all expected failures; carries findings and an exit status, never a traceback for the user."""

    exit_status = 2

    def __init__(
        self,
        rule: str,
        *,
        received: str | None = None,
        hint: str | None = None,
        place: Place | None = None,
        code: str = "usage",
        excerpt: tuple[str, ...] = (),
    ) -> None:
        super().__init__(rule if received is None else f"{rule}; received: {received}")
        self.findings: tuple[Finding, ...] = (Finding(rule, received, hint, place, code, excerpt),)

    def __str__(self) -> str:
        """All findings with their hints, in the words of the command line, one finding per line."""
        return "\n".join(
            "; ".join(
                [
                    finding.rule,
                    *([] if finding.received is None else [f"received: {finding.received}"]),
                    *([] if finding.hint is None else [f"hint: {finding.hint}"]),
                ]
            )
            for finding in self.findings
        )

    @classmethod
    def of(cls, findings: Iterable[Finding]) -> Self:
        """An error with several findings.

        Args:
            findings: one or more, in the order in which they are printed.
        """
        first, *rest = findings
        error = cls(first.rule, received=first.received)
        error.findings = (first, *rest)
        return error

    def __reduce__(self) -> tuple[object, ...]:
        """Errors cross process boundaries: rebuild from the findings, not from the message."""
        return (_rebuild, (type(self), self.findings))


def _rebuild(kind: type[HptransferError], findings: tuple[Finding, ...]) -> HptransferError:
    error = kind(findings[0].rule, received=findings[0].received)
    error.findings = findings
    return error


class UsageError(HptransferError):
    """A command, an argument or a combination of them cannot be run."""


class RecipeError(HptransferError):
    """A recipe breaks rules; all of them are reported at once."""

    def __init__(self, rule: str | Iterable[Finding], **details: str | None) -> None:
        if isinstance(rule, str):
            super().__init__(rule, received=details.get("received"), hint=details.get("hint"))
            return
        findings = tuple(rule)
        first = findings[0]
        super().__init__(first.rule, received=first.received)
        self.findings = findings


class RefusedError(HptransferError):
    """It was checked and does not hold, so the tool refuses to go on (exit status 1)."""

    exit_status = 1


class InconclusiveError(HptransferError):
    """It was checked and the evidence decides nothing, so the tool does not go on (exit status 3)."""

    exit_status = 3


class BudgetError(InconclusiveError):
    """A limit of the budget was reached before there was an answer; a higher limit continues (exit status 3)."""


class StoppedError(HptransferError):
    """Another command asked this one to stop; like Ctrl-C, it can be continued (exit status 130)."""

    exit_status = 130


class MachineError(HptransferError):
    """Disk, memory, permissions, a database or a lock: the environment, not the request (exit status 4)."""

    exit_status = 4
