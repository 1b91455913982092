"""For code scanning: SARIF 2.1.0, within the limits that GitHub has; what was left out is said in the file itself."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from hptransfer.errors import Finding, printable
from hptransfer.provenance import tool_version
from hptransfer.report.findings.base import (
    Checked,
    fingerprints,
    message,
    relative,
    repository_root,
    rule_id,
    rule_text,
    within,
)

#: where the format is defined
SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
#: results of one run that GitHub takes; it shows the 5,000 most severe
MOST_RESULTS = 25_000
#: bytes of a file that GitHub takes once compressed; here of the text, so that it holds whatever is in it
MOST_BYTES = 10_000_000
#: bytes kept free for what is not a result
_RESERVE = 200_000
#: notes of one file
_MOST_NOTES = 200
#: characters of a rule's description
_LONGEST_RULE = 1000
#: folder that paths are relative to; the reader knows where it lies
_ROOT = "%SRCROOT%"


def render(results: Sequence[Checked]) -> Iterator[str]:
    """Yields the log as one text.

    Args:
        results: one per file, in the order in which the files were named.
    """
    root = repository_root()
    found = [("error", result.reference, finding) for result in results for finding in result.errors]
    found += [("warning", result.reference, finding) for result in results for finding in result.warnings]
    excused = [(result.reference, each) for result in results for each in result.excused]
    reasons = [None] * len(found) + [each.reason for _, each in excused]
    found += [("note", reference, each.finding) for reference, each in excused]
    marks = fingerprints((_path(finding, reference, root), finding) for _, reference, finding in found)
    rules = _rules([(level, finding) for level, _, finding in found])
    places = {rule["id"]: place for place, rule in enumerate(rules)}
    kept: list[dict[str, Any]] = []
    size = _RESERVE + len(json.dumps(rules))
    for (level, reference, finding), mark, reason in zip(found, marks, reasons, strict=True):
        each = _result(finding, level, _location(finding, reference, root), mark, places)
        if reason is not None:
            each["suppressions"] = [{"kind": "inSource", "justification": printable(reason)[:_LONGEST_RULE] or "-"}]
        size += len(json.dumps(each)) + 2
        if len(kept) == MOST_RESULTS or size > MOST_BYTES:
            break  # errors come first, so what is left out is the least severe
        kept.append(each)
    driver = {"name": "hptransfer", "version": tool_version(), "rules": rules}
    run = {
        "tool": {"driver": driver},
        "columnKind": "unicodeCodePoints",
        "originalUriBaseIds": {_ROOT: {"description": {"text": "folder of the checked-out repository"}}},
        "invocations": [_invocation(results, len(found) - len(kept))],
        "results": kept,
    }
    # without indentation: white space would count towards the limit
    yield json.dumps({"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}, separators=(",", ":"))


def _rules(found: Sequence[tuple[str, Finding]]) -> list[dict[str, Any]]:
    """The rules that found something, in the order in which they first did."""
    listed: dict[str, dict[str, Any]] = {}
    for level, finding in found:
        identifier = printable(rule_id(finding)) or "-"
        summary, help_text = rule_text(finding)
        rule = {
            "id": identifier,
            "shortDescription": {"text": printable(summary)[:_LONGEST_RULE] or "-"},
            "help": {"text": printable(help_text)[:_LONGEST_RULE] or "-"},
            "defaultConfiguration": {"level": level},
            "properties": {"tags": [identifier.partition("/")[0]]},
        }
        listed.setdefault(identifier, rule)
    return list(listed.values())


def _result(
    finding: Finding, level: str, location: dict[str, Any], fingerprint: str, places: dict[str, int]
) -> dict[str, Any]:
    identifier = printable(rule_id(finding)) or "-"
    return {
        "ruleId": identifier,
        "ruleIndex": places[identifier],
        "level": level,
        "message": {"text": message(finding) or "-"},
        "locations": [{"physicalLocation": location}],
        "partialFingerprints": {"hptransferFinding/v1": fingerprint},
    }


def _file(finding: Finding, reference: str) -> str:
    return finding.place.file if finding.place else reference


def _path(finding: Finding, reference: str, root: Path) -> str:
    return relative(_file(finding, reference), root)


def _location(finding: Finding, reference: str, root: Path) -> dict[str, Any]:
    file = _file(finding, reference)
    inside = within(file, root)
    if inside is None:  # no folder of the machine is named that the user did not name
        artifact: dict[str, Any] = {"uri": ("file://" if file.startswith("/") else "") + _uri(file)}
    else:
        artifact = {"uri": _uri(inside), "uriBaseId": _ROOT}
    region = {"startLine": (finding.place and finding.place.line) or 1}
    if finding.place and finding.place.column:
        region["startColumn"] = finding.place.column
    return {"artifactLocation": artifact, "region": region}


def _uri(path: str) -> str:
    """The path's bytes, percent-encoded: names that are no text keep their bytes; a colon would begin a scheme."""
    try:
        return quote(os.fsencode(path))
    except UnicodeEncodeError:  # half of a character, which no file system gave
        return quote(path.encode("utf-8", "replace"))


def _invocation(results: Sequence[Checked], left_out: int) -> dict[str, Any]:
    """Whether everything could be asked, what was not decided, and what was left out of this file."""
    notes = [("note", note) for result in results for note in result.notes]
    if len(notes) > _MOST_NOTES:
        notes = [*notes[:_MOST_NOTES], ("note", f"{len(notes) - _MOST_NOTES} more notes were left out")]
    if left_out:
        limits = f"at most {MOST_RESULTS:,} results and {MOST_BYTES:,} bytes are taken by code scanning"
        notes.insert(0, ("warning", f"{left_out:,} results, the least severe, were left out: {limits}"))
    asked = not any(result.unreadable or any(each.machine for _, each in result.outcomes) for result in results)
    told = [{"level": level, "message": {"text": printable(text)[:500] or "-"}} for level, text in notes]
    return {"executionSuccessful": asked, "toolExecutionNotifications": told}
