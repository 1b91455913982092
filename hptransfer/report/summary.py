"""What `validate` and `lint` found as Markdown for the page of a CI job: a table of all files, then the findings."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from hptransfer.errors import Finding, UsageError
from hptransfer.files import located_faults
from hptransfer.report.findings.base import Checked, counted, relative, repository_root, rule_id
from hptransfer.report.markdown import code, prose, sentence, table

#: bytes that GitHub takes for the summary of one step; with more it shows none of it
MOST_BYTES = 2**20
#: bytes kept free for the line that says what was left out
_RESERVE = 300
#: files in the table
_MOST_ROWS = 500
#: characters of one part of a finding
_LONGEST = 600


def append_summary(results: Sequence[Checked], path: Path) -> None:
    """Appends the summary to a file, as far as the file has room.

    Args:
        results: one per file, in the order in which the files were named.
        path: of the file; it is made where there is none.

    Raises:
        UsageError: it is no regular file, or cannot be written.
        MachineError: the disk is full.
    """
    append_markdown(path, lambda room: summary(results, room))


def append_markdown(path: Path, written: Callable[[int], str]) -> None:
    """Appends Markdown to a file that the page of a CI job shows.

    Args:
        path: of the file; it is made where there is none.
        written: from the bytes that there is room for to the text.

    Raises:
        UsageError: it is no regular file, or cannot be written.
        MachineError: the disk is full.
    """
    with located_faults(path):
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK | os.O_CLOEXEC
        descriptor = os.open(path, flags, 0o644)
        with os.fdopen(descriptor, "ab") as file:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise UsageError("a summary is appended to a regular file", received=str(path), hint="name another")
            file.write(written(MOST_BYTES - status.st_size).encode("utf-8", "replace"))


def summary(results: Sequence[Checked], room: int = MOST_BYTES) -> str:
    """The summary, with as many findings as there is room for; what is left out is counted.

    Args:
        results: one per file, in the order in which the files were named.
        room: bytes that it may have; with too few for anything it is empty.
    """
    root = repository_root()
    lines = [f"### {counted(results)}", "", *_table(results, root), ""]
    findings = list(_findings(results, root))
    left = room - _RESERVE - _size(lines)
    if left < 0:
        short = f"### {counted(results)}\n\nThe summary of this step is full: see the log.\n\n"
        return short if len(short.encode()) <= room else ""
    for kept, line in enumerate(findings):
        left -= _size([line])
        if left < 0:
            lines += ["", f"{len(findings) - kept} findings more: see the log."]
            break
        lines.append(line)
    return "\n".join(lines) + "\n\n"


def _size(lines: Sequence[str]) -> int:
    return sum(len(line.encode("utf-8", "replace")) + 1 for line in lines)


def _table(results: Sequence[Checked], root: Path) -> Iterator[str]:
    rows = [
        [
            code(_cut(relative(result.reference, root))),
            _answer(result),
            prose(", ".join(level for level, outcome in result.outcomes if outcome.decided)) or "none",
            str(len(result.errors)),
            str(len(result.warnings)),
            str(sum(len(outcome.undecided) for _, outcome in result.outcomes)),
        ]
        for result in results[:_MOST_ROWS]
    ]
    yield from table(["file", "result", "checked", "errors", "warnings", "not decided"], rows)
    if len(results) > _MOST_ROWS:
        yield f"\n{len(results) - _MOST_ROWS} files more: see the log."


def _answer(result: Checked) -> str:
    if result.unreadable:
        return "**not read**"
    return "**errors**" if result.errors else "no error"


def _findings(results: Sequence[Checked], root: Path) -> Iterator[str]:
    """Yields a line for each finding and note, errors of all files first."""
    for level in ("error", "warning"):
        for result in results:
            found = result.errors if level == "error" else result.warnings
            yield from (_line(level, finding, result.reference, root) for finding in found)
    for result in results:
        yield from (f"- note: {sentence(_cut(note))}" for note in result.notes)


def _line(level: str, finding: Finding, reference: str, root: Path) -> str:
    place = finding.place
    where = relative(place.file if place else reference, root)
    where = ":".join(str(part) for part in (where, place and place.line, place and place.column) if part is not None)
    line = f"- **{level}** {code(rule_id(finding))} {code(_cut(where))}: {sentence(_cut(finding.rule))}"
    if finding.received is not None:
        line += f"<br>received: {sentence(_cut(finding.received))}"
    if finding.hint is not None:
        line += f"<br>hint: {sentence(_cut(finding.hint))}"
    return line


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."
