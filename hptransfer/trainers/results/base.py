"""The contract of a reader of results, and what readers of files have in common."""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Protocol, cast

from hptransfer.errors import UsageError
from hptransfer.files import open_regular
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
        anew: the results were written anew: what was reported before is no longer there.
    """

    step: int | None = None
    value: float | None = None
    curve: float | None = None
    flops: float | None = None
    anew: bool = False


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


def regular_file(folder: Path, name: str | Path) -> BinaryIO | None:
    """A file of a trial, opened to be read; None where there is none yet.

    Args:
        folder: of the trial, absolute.
        name: of the file, relative to it; a link is followed, where it stays below the folder.

    Raises:
        UsageError: it is no regular file, lies outside of the folder, or cannot be read.
    """
    try:
        path = (folder / name).resolve(strict=True)
        if not path.is_relative_to(folder.resolve()):
            hint = "write to '{results}', which is each run's own"
            raise UsageError(
                "results must be below the trial's folder", received=f"{name}: a link out of it", hint=hint
            )
        return open_regular(path)
    except FileNotFoundError:
        return None
    except (OSError, RuntimeError) as error:  # a circle of links is a RuntimeError before Python 3.13
        received = f"{name}: {getattr(error, 'strerror', None) or 'a circle of links'}"
        raise UsageError("results must be a regular file that can be read", received=received) from None


#: bytes that are read at once
_PIECE = 1 << 20
#: bytes before the place that was reached, by which a file that was written anew is told from one that grew
_SEEN = 4096


@dataclass(slots=True)
class GrowingFile:
    """The lines of a file that somebody appends to, or writes anew.

    Attributes:
        folder: of the trial, absolute.
        name: of the file relative to it, which need not exist yet.
        lines: what has been read.
    """

    folder: Path
    name: str
    lines: Lines = field(default_factory=Lines)
    _offset: int = 0
    _inode: int | None = None
    _seen: bytes = field(default=b"", repr=False)
    _digest: Any = field(default_factory=hashlib.sha256, repr=False)

    def grown(self, ended: bool) -> tuple[bool, Iterator[tuple[str, str]]]:
        """Whether the file was written anew, and each line that was completed since the last time with its place.

        A file that was written anew has lines from its start on; what it had before counts no more.

        Args:
            ended: whether nobody writes any more; then all that was read is compared with what is there.

        Raises:
            UsageError: it is no regular file of the trial, or cannot be read.
        """
        file = regular_file(self.folder, self.name)
        if file is None:
            return self._forget(), iter(())
        anew = not self._goes_on(file, whole=ended) and self._forget()
        self._inode = os.fstat(file.fileno()).st_ino
        return anew, self._completed(file, ended)

    def _forget(self) -> bool:
        """Begins anew; whether anything had been read."""
        before, self._offset = self._offset, 0
        self.lines, self._seen, self._digest, self._inode = Lines(), b"", hashlib.sha256(), None
        return before > 0

    def _goes_on(self, file: BinaryIO, *, whole: bool) -> bool:
        """Whether the file still begins with what was read."""
        status = os.fstat(file.fileno())
        if status.st_size < self._offset or status.st_ino != self._inode:
            return False
        file.seek(self._offset - len(self._seen))
        if file.read(len(self._seen)) != self._seen:
            return False
        return not whole or self._digest_of_start(file) == self._digest.digest()

    def _digest_of_start(self, file: BinaryIO) -> bytes:
        file.seek(0)
        digest, left = hashlib.sha256(), self._offset
        while left and (piece := file.read(min(left, _PIECE))):
            digest.update(piece)
            left -= len(piece)
        return digest.digest()

    def _completed(self, file: BinaryIO, ended: bool) -> Iterator[tuple[str, str]]:
        with file:
            file.seek(self._offset)
            left = os.fstat(file.fileno()).st_size - self._offset  # not more: it may grow faster than it is read
            while left > 0 and (piece := file.read(min(left, _PIECE))):
                left -= len(piece)
                self._offset += len(piece)
                self._seen = (self._seen + piece)[-_SEEN:]
                self._digest.update(piece)
                for line in self.lines.take(piece):
                    yield line, f"{self.name}:{self.lines.count}"
            for line in self.lines.take(b"", ended=ended):
                yield line, f"{self.name}:{self.lines.count}"
