"""For people: each finding as text, sound files by name, and a count."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from hptransfer.errors import printable
from hptransfer.report.findings._excerpts import excerpt
from hptransfer.report.findings.base import Checked, as_text, by_place, counted


def render(results: Sequence[Checked]) -> Iterator[str]:
    """Yields the lines of the report.

    Args:
        results: one per file, in the order in which the files were named.
    """
    for result in results:
        for level, finding in by_place(result):
            yield as_text(finding, level, excerpt(finding.place, result.sources)) + "\n"
        yield from (f"note: {printable(note)}\n" for note in result.notes)
        if result.sound is not None:
            yield printable(result.sound)
    yield counted(results)
