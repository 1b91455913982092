"""What a command prints, found by a pattern."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator

from hptransfer.recipe.result_sections import ResultsSection, Text
from hptransfer.recipe.sections import refused
from hptransfer.trainers.results.base import Lines, Report, Source, number, step_number

_GROUPS = ("value", "step", "flops")
_EXAMPLE = r"for example `'step (?P<step>\d+) loss (?P<value>\S+)'`"


def _pattern(text: str) -> str:
    """Refuses what is no regular expression with a group for the value."""
    try:
        pattern = re.compile(text)
    except re.error as error:
        raise refused("recipe/pattern", f"a pattern must be a regular expression: {error}", _EXAMPLE) from None
    unknown = [name for name in pattern.groupindex if name not in _GROUPS]
    if unknown:
        rule = f"groups of a pattern must be among {', '.join(_GROUPS)}, not `{unknown[0]}`"
        raise refused("recipe/pattern", rule, _EXAMPLE)
    if "value" not in pattern.groupindex and pattern.groups != 1:
        raise refused("recipe/pattern", "a pattern must have the group `value`, or one group alone", _EXAMPLE)
    return text


Pattern = Annotated[Text, AfterValidator(_pattern)]


class PrintedResults(ResultsSection):
    """What a command prints to stdout, line by line; a carriage return ends a line too."""

    stdout: Pattern
    """regular expression with the group `value`, and `step` and `flops` where a line has them; or with one group"""
    curve: Pattern | None = None
    """the same for the training loss, recorded as learning curve; default: the objective's values are the curve"""


class _Tail:
    def __init__(self, section: PrintedResults) -> None:
        self._value = re.compile(section.stdout)
        self._curve = None if section.curve is None else re.compile(section.curve)
        self._lines = Lines()

    def heard(self, output: bytes) -> Iterator[Report]:
        """As `Tail.heard`."""
        yield from self._read(output, ended=False)

    def poll(self, ended: bool) -> Iterator[Report]:
        """What remains of the last line, at the end."""
        if ended:
            yield from self._read(b"", ended=True)

    def _read(self, output: bytes, *, ended: bool) -> Iterator[Report]:
        for line in self._lines.take(output.replace(b"\r\n", b"\n").replace(b"\r", b"\n"), ended=ended):
            where = f"line {self._lines.count} of stdout"
            if self._curve is not None:
                for match in self._curve.finditer(line):
                    yield Report(step=_step(match, where), curve=_value(match, where))
            for match in self._value.finditer(line):
                groups = match.groupdict()
                flops = None if groups.get("flops") is None else number(groups["flops"], f"{where}, `flops`")
                yield Report(step=_step(match, where), value=_value(match, where), flops=flops)


def _step(match: re.Match[str], where: str) -> int | None:
    text = match.groupdict().get("step")
    return None if text is None else step_number(text, f"{where}, `step`")


def _value(match: re.Match[str], where: str) -> float:
    named = match.groupdict()
    text = named["value"] if "value" in named else match[1]
    return number((text or "").rstrip(",;"), f"{where}, `value`")


class ReadsStdout:
    """Reads what the command prints."""

    section = PrintedResults
    polls = False

    def path(self, section: PrintedResults, folder: Path, /) -> Path:
        """Where stdout is kept."""
        return folder / "stdout.txt"

    def environment(self, section: PrintedResults, folder: Path, /) -> Mapping[str, str]:
        """None."""
        return {}

    def open(self, section: PrintedResults, source: Source, /) -> _Tail:
        """As `ResultsReader.open`."""
        return _Tail(section)


READER = ReadsStdout()
