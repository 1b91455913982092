"""Code that a recipe names, run in a process of its own under limits of memory and time.

It has the rights of whoever runs `validate`: files can be written and the network reached. The limits keep a mistake
from taking the machine with it; they are no sandbox, and so `--trust` is asked for.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

from hptransfer.errors import Finding

#: of address space, for torch and the code's own
MEMORY = 16 * 2**30
#: seconds of wall time; of processor time as many for each of four cores
SECONDS = 120
#: bytes of an answer
MOST_ANSWER = 4 * 2**20

_CHILD = "from hptransfer.linting.levels._trusted import answer; answer()"


def run_trusted(function: str, payload: Mapping[str, Any], *, seconds: int = SECONDS) -> Any:
    """The answer of one of our functions that calls code of a recipe, from a process of its own.

    Args:
        function: `module:function` of this package; it takes the payload, and returns what JSON can hold.
        payload: what it is given.
        seconds: of wall time that it may take.

    Returns:
        What the function returned, or a `Finding` that says how its process ended. It went through a process that ran
        the recipe's code, so it is no better than that code.
    """
    path = os.pathsep.join(dict.fromkeys(each or os.getcwd() for each in sys.path))
    with subprocess.Popen(
        [sys.executable, "-c", _CHILD],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        env=os.environ | {"PYTHONPATH": path},
    ) as child:
        asked = json.dumps({"function": function, "payload": payload}).encode()
        try:
            said, complained = child.communicate(asked, seconds)
        except subprocess.TimeoutExpired:
            return _ended("time", f"still running after {seconds} s")
        finally:
            _end_all(child.pid)
    lines = complained.decode("utf-8", "replace").strip().splitlines()
    if child.returncode or len(said) > MOST_ANSWER:
        last = f": {lines[-1][:300]}" if lines else ""
        how = f"signal {-child.returncode}" if child.returncode < 0 else f"exit status {child.returncode}"
        return _ended("process", how + last)
    try:
        return json.loads(said)
    except ValueError:
        return _ended("process", f"no answer, {len(said)} bytes of something else")


def _ended(what: str, received: str) -> Finding:
    rule = f"code that a recipe names must answer within {SECONDS} s and {MEMORY // 2**30} GB, and not end its process"
    hint = "build the model by itself first, at the smallest and at the largest size of the recipe"
    return Finding(rule, received, hint, code=f"trust/{what}")


def _end_all(group: int) -> None:
    """Ends what the code started and left; it leads a process group of its own."""
    try:
        os.killpg(group, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return


def answer() -> None:
    """In the child: limits first, then the question from stdin, and the answer to what was stdout."""
    import resource
    from importlib import import_module

    processor = 4 * SECONDS
    for limit, most in ((resource.RLIMIT_AS, MEMORY), (resource.RLIMIT_CPU, processor), (resource.RLIMIT_CORE, 0)):
        hard = resource.getrlimit(limit)[1]
        allowed = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(limit, (allowed, hard))
    asked = json.load(sys.stdin)
    channel = os.dup(1)
    os.dup2(2, 1)  # what the code prints is no answer
    module, _, name = asked["function"].partition(":")
    said = getattr(import_module(module), name)(asked["payload"])
    with open(channel, "w", encoding="utf-8") as stream:
        json.dump(said, stream)
