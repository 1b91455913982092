"""For people: each finding as text, valid recipes by name, and a count."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from hptransfer.errors import printable
from hptransfer.linting.validate import Validation
from hptransfer.report.findings.base import as_text, counted


def render(results: Sequence[Validation]) -> Iterator[str]:
    """Yields the lines of the report.

    Args:
        results: one validation per recipe, in the order in which the recipes were named.
    """
    for result in results:
        for level, findings in (("error", result.errors), ("warning", result.warnings)):
            for finding in findings:
                yield as_text(finding, level) + "\n"
        if not result.errors and result.loaded:
            yield f"{printable(str(result.loaded.path))}: valid"
    yield counted(results)
