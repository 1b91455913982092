"""The coordinator's side of one worker process: start it, hand it a task, hear its answer or its death."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Protocol

from hptransfer.errors import MachineError
from hptransfer.execution.limits import (
    GPUS,
    MEMORY_INTERVAL,
    PATH_BEFORE,
    START_LIMIT,
    VISIBLE,
    TaskLimits,
    group_memory,
    kernel_oom_kills,
    strays,
    visible_gpus,
)
from hptransfer.execution.outcome import Failure, Success, classify_death

_TAIL = 16_384  # bytes of stderr kept for the message of a crash
#: the first line of a worker's answers: it has started, and the time of its task begins to count
READY = b"ready\n"
_THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)


class _Stream(Protocol):
    def fileno(self) -> int: ...


class Child:
    """One worker process, busy with at most one task.

    Args:
        entry: "module:function" that the process calls with each payload.
        slot: number of the worker in its pool; one that replaces another takes its slot.
        gpu: the only GPU that it sees, as `CUDA_VISIBLE_DEVICES` names it; None leaves the environment as it is.

    Raises:
        MachineError: the process cannot be started.
    """

    def __init__(self, entry: str, slot: int = 0, gpu: str | None = None) -> None:
        self.slot = slot
        try:
            self._process = subprocess.Popen(
                # -P: the working directory's files must not shadow modules; the path travels in the environment
                [sys.executable, "-P", "-m", "hptransfer.execution.worker", entry, str(os.getpid())],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
                env=_environment() | ({} if gpu is None else {VISIBLE: gpu}),
                bufsize=0,
            )
        except OSError as error:
            raise MachineError(
                "worker processes must be able to start",
                received=str(error),
                hint="see the machine's limits on processes and memory, or use fewer workers",
            ) from error
        self._answers, self._stderr = b"", b""
        self._task_id: str | None = None
        #: what the task said while it ran, in order; whoever reads it takes it away
        self.said: list[Any] = []
        self._since = 0.0
        self._ready = False
        self._memory_seen = 0.0  # when
        self._oom_kills = 0
        for stream in self.streams:
            os.set_blocking(stream.fileno(), False)

    @property
    def pid(self) -> int:
        """The process id, which is also that of its process group."""
        return self._process.pid

    @property
    def busy(self) -> bool:
        """Whether a task was handed over and not answered."""
        return self._task_id is not None

    @property
    def alive(self) -> bool:
        """Whether the process is there."""
        return self._process.poll() is None

    @property
    def streams(self) -> tuple[_Stream, _Stream]:
        """What to wait on: answers and stderr."""
        process = self._process
        if process.stdout is None or process.stderr is None:
            raise AssertionError("the child was started with pipes")
        return process.stdout, process.stderr

    @property
    def task_id(self) -> str | None:
        """The task it works on; None while it is idle."""
        return self._task_id

    def send(self, task_id: str, payload: dict[str, Any]) -> None:
        """Hands over one task; a process that just died is noticed by `outcome`, not here."""
        line = json.dumps({"id": task_id, "payload": payload}).encode() + b"\n"
        self._read()
        self.said = []
        self._stderr = b""  # what earlier tasks said explains nothing about this one
        self._task_id, self._since = task_id, time.monotonic()
        self._oom_kills = kernel_oom_kills()
        if self._process.stdin is None:
            raise AssertionError("the child was started with pipes")
        with contextlib.suppress(BrokenPipeError):
            while line:
                line = line[os.write(self._process.stdin.fileno(), line) :]

    def outcome(self, limits: TaskLimits) -> Success | Failure | None:
        """What became of the task, or None while it runs.

        Args:
            limits: what the task may take; beyond, its process group is killed.
        """
        if self._task_id is None:
            self._read()
            return None
        gone = not self.alive  # asked before reading: a process may answer and then die
        self._read()
        while b"\n" in self._answers:
            line, _, self._answers = self._answers.partition(b"\n")
            answer = json.loads(line)
            if "said" not in answer:
                return self._answered(answer)
            self.said.append(answer["said"])
        return self._explain_death() if gone else self._enforce(limits)

    def memory(self) -> int:
        """Resident bytes of its process group and of whatever descends from it."""
        return group_memory(self._process.pid)

    def _enforce(self, limits: TaskLimits) -> Failure | None:
        now = time.monotonic()
        allowed = limits.seconds if self._ready else START_LIMIT
        if allowed is not None and now - self._since > allowed:
            self.kill()
            what = "the trial ran" if self._ready else "a worker process needed"
            return self._fail("timeout", f"{what} for more than {allowed:g} s and was killed")
        if limits.memory is not None and now - self._memory_seen > MEMORY_INTERVAL:
            self._memory_seen, used = now, self.memory()
            if used > limits.memory:
                self.kill()
                message = f"the trial held {used / 1e9:.3g} GB of the {limits.memory / 1e9:.3g} GB allowed"
                return self._fail("out of memory", f"{message} and was killed")
        return None

    def kill(self) -> None:
        """Kills the whole process group, and on Linux what left it, and waits for the process."""
        left = strays(self._process.pid) if self.alive else ()  # asked first: orphans have another parent
        with contextlib.suppress(ProcessLookupError, PermissionError):  # gone, or (macOS) only a zombie is left
            os.killpg(self._process.pid, signal.SIGKILL)
        for pid in left:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        self._process.wait()

    def close(self) -> None:
        """Kills the group and closes the pipes."""
        self.kill()
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            if stream is not None:
                stream.close()

    def _read(self) -> None:
        answers, stderr = self.streams
        self._answers += _drain(answers)
        self._stderr = (self._stderr + _drain(stderr))[-_TAIL:]
        if not self._ready and self._answers.startswith(READY):
            self._answers = self._answers.removeprefix(READY)
            self._ready, self._since = True, time.monotonic()

    def _answered(self, answer: dict[str, Any]) -> Success | Failure:
        seconds, task_id = time.monotonic() - self._since, self._task_id or ""
        self._task_id = None
        if "cause" in answer:
            return Failure(task_id, answer["cause"], answer["message"], answer["details"], seconds)
        return Success(task_id, answer["value"], answer["seconds"])

    def _explain_death(self) -> Failure:
        oom_kill = kernel_oom_kills() > self._oom_kills
        stderr = self._stderr.decode(errors="replace")
        cause, message = classify_death(self._process.returncode, stderr, oom_kill=oom_kill)
        return self._fail(cause, message)

    def _fail(self, cause: Any, message: str) -> Failure:
        task_id, self._task_id = self._task_id or "", None
        details = self._stderr.decode(errors="replace")
        return Failure(task_id, cause, message, details, time.monotonic() - self._since)


def _environment() -> dict[str, str]:
    """The parent's environment with one thread per process and the parent's module search path.

    What is hidden so, a task can find: programs that it starts get the module search path of before.
    """
    path = os.pathsep.join(entry or str(Path.cwd()) for entry in sys.path)
    hidden = {PATH_BEFORE: os.environ.get("PYTHONPATH", ""), GPUS: ",".join(visible_gpus(os.environ))}
    return os.environ | dict.fromkeys(_THREAD_VARIABLES, "1") | hidden | {"PYTHONPATH": path}


def _drain(stream: _Stream) -> bytes:
    content = b""
    while True:
        try:
            chunk = os.read(stream.fileno(), 65_536)
        except BlockingIOError:
            return content
        if not chunk:
            return content
        content += chunk
