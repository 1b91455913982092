"""One JSON object per line."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from hptransfer.errors import UsageError
from hptransfer.recipe.result_sections import NamedColumns, TrialPath
from hptransfer.trainers.results.base import GrowingFile, Report, Source, report_of


class JsonLines(NamedColumns):
    """One JSON object per line; lines without the keys are passed over."""

    jsonl: TrialPath
    """path below the trial's folder, which is `{results}` in the command"""


class _Tail:
    def __init__(self, section: JsonLines, source: Source) -> None:
        self._section, self._objective = section, source.objective
        self._file = GrowingFile(source.folder, section.jsonl)

    def heard(self, output: bytes) -> Iterable[Report]:
        """Nothing: results are in a file."""
        return ()

    def poll(self, ended: bool) -> Iterator[Report]:
        """As `Tail.poll`."""
        anew, lines = self._file.grown(ended)
        if anew:
            yield Report(anew=True)
        for line, where in lines:
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except (ValueError, RecursionError):  # brackets within brackets, thousands deep
                row = None
            if not isinstance(row, dict):
                raise UsageError("each line of results must be a JSON object", received=f"{where}: {line[:80]!r}")
            if (report := report_of(row, self._section, self._objective, where)) is not None:
                yield report


class ReadsJsonLines:
    """Reads a file of JSON lines."""

    section = JsonLines
    polls = True

    def path(self, section: JsonLines, folder: Path, /) -> Path:
        """As `ResultsReader.path`."""
        return folder / section.jsonl

    def environment(self, section: JsonLines, folder: Path, /) -> Mapping[str, str]:
        """None."""
        return {}

    def open(self, section: JsonLines, source: Source, /) -> _Tail:
        """As `ResultsReader.open`."""
        return _Tail(section, source)


READER = ReadsJsonLines()
