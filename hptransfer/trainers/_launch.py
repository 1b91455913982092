"""How the processes of one run are started, and which GPUs it holds."""

from __future__ import annotations

import contextlib
import fcntl
import getpass
import hashlib
import os
import re
import shutil
import socket
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

from hptransfer.errors import UsageError
from hptransfer.execution.limits import GPUS, visible_gpus
from hptransfer.recipe.command_sections import Resources

_INTERPRETER = re.compile(r"python(\d+(\.\d+)?)?")
#: seconds between two looks for GPUs that are free
_INTERVAL = 0.2
_PORTS = (20_000, 20_000)  # the first, and how many


@dataclass(frozen=True, slots=True)
class Lease:
    """What one run holds.

    Attributes:
        resources: as the recipe gives them for its width.
        gpus: of this machine, held by this run alone, as `CUDA_VISIBLE_DEVICES` names them.
        key: of the trial, hexadecimal.
    """

    resources: Resources
    gpus: Sequence[str]
    key: str


def all_gpus() -> tuple[str, ...]:
    """Every GPU that workers of this machine share, not only this worker's own."""
    told = os.environ.get(GPUS)
    return visible_gpus(os.environ) if told is None else tuple(filter(None, told.split(",")))


def local_gpus(resources: Resources) -> int:
    """GPUs to hold on this machine; Slurm gives those of its steps.

    Args:
        resources: what the run takes.
    """
    return 0 if resources.nodes > 1 or resources.launcher == "srun" else resources.gpus


def resources_for(resources: Sequence[Resources], width: int) -> Resources:
    """What a run of a width takes.

    Args:
        resources: in the recipe's order, limits rising; none is one process without a GPU of its own.
        width: of the model that the run trains.
    """
    fitting = (each for each in resources if each.up_to_width is None or width <= each.up_to_width)
    return next(fitting, Resources())


def launched(command: Sequence[str], resources: Resources, key: str) -> list[str]:
    """The command with its launcher in front.

    Args:
        command: the program and its arguments.
        resources: what the run takes.
        key: of the trial, hexadecimal; names the meeting point of several nodes.

    Raises:
        UsageError: the launcher cannot start such a command.
    """
    if resources.launcher == "srun":
        return [*_srun(resources, resources.processes), *command]
    if resources.launcher == "none" or (resources.processes == 1 and resources.nodes == 1):
        return [*_srun(resources, 1), *command] if resources.nodes > 1 else list(command)
    return _torchrun(command, resources, key)


def _srun(resources: Resources, tasks: int) -> list[str]:
    line = ["srun", f"--nodes={resources.nodes}", f"--ntasks-per-node={tasks}"]
    if resources.gpus:
        line.append(f"--gpus-per-node={resources.gpus}")
    # without --exact a step takes the whole allocation, and the next one waits
    return [*line, "--exact", "--unbuffered", "--kill-on-bad-exit=1"]


def _torchrun(command: Sequence[str], resources: Resources, key: str) -> list[str]:
    interpreter, arguments = command[0], list(command[1:])
    is_python = _INTERPRETER.fullmatch(PurePath(interpreter).name) is not None
    if is_python and arguments[:1] != ["-m"] and (not arguments or arguments[0].startswith("-")):
        raise UsageError(
            "torchrun must be given a script or `-m module`",
            received=" ".join(command[:3]),
            hint="write `[python, train.py, ...]`; options of the interpreter go into `environment`",
        )
    start = [interpreter, "-m", "torch.distributed.run"] if is_python else ["torchrun"]
    shared = [f"--nproc-per-node={resources.processes}", "--max-restarts=0"]
    program = arguments if is_python else ["--no-python", *command]
    if resources.nodes == 1:
        return [*start, "--standalone", "--local-addr=127.0.0.1", *shared, *program]
    port = _PORTS[0] + int(hashlib.sha256(key.encode()).hexdigest()[:8], 16) % _PORTS[1]
    meeting = [
        f"--nnodes={resources.nodes}",
        "--rdzv-backend=c10d",
        f"--rdzv-id={key[:16]}",
        f"--rdzv-endpoint={socket.gethostname()}:{port}",
    ]
    return [*_srun(resources, 1), *start, *meeting, *shared, *program]


def require_launcher(line: Sequence[str]) -> None:
    """The launcher of a line must be there.

    Args:
        line: as `launched` gives it.

    Raises:
        UsageError: it needs Slurm, and there is none.
    """
    if line[0] == "srun" and shutil.which("srun") is None:
        rule = "several nodes, and `launcher: srun`, need Slurm"
        raise UsageError(rule, received="no srun here", hint="start the command in an allocation: `sbatch`, `salloc`")


@contextlib.contextmanager
def leased(count: int, visible: Sequence[str], folder: Path | None = None) -> Iterator[tuple[str, ...]]:
    """Holds GPUs of this machine for one run, against every other run of this user; waits until they are free.

    Args:
        count: how many; 0 holds none.
        visible: those that may be used, as `CUDA_VISIBLE_DEVICES` names them.
        folder: of the locks; None: one of this user, in the folder for temporary files.

    Raises:
        UsageError: there are not so many.
    """
    if count > len(visible):
        rule = "a run cannot hold more GPUs than there are"
        raise UsageError(rule, received=f"gpus: {count}; visible: {', '.join(visible) or 'none'}")
    with contextlib.ExitStack() as held:
        yield tuple(_taken(count, visible, folder or _lock_folder(), held)) if count else ()


def _taken(count: int, visible: Sequence[str], folder: Path, held: contextlib.ExitStack) -> list[str]:
    """All of them or none, so that two runs never wait for each other's."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    while True:
        with contextlib.ExitStack() as trying, _locked(folder / "queue", fcntl.LOCK_EX):
            free: list[str] = []
            for gpu in visible:
                if len(free) < count and _lock(folder / re.sub(r"\W", "_", gpu), trying):
                    free.append(gpu)
            if len(free) == count:
                held.enter_context(trying.pop_all())
                return free
        time.sleep(_INTERVAL)


def _lock(path: Path, stack: contextlib.ExitStack) -> bool:
    try:
        stack.enter_context(_locked(path, fcntl.LOCK_EX | fcntl.LOCK_NB))
    except BlockingIOError:
        return False
    return True


@contextlib.contextmanager
def _locked(path: Path, how: int) -> Iterator[None]:
    """The system lets go of it however the process ends; programs that it starts do not inherit it."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, how)
        yield
    finally:
        os.close(descriptor)


def _lock_folder() -> Path:
    return Path(tempfile.gettempdir()) / f"hptransfer-gpus-{getpass.getuser()}"
