"""A worker that also sees to it that somebody coordinates the study: whoever notices first starts the command."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Self

from hptransfer.cluster.study import SharedStudy, StudyState, may_lead, note_ending
from hptransfer.errors import MachineError

#: statuses of a command that answered (docs/exit-status.md); 4 is a machine's fault or a lock, worth another try
_ANSWERS = (0, 1, 2, 3)
_MOST_TRIES = 5
_START = 60.0  # seconds that a command gets to take the study's lock before another worker may start one
_GRACE = 10.0  # seconds that the command gets to stop


class Lead:
    """The coordinating command as a child process, started when nobody coordinates the study.

    Args:
        study: the study, which this process joined.
        command: "tune", "check" or "run".
        recipe: path or name of the recipe, as the user named it.
        runs: the folder of run folders, which every host that may lead must see.
        workers: trials in the queue at a time.
        say: called with a sentence for each thing that happens.
    """

    def __init__(
        self, study: SharedStudy, command: str, recipe: str, runs: Path, workers: int, say: Callable[[str], object]
    ) -> None:
        self._study, self._say = study, say
        place = ["--storage", str(study.address), "--runs", str(runs), "--workers", str(workers), "--quiet"]
        self._arguments = [sys.executable, "-m", "hptransfer", command, recipe, *place]
        self._command = command
        self._child: subprocess.Popen[bytes] | None = None
        self._tries = 0
        self._endings: int | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._child is None or self._child.poll() is not None:
            return
        self._child.terminate()
        try:
            self._child.wait(_GRACE)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()

    def step(self, state: StudyState) -> str | None:
        """Starts the command when nobody coordinates, and reads how it ended.

        A worker that joins after the end starts the command once more: it finds everything done and soon ends again.

        Args:
            state: of the study, read just before.

        Returns:
            How the command ended, here or elsewhere, since the first call; None before.

        Raises:
            MachineError: the command failed too often.
            ServerAwayError: the end could not be noted.
        """
        if self._endings is None:
            self._endings = state.endings
        if self._child is not None:
            status = self._child.poll()
            if status is None:
                return None
            self._note(status)
            self._child = None
            return None
        if state.endings > self._endings:
            return state.ended
        if state.coordinated or not may_lead(self._study, _START):
            return None
        self._say(f"nobody coordinates: starting `hptransfer {self._command}` here")
        self._child = subprocess.Popen(self._arguments, stdin=subprocess.DEVNULL)
        return None

    def _note(self, status: int) -> None:
        self._say(f"`hptransfer {self._command}` ended with status {status}")
        if status in _ANSWERS:
            note_ending(self._study, f"`hptransfer {self._command}` with status {status}")
            return
        self._tries += 1
        if self._tries >= _MOST_TRIES:
            raise MachineError(
                "the study must be coordinated by some process",
                received=f"`hptransfer {self._command}` ended with status {status}, {self._tries} times",
                hint="run it by hand to see why",
            )
