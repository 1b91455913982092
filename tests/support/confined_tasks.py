"""What a recipe's code may do to the process in which it runs; `execution.confined` calls each by name."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

Request = Mapping[str, Any]


def echo(request: Request) -> dict[str, Any]:
    """An honest answer, though it prints."""
    print("noise on the way")
    return {"said": request["say"], "names": sorted(os.environ), "here": os.getcwd()}


def leaves(_: Request) -> None:
    """Ends the process as code at import does."""
    sys.exit(3)


def leaves_quietly(_: Request) -> None:
    """Ends the process without a word."""
    os._exit(0)


def crashes(_: Request) -> None:
    """A fault of memory."""
    os.kill(os.getpid(), 11)


def raises(_: Request) -> None:
    """An exception whose text would steer a terminal."""
    raise ValueError("\x1b[2Jowned")


def hangs(_: Request) -> None:
    """Never answers."""
    time.sleep(600)


def spins(_: Request) -> None:
    """Never answers, and takes a core."""
    while True:
        pass


def takes_memory(_: Request) -> None:
    """Touches memory until somebody stops it."""
    kept = []
    while True:
        kept.append(bytearray(os.urandom(1) * 2**22))


def floods(_: Request) -> None:
    """A gigabyte of output."""
    for _each in range(1024):
        os.write(1, b"x" * 2**20)


def answers_much(_: Request) -> str:
    """An answer that would fill memory."""
    return "x" * 2**23


def forks(_: Request) -> None:
    """Processes that start processes, as many as they may."""
    while True:
        try:
            if os.fork() == 0:
                time.sleep(0.01)
        except OSError:
            time.sleep(0.1)


def leaves_a_stray(request: Request) -> int:
    """A process in a session of its own, which would outlive its parent, and holds the pipes."""
    child = subprocess.Popen(["sleep", "600"], start_new_session=True, close_fds=False)
    Path(request["note"]).write_text(str(child.pid))
    time.sleep(600)
    return 0


def writes_much(request: Request) -> None:
    """A file without an end."""
    with Path(request["file"]).open("wb") as stream:
        while True:
            stream.write(b"x" * 2**20)


def answers_and_stays(_: Request) -> int:
    """A thread that keeps the process after its answer."""
    import threading

    threading.Thread(target=time.sleep, args=(600,)).start()
    return 1
