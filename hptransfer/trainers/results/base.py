"""The contract of a reader of results, and what readers of files have in common."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, cast

from hptransfer.errors import UsageError
from hptransfer.recipe.registered import RESULT_READERS
from hptransfer.recipe.result_sections import NamedColumns, ResultsSection
from hptransfer.registry import Registry
from hptransfer.trainers._stream import LAST_STEP

#: bytes; a line that is longer is no result
LONGEST_LINE = 1 << 20


@dataclass(frozen=True, slots=True)
class Report:
    """What a run said about itself at one moment.

    Attributes:
        step: optimizer steps done, from 1; None where the results do not say.
        value: of the objective, in its own direction, maybe not finite; None: not measured here.
        curve: the training loss, where it is told apart from the objective; None: not said here.
        flops: floating point operations so far; None: not said here.
    """

    step: int | None = None
    value: float | None = None
    curve: float | None = None
    flops: float | None = None


@dataclass(frozen=True, slots=True)
class Source:
    """Where one run leaves its results.

    Attributes:
        folder: of the trial, absolute; it exists.
        objective: name of the objective.
    """

    folder: Path
    objective: str


class Tail(Protocol):
    """Reads the results of one run while they are written."""

    def heard(self, output: bytes) -> Iterable[Report]:
        """Takes what the command wrote to stdout.

        Args:
            output: the next bytes, which may end within a line.
        """

    def poll(self, ended: bool) -> Iterable[Report]:
        """Reads what was written since the last time.

        Args:
            ended: whether the command has ended: what looks unfinished is all there will be.

        Raises:
            UsageError: what is there cannot be a result.
        """


class ResultsReader(Protocol):
    """One form of results."""

    @property
    def section(self) -> type[ResultsSection]:
        """What the recipe's `results` section of this form holds; its first field is the form's name."""

    @property
    def polls(self) -> bool:
        """Whether there are files to look at while the command runs."""

    def path(self, section: Any, folder: Path, /) -> Path:
        """The file or folder that the command writes to, as `{results}`.

        Args:
            section: of the recipe, of this reader's form.
            folder: of the trial, absolute.
        """

    def environment(self, section: Any, folder: Path, /) -> Mapping[str, str]:
        """Environment variables with which a library finds the folder.

        Args:
            section: of the recipe, of this reader's form.
            folder: of the trial, absolute.
        """

    def open(self, section: Any, source: Source, /) -> Tail:
        """Begins to read the results of a run that has not begun.

        Args:
            section: of the recipe, of this reader's form.
            source: the run's folder and objective.

        Raises:
            UsageError: a library that reads this form is not installed.
        """


#: forms of results, by the key that a recipe's `results` section begins with
READERS: Registry[ResultsReader] = cast("Registry[ResultsReader]", RESULT_READERS)


def reader_of(section: ResultsSection) -> ResultsReader:
    """The reader of a recipe's `results` section.

    Args:
        section: of one of the forms in `READERS`.
    """
    found = (READERS.look_up(name) for name in READERS.built_in)
    return next(reader for reader in found if isinstance(section, reader.section))


def number(raw: object, where: str) -> float:
    """A number as results have it; `nan` and `inf` are numbers, which the run is then judged by.

    Args:
        raw: a number, or its text.
        where: it stands, for messages.

    Raises:
        UsageError: it is no number.
    """
    try:
        if isinstance(raw, bool):
            raise TypeError
        return float(raw)  # type: ignore[arg-type]  # whatever cannot be converted is refused
    except (TypeError, ValueError, OverflowError):
        raise UsageError("a result must be a number", received=f"{where}: {str(raw)[:80]!r}") from None


def step_number(raw: object, where: str) -> int:
    """Steps as results have them: a whole number from 0 to 2**53.

    Args:
        raw: a number, or its text.
        where: it stands, for messages.

    Raises:
        UsageError: it is none.
    """
    value = number(raw, where)
    if not math.isfinite(value) or value != int(value) or not 0 <= value <= LAST_STEP:
        raise UsageError("a step must be a whole number from 0 to 2**53", received=f"{where}: {str(raw)[:80]!r}")
    return int(value)


def report_of(row: Mapping[str, Any], section: NamedColumns, objective: str, where: str) -> Report | None:
    """What a row of named values says; None where it has nothing that is read.

    Args:
        row: values by column, numbers or their texts; empty ones are not there.
        section: which columns are read.
        objective: name of the objective.
        where: the row stands, for messages.

    Raises:
        UsageError: a value that is read is no number.
    """
    names = {"value": section.value or objective, "curve": section.curve, "flops": section.flops}
    found = {
        what: number(row[name], f"{where}, `{name}`")
        for what, name in names.items()
        if name is not None and row.get(name) not in (None, "")
    }
    if not found:
        return None
    if section.step is None:
        return Report(None, found.get("value"), found.get("curve"), found.get("flops"))
    if row.get(section.step) in (None, ""):
        raise UsageError(
            "a line with a result must say its step",
            received=f"{where} has no `{section.step}`",
            hint="leave `step` out to count the values",
        )
    step = step_number(row[section.step], f"{where}, `{section.step}`")
    return Report(step, found.get("value"), found.get("curve"), found.get("flops"))


@dataclass(slots=True)
class Lines:
    """Whole lines of bytes that come in pieces.

    Attributes:
        count: of lines so far.
    """

    count: int = 0
    _rest: bytes = field(default=b"", repr=False)

    def take(self, content: bytes, *, ended: bool = False) -> Iterator[str]:
        """The lines that are complete now.

        Args:
            content: the next bytes, which may end within a line.
            ended: whether what remains is a line too.
        """
        *whole, self._rest = (self._rest + content).replace(b"\r\n", b"\n").split(b"\n")
        if ended and self._rest:
            whole.append(self._rest)
            self._rest = b""
        if len(self._rest) > LONGEST_LINE:
            self._rest = self._rest[-LONGEST_LINE:]
        for line in whole:
            self.count += 1
            yield line.decode("utf-8", errors="replace")


@dataclass(slots=True)
class GrowingFile:
    """The lines of a file that somebody appends to.

    Attributes:
        path: of the file, which need not exist yet.
        lines: what has been read.
    """

    path: Path
    lines: Lines = field(default_factory=Lines)
    _offset: int = 0

    def grown(self, ended: bool) -> Iterator[tuple[str, str]]:
        """Each line that was completed since the last time, and where it stands.

        Args:
            ended: whether nobody writes any more.
        """
        try:
            with open(self.path, "rb") as file:
                file.seek(self._offset)
                content = file.read()
        except FileNotFoundError:
            return
        except OSError as error:
            raise UsageError("results must be readable", received=f"{self.path}: {error.strerror}") from None
        self._offset += len(content)
        for line in self.lines.take(content, ended=ended):
            yield line, f"{self.path.name}:{self.lines.count}"
