"""For GitHub Actions: an annotation per finding, at its line of the recipe."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from hptransfer.errors import Finding, printable
from hptransfer.report.findings.base import Checked, by_place, counted, message, relative, repository_root, rule_id


def render(results: Sequence[Checked]) -> Iterator[str]:
    """Yields annotations, then a count: the runner shows only ten of each level per step, and says nothing of the rest.

    Args:
        results: one per file, in the order in which the files were named.
    """
    root = repository_root()
    for result in results:
        yield from (as_annotation(finding, root, level) for level, finding in by_place(result))
        yield from (f"::notice::{_data(printable(note))}" for note in result.notes)
    yield counted(results)


def as_annotation(finding: Finding, root: Path, level: str = "error") -> str:
    """The finding as a workflow command of GitHub Actions.

    Escapes as the runner unescapes them: `%`, CR and LF in the message; also `:` and `,` in properties.

    Args:
        finding: to be shown at its line of a pull request.
        root: folder of the checked-out repository; a file below it is named relative to it.
        level: the workflow command, "error" or "warning".
    """
    properties = {}
    if finding.place is not None:
        properties["file"] = relative(finding.place.file, root)
        if finding.place.line is not None:
            properties["line"] = str(finding.place.line)
        if finding.place.column is not None:
            properties["col"] = str(finding.place.column)
    properties["title"] = rule_id(finding)
    listed = ",".join(f"{name}={_property(printable(value))}" for name, value in properties.items())
    return f"::{level} {listed}::{_data(message(finding))}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
