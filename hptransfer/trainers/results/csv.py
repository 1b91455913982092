"""A table with a header line."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated

from pydantic import Field

from hptransfer.errors import UsageError
from hptransfer.recipe import suggestion
from hptransfer.recipe.result_sections import NamedColumns, TrialPath
from hptransfer.trainers.results.base import GrowingFile, Report, Source, report_of


class CsvTable(NamedColumns):
    """A table with a header line; rows without a value are passed over."""

    csv: TrialPath
    """path below the trial's folder, which is `{results}` in the command"""
    separator: Annotated[str, Field(min_length=1, max_length=1)] = ","
    """between columns"""


class _Tail:
    def __init__(self, section: CsvTable, source: Source) -> None:
        self._section, self._objective = section, source.objective
        self._file = GrowingFile(source.folder, section.csv)
        self._header: list[str] = []

    def heard(self, output: bytes) -> Iterable[Report]:
        """Nothing: results are in a file."""
        return ()

    def poll(self, ended: bool) -> Iterator[Report]:
        """As `Tail.poll`."""
        anew, lines = self._file.grown(ended)
        if anew:
            self._header = []
            yield Report(anew=True)
        for line, where in lines:
            try:
                cells = next(csv.reader([line], delimiter=self._section.separator), [])
            except csv.Error as error:
                raise UsageError("each line of results must be a row", received=f"{where}: {error}") from None
            if not cells:
                continue
            if not self._header:
                self._header = [cell.strip() for cell in cells]
                self._require_columns(where)
                continue
            if len(cells) != len(self._header):
                received = f"{where}: {len(cells)} cells, the header has {len(self._header)}"
                raise UsageError("each row of results must have the header's columns", received=received)
            row = dict(zip(self._header, (cell.strip() for cell in cells), strict=True))
            if (report := report_of(row, self._section, self._objective, where)) is not None:
                yield report

    def _require_columns(self, where: str) -> None:
        section = self._section
        for name in (section.value or self._objective, section.curve, section.step, section.flops):
            if name is not None and name not in self._header:
                hint = suggestion.hint(name, self._header, "columns")
                raise UsageError("the header of results must have every column", received=f"{where}: {name}", hint=hint)


class ReadsCsv:
    """Reads a table."""

    section = CsvTable
    polls = True

    def path(self, section: CsvTable, folder: Path, /) -> Path:
        """As `ResultsReader.path`."""
        return folder / section.csv

    def environment(self, section: CsvTable, folder: Path, /) -> Mapping[str, str]:
        """None."""
        return {}

    def open(self, section: CsvTable, source: Source, /) -> _Tail:
        """As `ResultsReader.open`."""
        return _Tail(section, source)


READER = ReadsCsv()
