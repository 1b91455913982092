"""For programs: one JSON object with every file's findings, a recipe's with its hash."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

from hptransfer.errors import Finding, Place
from hptransfer.report.findings.base import Checked, by_place, count_errors, count_warnings


def as_document(finding: Finding, level: str = "error") -> dict[str, str | int | None]:
    """The finding as a JSON object with fixed keys.

    Args:
        finding: to be written; its excerpt is left out.
        level: value of the key "level", "error" or "warning".
    """
    place = finding.place or Place("")
    return {
        "level": level,
        "id": finding.id,
        "code": finding.code,
        "rule": finding.rule,
        "received": finding.received,
        "hint": finding.hint,
        # a name that is no text has halves of characters, which JSON's readers refuse
        "file": place.file.encode("utf-8", "backslashreplace").decode() or None,
        "line": place.line,
        "column": place.column,
    }


def render(results: Sequence[Checked]) -> Iterator[str]:
    """Yields the whole document as one text.

    Args:
        results: one per file, in the order in which the files were named.
    """
    found = [
        {
            **result.summary,
            "findings": [as_document(finding, level) for level, finding in by_place(result)],
        }
        for result in results
    ]
    document = {f"{results[0].noun}s": found, "errors": count_errors(results), "warnings": count_warnings(results)}
    yield json.dumps(document, indent=2)
