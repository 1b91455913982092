"""One finding as text, the registry of formats, and what formats have in common."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
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
    def sources(self) -> Mapping[str, str]:
        """Path of a file -> its text as it was checked, where it could be read; excerpts are made of it."""

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


def as_text(finding: Finding, level: str = "error", shown: Sequence[str] = ()) -> str:
    """The finding as lines: `error[HPT112]: <place>: <rule>`, what was received, and after a blank line the hint.

    Args:
        finding: to be printed; nothing in it can steer a terminal or a log.
        level: first word of the first line, "error" or "warning".
        shown: the excerpt of the file, as `excerpt` makes it.
    """
    where = f"{printable(str(finding.place))}: " if finding.place else ""
    number = f"[{printable(finding.id)}]" if finding.id else ""
    lines = [f"{level}{number}: {where}{printable(finding.rule)}", *shown]
    if finding.received is not None:
        lines.append(f"  received: {printable(finding.received)}")
    lines += [f"  | {printable(line)}" for line in finding.excerpt]
    if finding.hint is not None:
        lines += ["", f"hint: {printable(finding.hint)}"]
    return "\n".join(lines)


def by_place(result: Checked) -> list[tuple[str, Finding]]:
    """Errors and warnings of one file together, each with its level, as they stand in the file.

    Args:
        result: of one file; findings in other files come after its own, file by file.
    """
    found = [("error", each) for each in result.errors] + [("warning", each) for each in result.warnings]
    files = list(dict.fromkeys([*result.sources, *(each.place.file for _, each in found if each.place)]))

    def order(levelled: tuple[str, Finding]) -> tuple[int, int, int]:
        place = levelled[1].place
        return (-1, 0, 0) if place is None else (files.index(place.file), place.line or 0, place.column or 0)

    return sorted(found, key=order)


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
