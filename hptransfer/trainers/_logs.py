"""What one run of a program leaves: its folder, and logs that cannot grow without bound."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from hptransfer.files import located_faults
from hptransfer.sizes import Size

#: bytes of a log's beginning, and of each of two files with its end, that are kept
KEPT = 1 << 20
#: bytes of the end that messages are made from
_TAIL = 16_384


class BoundedLog:
    """A log of which the beginning is kept, and the end in `NAME-end.SUFFIX` and `NAME-end-before.SUFFIX`.

    Written at once, so that a run that is killed has its last lines too.

    Args:
        path: of the beginning; its folder exists.
        kept: bytes of each of the three.
    """

    def __init__(self, path: Path, kept: int = KEPT) -> None:
        self._end, self._kept = path.with_name(f"{path.stem}-end{path.suffix}"), kept
        self._tail = b""
        with located_faults(path):
            self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
        self._size = 0

    def write(self, content: bytes) -> None:
        """Takes the next bytes.

        Args:
            content: bytes as they came, of any length.
        """
        self._tail = (self._tail + content)[-_TAIL:]
        with located_faults(self._end):
            while content:
                room = self._kept - self._size
                if not room:
                    self._turn()
                    continue
                part, content = content[:room], content[room:]
                self._size += len(part)
                while part:
                    part = part[os.write(self._file, part) :]

    def _turn(self) -> None:
        """Begins the end anew; the one before is kept until then."""
        if self._end.exists():
            os.replace(self._end, self._end.with_name(f"{self._end.stem}-before{self._end.suffix}"))
        os.close(self._file)
        self._file = os.open(self._end, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
        self._size = 0

    def last_lines(self, most: int = 40) -> str:
        """The last lines that were written.

        Args:
            most: of them, at least 1.
        """
        return "\n".join(self._tail.decode("utf-8", errors="replace").splitlines()[-most:])

    def close(self) -> None:
        """Closes the file."""
        os.close(self._file)


def trial_folder(runs: Path | None, size: Size, key: str) -> Path:
    """A new folder for one attempt at a trial.

    Args:
        runs: the run folder, which gets a folder `logs`; None: a folder for temporary files.
        size: of the trial, whose label names the folder.
        key: of the trial, hexadecimal, of which the first 8 digits are shown.

    Raises:
        UsageError: it cannot be created.
        MachineError: the disk is full.
    """
    stem = f"{size.label}-{key[:8]}"
    if runs is None:
        return Path(tempfile.mkdtemp(prefix=f"hptransfer-{stem}-"))
    number = 1
    with located_faults(runs / "logs"):
        while True:
            folder = runs / "logs" / f"{stem}-{number}"
            try:
                folder.mkdir(parents=True)
            except FileExistsError:
                number += 1
                continue
            return folder
