"""For GitLab: a code-quality report, `artifacts: reports: codequality`, shown in the merge request."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from hptransfer.errors import Finding, printable
from hptransfer.report.findings.base import Checked, fingerprints, message, relative, repository_root, rule_id

#: level -> GitLab's, which are info, minor, major, critical and blocker
_SEVERITY = {"error": "major", "warning": "minor"}


def render(results: Sequence[Checked]) -> Iterator[str]:
    """Yields the report as one text: a list of issues, empty where nothing was found.

    Args:
        results: one per file, in the order in which the files were named.
    """
    root = repository_root()
    found = [
        (relative(finding.place.file if finding.place else result.reference, root), level, finding)
        for result in results
        for level, findings in (("error", result.errors), ("warning", result.warnings))
        for finding in findings
    ]
    marks = fingerprints((path, finding) for path, _, finding in found)
    issues = [_issue(finding, level, path, mark) for (path, level, finding), mark in zip(found, marks, strict=True)]
    yield json.dumps(issues, indent=2)


def _issue(finding: Finding, level: str, path: str, fingerprint: str) -> dict[str, Any]:
    place = finding.place
    return {
        "description": message(finding).replace("\n", "; "),
        "check_name": printable(rule_id(finding)),
        "fingerprint": fingerprint,
        "severity": _SEVERITY[level],
        # a line is required; what concerns the whole file stands at its first
        "location": {"path": printable(path), "lines": {"begin": place.line or 1 if place else 1}},
    }
