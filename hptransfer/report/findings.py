"""Findings as text, as JSON and as GitHub annotations; nothing a file contains can steer a terminal or a log."""

from __future__ import annotations

import unicodedata
from pathlib import Path

from hptransfer.errors import Finding, Place

_HIDDEN = {"Cc", "Cf", "Cs", "Zl", "Zp"}


def printable(text: str) -> str:
    """`text` on one line, without characters that move a cursor, change colours, reorder or hide text."""
    spaced = text.translate({ord(character): " " for character in "\t\n\r\u2028\u2029"})
    return "".join(character for character in spaced if unicodedata.category(character) not in _HIDDEN)


def as_text(finding: Finding, level: str = "error") -> str:
    """The finding as lines: `error: <place>: <rule>`, what was received, and after a blank line the hint."""
    where = f"{printable(str(finding.place))}: " if finding.place else ""
    lines = [f"{level}: {where}{printable(finding.rule)}"]
    if finding.received is not None:
        lines.append(f"  received: {printable(finding.received)}")
    lines += [f"  | {printable(line)}" for line in finding.excerpt]
    if finding.hint is not None:
        lines += ["", f"hint: {printable(finding.hint)}"]
    return "\n".join(lines)


def as_document(finding: Finding, level: str = "error") -> dict[str, str | int | None]:
    """The finding as a JSON object with fixed keys."""
    place = finding.place or Place("")
    return {
        "level": level,
        "code": finding.code,
        "rule": finding.rule,
        "received": finding.received,
        "hint": finding.hint,
        "file": place.file or None,
        "line": place.line,
        "column": place.column,
    }


def as_annotation(finding: Finding, root: Path, level: str = "error") -> str:
    """The finding as a workflow command of GitHub Actions, with the file relative to `root` where it lies below it.

    Escapes as the runner unescapes them: `%`, CR and LF in the message; also `:` and `,` in properties.
    """
    properties = {"title": finding.code}
    if finding.place is not None:
        properties = {"file": _relative(finding.place.file, root)}
        if finding.place.line is not None:
            properties["line"] = str(finding.place.line)
        if finding.place.column is not None:
            properties["col"] = str(finding.place.column)
        properties["title"] = finding.code
    parts = [finding.rule]
    if finding.received is not None:
        parts.append(f"received: {finding.received}")
    if finding.hint is not None:
        parts.append(f"hint: {finding.hint}")
    listed = ",".join(f"{name}={_property(printable(value))}" for name, value in properties.items())
    return f"::{level} {listed}::" + "%0A".join(_data(printable(part)) for part in parts)


def _relative(file: str, root: Path) -> str:
    try:
        return Path(file).absolute().relative_to(root.absolute()).as_posix()
    except ValueError:
        return file


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
