"""One finding as text, the registry of formats, and what formats have in common."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from hptransfer.errors import Finding, printable
from hptransfer.registry import Registry

if TYPE_CHECKING:
    from hptransfer.linting.validate import Validation

#: name of a format -> what turns the validations of all recipes into lines of output
FORMATS: Registry[Callable[[Sequence[Validation]], Iterator[str]]] = Registry(
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


def count_errors(results: Sequence[Validation]) -> int:
    """Number of errors in all recipes.

    Args:
        results: one validation per recipe that was named.
    """
    return sum(len(result.errors) for result in results)


def count_warnings(results: Sequence[Validation]) -> int:
    """Number of warnings in all recipes.

    Args:
        results: one validation per recipe that was named.
    """
    return sum(len(result.warnings) for result in results)


def counted(results: Sequence[Validation]) -> str:
    """The last line for people: "3 recipes checked: 2 errors, 1 warning".

    Args:
        results: one validation per recipe that was named.
    """
    counts = ((len(results), "recipe"), (count_errors(results), "error"), (count_warnings(results), "warning"))
    checked, *found = (f"{number} {noun}{'' if number == 1 else 's'}" for number, noun in counts)
    return f"{checked} checked: {', '.join(found)}"
