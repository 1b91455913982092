"""What workers run in the tests: every way in which a task can end, chosen by the payload."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

from hptransfer.execution.pool import TaskPool, WorkerPool
from hptransfer.execution.progress import announce


def worker_pids(pool: TaskPool) -> tuple[int, ...]:
    """Process ids of a local pool's workers that are running."""
    assert isinstance(pool, WorkerPool)
    return tuple(child.pid for child in pool._children if child.alive)


def run(payload: dict[str, Any]) -> Any:
    """Does what `payload["do"]` names."""
    return _ACTIONS[payload["do"]](payload)


def _square(payload: dict[str, Any]) -> Any:
    return {"square": payload["x"] ** 2, "pid": os.getpid()}


def _announce(payload: dict[str, Any]) -> Any:
    for value in payload["values"]:
        announce(value)
    return "done"


def _noise(payload: dict[str, Any]) -> Any:
    print("printed to stdout", flush=True)
    os.write(1, b'{"id": "forged", "value": 1, "seconds": 0}\n')
    subprocess.run([sys.executable, "-c", "print('from a grandchild')"], check=True)
    print("to stderr", "x" * 100_000, file=sys.stderr)
    return sys.stdin.read()


def _raise(payload: dict[str, Any]) -> Any:
    raise ValueError(payload["message"])


def _memory_error(payload: dict[str, Any]) -> Any:
    raise MemoryError


def _torch_memory(payload: dict[str, Any]) -> Any:
    # torch 2.13, torch.empty(10**15) on a CPU
    raise RuntimeError(
        "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to "
        "allocate 4000000000000000 bytes. Error code 12 (Cannot allocate memory)"
    )


def _kill_self(payload: dict[str, Any]) -> Any:
    os.kill(os.getpid(), payload["signal"])
    time.sleep(60)


def _segfault(payload: dict[str, Any]) -> Any:
    ctypes.string_at(0)


def _start_child(payload: dict[str, Any]) -> None:
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(120)"])
    if "tell" in payload:
        with open(payload["tell"], "w", encoding="utf-8") as file:
            file.write(f"{os.getpid()} {child.pid}")


def _stray(payload: dict[str, Any]) -> Any:
    """Two processes in sessions of their own, one of them an orphan."""
    sleeper = "import os, time; print(os.getpid(), flush=True); time.sleep(120)"
    child = subprocess.Popen([sys.executable, "-c", sleeper], stdout=subprocess.PIPE, start_new_session=True)
    parent = (
        "import subprocess, sys\n"
        f"command = [sys.executable, '-c', {sleeper!r}]\n"
        "child = subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True)\n"
        "print(child.stdout.readline().decode(), end='', flush=True)\n"
    )
    orphan = subprocess.run([sys.executable, "-c", parent], stdout=subprocess.PIPE, check=True)
    assert child.stdout is not None
    return [int(child.stdout.readline()), int(orphan.stdout)]


def _hang(payload: dict[str, Any]) -> Any:
    _start_child(payload)
    time.sleep(120)


def _hold(payload: dict[str, Any]) -> Any:
    block = b"x" * (payload["megabytes"] * 10**6)
    time.sleep(payload["seconds"])
    return len(block)


def _leak(payload: dict[str, Any]) -> Any:
    _KEPT.append(b"x" * (payload["megabytes"] * 10**6))
    return {"pid": os.getpid()}


def _grandchild_holds(payload: dict[str, Any]) -> Any:
    code = f"import time; block = b'x' * {payload['megabytes'] * 10**6}; time.sleep(120)"
    child = subprocess.Popen([sys.executable, "-c", code])
    with open(payload["tell"], "w", encoding="utf-8") as file:
        file.write(f"{os.getpid()} {child.pid}")
    child.wait()


def _gpu(payload: dict[str, Any]) -> Any:
    time.sleep(payload["seconds"])  # so that every worker gets one of these tasks
    return os.environ.get("CUDA_VISIBLE_DEVICES")


def _hang_holding_the_interpreter(payload: dict[str, Any]) -> Any:
    _start_child(payload)
    ctypes.PyDLL(None).sleep(120)  # PyDLL keeps the interpreter lock


def _exit(payload: dict[str, Any]) -> Any:
    os._exit(7)


def _system_exit(payload: dict[str, Any]) -> Any:
    sys.exit("leaving")


def _not_json(payload: dict[str, Any]) -> Any:
    return object()


def _nan(payload: dict[str, Any]) -> Any:
    return float("nan")


def _environment(payload: dict[str, Any]) -> Any:
    return {name: os.environ.get(name) for name in payload["names"]} | {
        "sigint": signal.getsignal(signal.SIGINT) is signal.SIG_IGN,
        "group": os.getpgrp() == os.getpid(),
    }


_KEPT: list[bytes] = []
_ACTIONS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "stray": _stray,
    "square": _square,
    "announce": _announce,
    "noise": _noise,
    "raise": _raise,
    "memory error": _memory_error,
    "torch memory": _torch_memory,
    "kill": _kill_self,
    "segfault": _segfault,
    "hang": _hang,
    "hang in C": _hang_holding_the_interpreter,
    "hold": _hold,
    "leak": _leak,
    "grandchild holds": _grandchild_holds,
    "gpu": _gpu,
    "exit": _exit,
    "system exit": _system_exit,
    "not json": _not_json,
    "nan": _nan,
    "environment": _environment,
}
