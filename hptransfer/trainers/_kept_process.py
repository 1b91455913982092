"""A program in the care of a keeper: its output as it comes, how it ended, and nothing of it left behind."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from hptransfer.errors import MachineError, UsageError
from hptransfer.trainers._logs import BoundedLog

_KEEPER = Path(__file__).with_name("_keeper.py")
_CHUNK = 65_536
#: variable that no two runs share
MARK = "HPTRANSFER_TRIAL_DIR"


@dataclass(frozen=True, slots=True)
class Ended:
    """How a program ended.

    Attributes:
        code: its exit status, negative for a signal.
        others: how many processes that it had started were still there, and were killed.
        stopped: whether it was ended from here.
    """

    code: int
    others: int = 0
    stopped: bool = False


#: called with what came from stdout (b"" when nothing did); True ends the program
OnOutput = Callable[[bytes], bool]


class KeptProcess:
    """One run of a program.

    Args:
        command: the program and its arguments.
        cwd: the folder in which it runs, absolute.
        environment: all variables that it gets.
        logs: of stdout and of stderr.

    Raises:
        MachineError: no process can be started.
    """

    def __init__(
        self, command: Sequence[str], cwd: Path, environment: Mapping[str, str], logs: tuple[BoundedLog, BoundedLog]
    ) -> None:
        self._command, self._logs = command, logs
        self._status = b""
        self._mark = None if MARK not in environment else f"{MARK}={environment[MARK]}".encode()
        self.heard = time.monotonic()
        """when it last wrote to stdout or stderr"""
        answers, status = os.pipe()
        try:
            self._keeper = subprocess.Popen(
                [sys.executable, "-I", "-S", str(_KEEPER), str(status), *command],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                cwd=cwd,
                env=dict(environment),
                pass_fds=[status],
                start_new_session=True,
                bufsize=0,
            )
        except (NotADirectoryError, FileNotFoundError) as error:
            os.close(answers)
            raise UsageError("`cwd` must be a folder", received=f"{cwd}: {error.strerror}") from None
        except OSError as error:
            os.close(answers)
            raise MachineError("a command's process must be able to start", received=str(error)) from error
        finally:
            os.close(status)
        self._answers = answers

    def follow(self, on_output: OnOutput, interval: Callable[[], float | None], grace: float = 0.0) -> Ended:
        """Waits for the program's end.

        Args:
            on_output: told what it writes to stdout, and called whenever the interval is over.
            interval: seconds until the next call at the latest; None: none without output.
            grace: seconds between SIGTERM and SIGKILL where it is ended from here; 0 kills at once.

        Raises:
            UsageError: there is no such program.
        """
        stopped = False
        try:
            with selectors.DefaultSelector() as selector:
                streams = (self._keeper.stdout, self._keeper.stderr)
                for number, stream in enumerate(streams):
                    if stream is not None:
                        os.set_blocking(stream.fileno(), False)
                        selector.register(stream, selectors.EVENT_READ, number)
                selector.register(self._answers, selectors.EVENT_READ, None)
                gone = False
                while selector.get_map():
                    output = b""
                    ready = selector.select(0 if gone else interval())
                    if gone and not ready:
                        break  # the keeper is gone, and somebody it could not end holds the pipes
                    for key, _ in ready:
                        content = os.read(key.fd, _CHUNK)
                        if not content:
                            selector.unregister(key.fileobj)
                            gone = gone or key.data is None
                        elif key.data is None:
                            self._status += content
                        else:
                            self.heard = time.monotonic()
                            self._logs[key.data].write(content)
                            output += b"" if key.data else content
                    if not stopped and on_output(output):
                        stopped = True
                        self._stop(grace)
            return self._ended(stopped)
        finally:
            self.close()

    def _stop(self, grace: float) -> None:
        if self._keeper.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                if grace:
                    os.write(self._keeper.stdin.fileno(), f"{grace}\n".encode())
                else:
                    self._keeper.stdin.close()

    def _ended(self, stopped: bool) -> Ended:
        answers = [line.split() for line in self._status.decode().splitlines()]
        said = {first: [int(number) for number in numbers] for first, *numbers in answers}
        if "failed" in said:
            raise UsageError(
                "a command's program must be one that can be started",
                received=f"{self._command[0]}: {os.strerror(said['failed'][0])}",
                hint="name a program on PATH, or `'{python}'` for the interpreter that runs hptransfer; a script of "
                "your own needs its interpreter in front, or its first line and `chmod +x`",
            )
        if "ended" not in said:  # somebody killed the keeper
            for pid in said.get("started", ()):
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(pid, signal.SIGKILL)
            self._end_marked()
            return Ended(-int(signal.SIGKILL), stopped=stopped)
        code, others = said["ended"]
        return Ended(code, others, stopped)

    def _end_marked(self) -> None:
        """Ends orphans, which nobody inherits for us now, by the folder that their environment names."""
        if self._mark is None or not Path("/proc/self/environ").exists():
            return
        for entry in Path("/proc").iterdir():
            with contextlib.suppress(OSError):  # it ended meanwhile, or is somebody else's
                if entry.name.isdecimal() and self._mark in (entry / "environ").read_bytes().split(b"\0"):
                    os.kill(int(entry.name), signal.SIGKILL)

    def close(self) -> None:
        """Ends whatever is left, and closes the pipes."""
        if self._keeper.stdin is not None:
            self._keeper.stdin.close()  # the keeper's sign to end all
        self._keeper.wait()
        for stream in (self._keeper.stdout, self._keeper.stderr):
            if stream is not None:
                stream.close()
        if self._answers >= 0:
            os.close(self._answers)
            self._answers = -1
