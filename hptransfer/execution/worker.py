"""What a worker process runs: one JSON task per line in, one JSON answer per line out, until its input ends.

Started as `python -m hptransfer.execution.worker module:function PARENT_PID`. The protocol lives on duplicates of the
standard streams, so nothing the task prints can corrupt it: file descriptor 1 is sent to stderr, 0 reads nothing.
Neither the process nor what its tasks started may outlive the coordinator, not even one killed with SIGKILL: a guard,
forked before anything else, kills the whole process group when the input's other end is gone. On Linux the kernel kills
the process besides, but it alone: its death is no reason for the kernel to end its children. What left the group is
killed by the coordinator when it ends the worker (on Linux), and outlives a coordinator that is killed itself.
"""

from __future__ import annotations

import contextlib
import ctypes
import faulthandler
import importlib
import json
import os
import select
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from functools import partial
from queue import SimpleQueue
from typing import Any

from hptransfer.execution.outcome import TaskError, classify_exception
from hptransfer.execution.progress import listen

_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36  # linux/prctl.h


def main(entry: str, parent: int) -> None:
    """Answers tasks until the coordinator closes the input or dies.

    Args:
        entry: "module:function"; the function takes the payload and returns what JSON can carry.
        parent: the coordinator's process id.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a Ctrl-C is the coordinator's to interpret
    die_with(parent)
    tasks, answers = _take_streams()
    _start_guard(tasks, answers)
    _adopt_orphans()
    faulthandler.enable()
    with contextlib.suppress(BaseException):  # an entry that cannot be loaded is the error of every task
        _load(entry)
        _prepare(entry)
    _write_all(answers, b"ready\n")  # child.READY
    queue: SimpleQueue[str] = SimpleQueue()
    threading.Thread(target=_read_tasks, args=(tasks, queue), daemon=True).start()
    while True:
        task = json.loads(queue.get())
        listen(partial(_announce, answers, task["id"]))
        _write_all(answers, _answer(entry, task).encode() + b"\n")


def die_with(parent: int) -> None:
    """The kernel kills this process when its parent dies (on Linux)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it died before the line above
        os._exit(1)


def _adopt_orphans() -> None:
    """What a task's processes leave behind stays below this process (on Linux), so that the coordinator finds it."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _take_streams() -> tuple[int, int]:
    tasks, answers = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    return tasks, answers


def _start_guard(tasks: int, answers: int) -> None:
    """Forks a process of this group that reads nothing and waits until nobody can write tasks any more.

    A thread of this process could not do it: the kernel may end the process first, and a task in C may hold the lock
    of the interpreter. The coordinator ends the guard with the group.
    """
    if os.fork():
        return
    try:
        os.close(answers)
        os.dup2(0, 1)
        os.dup2(0, 2)  # from here on 0 to 2 are the null device
        hung_up = select.poll()
        hung_up.register(tasks, 0)  # no event but the one that cannot be left out, POLLHUP
        hung_up.poll()
    finally:
        os.killpg(os.getpgrp(), signal.SIGKILL)


def _read_tasks(tasks: int, queue: SimpleQueue[str]) -> None:
    with os.fdopen(tasks, encoding="utf-8") as lines:
        for line in lines:
            queue.put(line)


def _write_all(descriptor: int, content: bytes) -> None:
    while content:
        content = content[os.write(descriptor, content) :]


def _announce(answers: int, task: str, value: Any) -> None:
    _write_all(answers, json.dumps({"id": task, "said": value}).encode() + b"\n")


def _answer(entry: str, task: dict[str, Any]) -> str:
    start = time.monotonic()
    try:
        value = _load(entry)(task["payload"])
        return json.dumps({"id": task["id"], "value": value, "seconds": time.monotonic() - start})
    except TaskError as error:
        said = {"cause": error.cause, "message": str(error), "details": error.details}
        return json.dumps({"id": task["id"], **said})
    except BaseException as error:  # SystemExit too: a task must not end its worker
        name = type(error).__name__
        first_line = (str(error).strip().splitlines() or [""])[0]
        return json.dumps(
            {
                "id": task["id"],
                "cause": classify_exception(name, str(error)),
                "message": f"{name}: {first_line}" if first_line else name,
                "details": traceback.format_exc(),
            }
        )


def _load(entry: str) -> Callable[[Any], Any]:
    module, _, function = entry.partition(":")
    loaded: Callable[[Any], Any] = getattr(importlib.import_module(module), function)
    return loaded


def _prepare(entry: str) -> None:
    """Calls the `prepare` of the entry's module, where it has one: imports that should not count as a task's time."""
    getattr(sys.modules[entry.partition(":")[0]], "prepare", lambda: None)()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
