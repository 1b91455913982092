"""Commands run one after the other, each in a fork of one process that has imported them: its own time and memory.

What a command imports is learnt from one of its cases, which is run once more without being counted. Commands with the
fewest imports come first, so that none is measured with another's memory.

`python -m tests.support.hostile_driver CASES`: a JSON file with a list of `[name, folder, arguments]`; writes a line of
JSON for each.
"""

from __future__ import annotations

import contextlib
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

    by_command: dict[str, list[Any]] = {}
    for case in json.loads(Path(sys.argv[1]).read_text()):
        by_command.setdefault(case[2][0], []).append(case)
    learnt = {word: _measured(command_line, *cases[0][1:])["modules"] for word, cases in by_command.items()}
    for word in sorted(by_command, key=lambda word: len(learnt[word])):
        for module in learnt[word]:
            with contextlib.suppress(ImportError):  # a name that a package made up, which no file has
                importlib.import_module(module)
        for name, folder, arguments in by_command[word]:
            print(json.dumps({"name": name} | _measured(command_line, folder, arguments)), flush=True)


def _measured(command_line: Any, folder: str, arguments: list[str]) -> dict[str, Any]:
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as errors, tempfile.TemporaryFile() as modules:
        pid = os.fork()
        if pid == 0:
            _run(command_line, folder, arguments, out.fileno(), errors.fileno(), modules.fileno())
        status, usage, hung = _waited(pid)
        for stream in (out, errors, modules):
            stream.seek(0)
        said = {"stdout": out.read().decode("utf-8", "replace"), "stderr": errors.read().decode("utf-8", "replace")}
        imported = modules.read().decode().split()
    return said | {
        "modules": imported,
        "status": os.waitstatus_to_exitcode(status),
        "hung": hung,
        "seconds": usage.ru_utime + usage.ru_stime,
        "megabytes": usage.ru_maxrss / 1024,
    }


def _run(command_line: Any, folder: str, arguments: list[str], out: int, errors: int, modules: int) -> None:
    """In the fork: as the console script would, with nothing on the standard input; then the new modules, in order."""
    known = set(sys.modules)
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
        os.write(modules, "\n".join(name for name in sys.modules if name not in known).encode())
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
