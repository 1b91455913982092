"""Commands run one after the other, each in a fork of one process that has imported them: its own time and memory.

`python -m tests.support.hostile_driver CASES`: a JSON file with a list of `[name, folder, arguments, modules]`; writes
a line of JSON for each.
"""

from __future__ import annotations

import importlib
import json
import os
import resource
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

#: seconds of wall time after which a command hangs; generous, for other processes may hold the cores
PATIENCE = 60.0


def main() -> None:
    """Runs every case."""
    from hptransfer.__main__ import main as command_line

    for name, folder, arguments, modules in json.loads(Path(sys.argv[1]).read_text()):
        for module in modules:
            importlib.import_module(module)
        print(json.dumps({"name": name} | _measured(command_line, folder, arguments)), flush=True)


def _measured(command_line: Any, folder: str, arguments: list[str]) -> dict[str, Any]:
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as errors:
        pid = os.fork()
        if pid == 0:
            _run(command_line, folder, arguments, out.fileno(), errors.fileno())
        status, usage, hung = _waited(pid)
        for stream in (out, errors):
            stream.seek(0)
        said = {"stdout": out.read().decode("utf-8", "replace"), "stderr": errors.read().decode("utf-8", "replace")}
    return said | {
        "status": os.waitstatus_to_exitcode(status),
        "hung": hung,
        "seconds": usage.ru_utime + usage.ru_stime,
        "megabytes": usage.ru_maxrss / 1024,
    }


def _run(command_line: Any, folder: str, arguments: list[str], out: int, errors: int) -> None:
    """In the fork: as the console script would, with nothing on the standard input."""
    nothing = os.open(os.devnull, os.O_RDONLY)
    for descriptor, place in ((nothing, 0), (out, 1), (errors, 2)):
        os.dup2(descriptor, place)
    resource.setrlimit(resource.RLIMIT_CPU, (60, 60))
    os.chdir(folder)
    sys.argv = ["hptransfer", *arguments]
    status = 70
    try:
        command_line()
    except SystemExit as error:
        status = error.code if isinstance(error.code, int) else 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def _waited(pid: int) -> tuple[int, resource.struct_rusage, bool]:
    end = time.monotonic() + PATIENCE
    hung = False
    while True:
        done, status, usage = os.wait4(pid, os.WNOHANG)
        if done:
            return status, usage, hung
        if time.monotonic() > end and not hung:
            hung = True
            os.kill(pid, signal.SIGKILL)
        time.sleep(0.005)


if __name__ == "__main__":
    main()
