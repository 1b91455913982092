"""For people: each finding as text, sound files by name, and a count."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from hptransfer.errors import printable
from hptransfer.report.columns import folded, terminal_width
from hptransfer.report.findings._excerpts import WIDTH, excerpt
from hptransfer.report.findings.base import Checked, as_text, by_place, counted


def render(results: Sequence[Checked]) -> Iterator[str]:
    """Yields the lines of the report, folded at words where they go to a terminal.

    Args:
        results: one per file, in the order in which the files were named.
    """
    width = terminal_width()
    for result in results:
        for level, finding in by_place(result):
            shown = excerpt(finding.place, result.sources, min(WIDTH, width or WIDTH))
            yield as_text(finding, level, shown, width) + "\n"
        yield from ("\n".join(folded(f"note: {printable(note)}", width)) + "\n" for note in result.notes)
        if result.sound is not None:
            yield from folded(printable(result.sound), width)
    yield from folded(counted(results), width)
