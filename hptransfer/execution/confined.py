"""Code that a recipe names, run by a function of ours in a process of its own, under limits.

It has the rights of whoever runs the command: it can read and write files and reach the network, and nothing here
promises otherwise. The limits keep a mistake, a bomb or a flood of output from taking the machine with it, and keep
secrets of the environment from it: so `validate` asks for `--trust`.

What answers is no better than the code: a program that runs in the process can write any answer. It is JSON, never
pickle, and as long as `Limits` says at most.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import resource
import select
import selectors
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

from hptransfer.errors import MachineError, printable
from hptransfer.execution.limits import group_memory, group_size, strays


@dataclass(frozen=True, slots=True)
class Limits:
    """What the process, and what it starts, may take.

    Attributes:
        seconds: of wall time, in all.
        processor: seconds of processor time of each process.
        memory: bytes of resident memory, of all its processes together.
        address_space: bytes of address space of each process; torch maps more than it uses.
        file: bytes of each file that is written.
        processes: that run at a time, its own and what descends from it.
        answer: bytes of the answer.
        output: bytes of output that are kept for messages; further output is read and dropped up to `flood`.
        flood: bytes of output after which the process is ended.
    """

    seconds: float = 120.0
    processor: int = 240
    memory: int = 4 * 2**30
    address_space: int = 16 * 2**30
    file: int = 256 * 2**20
    processes: int = 64
    answer: int = 4 * 2**20
    output: int = 16 * 2**10
    flood: int = 64 * 2**20


#: variables of the environment that reach the process: what Python, torch and libraries need, and no secrets
PASSED = re.compile(
    r"PATH|HOME|USER|LANG|LC_[A-Z]+|TZ|TMPDIR|VIRTUAL_ENV|LD_LIBRARY_PATH|CUDA_[A-Z_]+|HF_HOME|HF_HUB_OFFLINE"
    r"|TRANSFORMERS_OFFLINE|(OMP|MKL|OPENBLAS|NUMEXPR|VECLIB_MAXIMUM)_(NUM_)?THREADS|PYTHONHASHSEED|SYSTEMROOT"
)
_CHILD = "from hptransfer.execution.confined import answer; answer()"
_INTERVAL = 0.05
#: seconds in which a process that gave its answer ends; torch takes some of them on a busy machine
_PATIENCE = 15.0


@dataclass(frozen=True, slots=True)
class Ended:
    """A process that gave no answer.

    Attributes:
        why: "time", "memory", "processes", "output", "answer" or "process", for a finding's code.
        received: how it ended, in words, with the last line that it printed.
    """

    why: str
    received: str


def run(task: str, request: Mapping[str, Any], limits: Limits = Limits(), *, folder: Path | None = None) -> Any:
    """What a function of this package answers, from a process of its own.

    Args:
        task: `module:function`; the function takes the request, and returns what JSON can hold.
        request: what JSON can hold.
        limits: of time, memory, files and output.
        folder: where the process works; None for the current folder, where training looks for modules too.

    Returns:
        What the function returned, or `Ended`. Whatever it started is ended too, but for what hides from its group.

    Raises:
        MachineError: no process can be started.
    """
    started = time.monotonic()
    read, write = os.pipe()
    try:
        child = subprocess.Popen(
            [sys.executable, "-P", "-c", _CHILD, str(write), json.dumps(asdict(limits))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            pass_fds=(write,),
            cwd=folder,
            env=_environment(),
        )
    except OSError as error:
        os.close(read)
        raise MachineError("a process for a recipe's code must start", received=str(error)) from None
    finally:
        os.close(write)
    with open(read, "rb", buffering=0) as channel:
        try:
            _ask(child, task, request)
            said, printed, why = _heard(child, channel, started, limits)
        finally:
            _end(child)
    if why is not None:
        return Ended(why[0], why[1] + _last(printed))
    if child.returncode != 0:
        how = f"signal {-child.returncode}" if child.returncode < 0 else f"exit status {child.returncode}"
        cause = "memory" if b"MemoryError" in printed[-400:] else "process"
        return Ended(cause, how + _last(printed))
    try:
        return json.loads(said)["answer"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return Ended("process", f"no answer, exit status 0{_last(printed)}")


def _ask(child: subprocess.Popen[bytes], task: str, request: Mapping[str, Any]) -> None:
    assert child.stdin is not None  # noqa: S101 - it is a pipe
    with contextlib.suppress(BrokenPipeError), child.stdin as stream:
        stream.write(json.dumps({"task": task, "request": request}).encode())


def _heard(
    child: subprocess.Popen[bytes], channel: IO[bytes], started: float, limits: Limits
) -> tuple[bytes, bytes, tuple[str, str] | None]:
    """Its answer, the end of its output, and why it was ended; neither can fill our memory."""
    assert child.stdout is not None  # noqa: S101 - it is a pipe
    answered, printed = bytearray(), bytearray()
    total, looked = 0, started
    with selectors.DefaultSelector() as waiting:
        for stream in (channel, child.stdout):
            os.set_blocking(stream.fileno(), False)
            waiting.register(stream.fileno(), selectors.EVENT_READ)
        while channel.fileno() in waiting.get_map():
            over = child.poll() is not None  # what it started may hold the pipes open, and is not waited for
            ready = [key.fd for key, _ in waiting.select(0 if over else _INTERVAL)]
            for descriptor in ready:
                piece = os.read(descriptor, 2**16)
                if not piece:
                    waiting.unregister(descriptor)
                elif descriptor == channel.fileno():
                    answered += piece
                else:
                    total += len(piece)
                    printed += piece
                    del printed[: -limits.output]
            if over and not ready:
                break
            now = time.monotonic()
            used = None
            if now - looked > 4 * _INTERVAL:
                looked, used = now, (group_memory(child.pid), group_size(child.pid))
            if (why := _beyond(limits, len(answered), total, now - started, used)) is not None:
                return b"", bytes(printed), why
    with contextlib.suppress(subprocess.TimeoutExpired):
        child.wait(_PATIENCE)
        return bytes(answered), bytes(printed), None
    return b"", bytes(printed), ("time", "it gave its answer and went on")


def _beyond(
    limits: Limits, answered: int, printed: int, seconds: float, used: tuple[int, int] | None
) -> tuple[str, str] | None:
    """Which limit was passed, and in words; None where none was."""
    memory, processes = used or (0, 0)
    said = (
        ("answer", answered, limits.answer, f"an answer of more than {limits.answer:,} bytes"),
        ("output", printed, limits.flood, f"more than {limits.flood:,} bytes of output"),
        ("time", seconds, limits.seconds, f"still running after {limits.seconds:.0f} s"),
        ("processes", processes, limits.processes, f"{processes:,} processes"),
        ("memory", memory, limits.memory, f"{memory / 2**20:,.0f} MiB of memory"),
    )
    return next(((why, text) for why, found, most, text in said if found > most), None)


def _end(child: subprocess.Popen[bytes]) -> None:
    """Ends the process, its group, and what left its group and still descends from it."""
    for _ in range(5):  # while one is looked for, another may be started
        left = strays(child.pid) if child.poll() is None else set()
        for pid in left:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        if not left:
            break
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()
    if child.stdout is not None:
        child.stdout.close()


def _last(printed: bytes) -> str:
    lines = printed.decode("utf-8", "replace").strip().splitlines()
    return f": {printable(lines[-1])[:300]}" if lines else ""


def _environment() -> dict[str, str]:
    passed = {name: value for name, value in os.environ.items() if PASSED.fullmatch(name)}
    path = os.pathsep.join(dict.fromkeys(each or os.getcwd() for each in sys.path))
    return passed | {"PYTHONPATH": path, "PYTHONNOUSERSITE": "1", "HPTRANSFER_CONFINED": "1"}


def answer() -> None:
    """In the child: limits first, then the question, then the answer to a pipe that nothing else is told of."""
    from importlib import import_module

    channel = int(sys.argv[1])
    os.set_inheritable(channel, False)
    _limit(Limits(**json.loads(sys.argv[2])))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what it made is removed on its way out
    answered = threading.Event()
    threading.Thread(target=_end_with_the_asker, args=(channel, answered), daemon=True).start()
    asked = json.load(sys.stdin)
    module, _, name = asked["task"].partition(":")
    said = getattr(import_module(module), name)(asked["request"])
    with open(channel, "w", encoding="utf-8") as stream:
        json.dump({"answer": said}, stream)
        answered.set()


def _end_with_the_asker(channel: int, answered: threading.Event) -> None:
    """Waits until nobody can read the answer any more, as after a kill -9 of whoever asked, and ends the group."""
    waiting = select.poll()
    waiting.register(channel, 0)  # of a pipe without readers an error is told, whatever is asked for
    # in short waits, each of which keeps the pipe open: whoever asked waits for its end
    while not waiting.poll(1000 * _INTERVAL):
        if answered.is_set():
            return
    if answered.is_set():
        return
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(_PATIENCE)
    os.killpg(0, signal.SIGKILL)


def _limit(limits: Limits) -> None:
    for which, most in _resources(limits):
        hard = resource.getrlimit(which)[1]
        allowed = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(which, (allowed, allowed))


def _resources(limits: Limits) -> Iterator[tuple[int, int]]:
    yield resource.RLIMIT_AS, limits.address_space
    yield resource.RLIMIT_CPU, limits.processor
    yield resource.RLIMIT_FSIZE, limits.file
    yield resource.RLIMIT_CORE, 0
