"""One finding as text, the registry of formats, and what formats have in common."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

from hptransfer.errors import Finding, printable
from hptransfer.registry import Registry


class Checked(Protocol):
    """What was found in one file: a recipe, or a file of another framework."""

    @property
    def noun(self) -> str:
        """What is counted, in the singular: "recipe"."""

    @property
    def errors(self) -> tuple[Finding, ...]:
        """What is wrong."""

    @property
    def warnings(self) -> tuple[Finding, ...]:
        """What is weak, or may be meant so."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What else a reader must know, a sentence each."""

    @property
    def sound(self) -> str | None:
        """The line for people where nothing is wrong; None where something is."""

    @property
    def summary(self) -> dict[str, Any]:
        """What programs are told, but for the findings."""


#: name of a format -> what turns what was found in all files into lines of output
FORMATS: Registry[Callable[[Sequence[Checked]], Iterator[str]]] = Registry(
    "format", "hptransfer.report.findings", "render"
)


def as_text(finding: Finding, level: str = "error") -> str:
    """The finding as lines: `error: <place>: <rule>`, what was received, and after a blank line the hint.

    Args:
        finding: to be printed; nothing in it can steer a terminal or a log.
        level: first word of the first line, "error" or "warning".
    """
    where = f"{printable(str(finding.place))}: " if finding.place else ""
    lines = [f"{level}: {where}{printable(finding.rule)}"]
    if finding.received is not None:
        lines.append(f"  received: {printable(finding.received)}")
    lines += [f"  | {printable(line)}" for line in finding.excerpt]
    if finding.hint is not None:
        lines += ["", f"hint: {printable(finding.hint)}"]
    return "\n".join(lines)


def count_errors(results: Sequence[Checked]) -> int:
    """Number of errors in all files.

    Args:
        results: one per file that was named.
    """
    return sum(len(result.errors) for result in results)


def count_warnings(results: Sequence[Checked]) -> int:
    """Number of warnings in all files.

    Args:
        results: one per file that was named.
    """
    return sum(len(result.warnings) for result in results)


def counted(results: Sequence[Checked]) -> str:
    """The last line for people: "3 recipes checked: 2 errors, 1 warning".

    Args:
        results: one per file that was named.
    """
    counts = (
        (len(results), results[0].noun if results else "recipe"),
        (count_errors(results), "error"),
        (count_warnings(results), "warning"),
    )
    checked, *found = (f"{number} {noun}{'' if number == 1 else 's'}" for number, noun in counts)
    return f"{checked} checked: {', '.join(found)}"
