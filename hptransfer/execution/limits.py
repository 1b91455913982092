"""What one task may take: time and memory, of its whole process group, and which GPU."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

#: seconds between two readings of a group's memory; what a task allocates faster than this is seen too late
MEMORY_INTERVAL = 0.2
#: seconds that a worker may take to start, whatever the limit of its task: imports from a slow disk are not its fault
START_LIMIT = 600.0


@dataclass(frozen=True, slots=True)
class TaskLimits:
    """Limits of one task.

    Attributes:
        seconds: from the moment its worker has started; None for no limit.
        memory: bytes of resident memory, summed over the processes of its group; None for no limit.
    """

    seconds: float | None = None
    memory: int | None = None


UNLIMITED = TaskLimits()


def group_memory(group: int) -> int:
    """Resident bytes of a process group and of all that descend from its leader; 0 when it is gone.

    Pages that processes share are counted in each.

    Args:
        group: number of the group, which is its leader's process id.
    """
    if Path("/proc/self/statm").exists():
        return sum(_resident(pid) for pid in _belonging(group, _processes()))
    return listed_memory(group)


def group_size(group: int) -> int:
    """Number of processes of a group and of all that descend from its leader; 0 where there is no /proc.

    A limit of the system (RLIMIT_NPROC) would count every process of the user, and none of root's.

    Args:
        group: number of the group, which is its leader's process id.
    """
    return len(_belonging(group, _processes())) if Path("/proc/self/statm").exists() else 0


#: of the command line of a process that ends by itself what it started, and must live to do so
_KEEPER = b"_keeper.py"


def strays(leader: int) -> set[int]:
    """What descends from a process but has left its group, by setsid for example; none where there is no /proc.

    Keepers of commands, and what they keep, are left out: a keeper ends its command when whoever started it is gone.

    Args:
        leader: process id, which is also the number of its group; it runs.
    """
    if not Path("/proc/self/statm").exists():
        return set()
    processes = _processes()
    kept = {pid: found for pid, found in processes.items() if found[1] == leader or not _is_keeper(pid)}
    return {pid for pid in _belonging(leader, kept) if kept[pid][1] != leader}


def _is_keeper(pid: int) -> bool:
    try:
        return _KEEPER in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:  # it ended meanwhile, or is another user's
        return False


def listed_memory(group: int) -> int:
    """The same, asked of `ps`, where there is no /proc."""
    columns = "pid=,ppid=,pgid=,rss="
    listing = subprocess.run(["ps", "-A", "-o", columns], capture_output=True, text=True, check=False).stdout
    rows = [tuple(map(int, line.split())) for line in listing.splitlines() if len(line.split()) == 4]
    belonging = _belonging(group, {pid: (parent, of) for pid, parent, of, _ in rows})
    return 1024 * sum(resident for pid, _, _, resident in rows if pid in belonging)


def _processes() -> dict[int, tuple[int, int]]:
    """Parent and process group of every process."""
    found = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdecimal():
            continue
        try:
            # "pid (command) state ppid pgrp ...": the command may hold spaces and brackets
            _, parent, group = (entry / "stat").read_text().rpartition(")")[2].split()[:3]
        except (OSError, ValueError, UnicodeDecodeError):  # it ended meanwhile
            continue
        found[int(entry.name)] = int(parent), int(group)
    return found


def _belonging(group: int, processes: Mapping[int, tuple[int, int]]) -> set[int]:
    children: dict[int, list[int]] = {}
    for pid, (parent, _) in processes.items():
        children.setdefault(parent, []).append(pid)
    belonging = {pid for pid, (_, of) in processes.items() if of == group}
    waiting = list(belonging)
    while waiting:
        new = [child for child in children.get(waiting.pop(), ()) if child not in belonging]
        belonging |= set(new)
        waiting += new
    return belonging


def kernel_oom_kills() -> int:
    """How often the kernel killed a process of this control group for memory (0 where the machine does not tell)."""
    try:
        groups = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        return 0
    return sum(_oom_kills(*line.split(":", 2)[1:]) for line in groups if line.count(":") >= 2)


def _oom_kills(controllers: str, group: str) -> int:
    """The count of one hierarchy: the unified one of version 2 names no controllers, version 1 has one of memory."""
    if controllers and "memory" not in controllers.split(","):
        return 0
    folder, name = ("memory", "memory.oom_control") if controllers else ("", "memory.events")
    try:
        text = Path("/sys/fs/cgroup", folder, group.lstrip("/"), name).read_text()
    except OSError:
        return 0
    counts = dict(line.split() for line in text.splitlines())
    return int(counts.get("oom_kill", 0))


def _resident(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError):
        return 0


# Which GPU a worker sees: one each, in turn.

VISIBLE = "CUDA_VISIBLE_DEVICES"
#: in a worker's environment: every GPU of its coordinator, and the PYTHONPATH that its coordinator was started with
GPUS, PATH_BEFORE = "HPTRANSFER_GPUS", "HPTRANSFER_PYTHONPATH_BEFORE"


def visible_gpus(environment: Mapping[str, str], devices: Path = Path("/dev")) -> tuple[str, ...]:
    """The GPUs that this process may use, as `CUDA_VISIBLE_DEVICES` names them; none on a machine without.

    Args:
        environment: of this process. What it names is taken as it is (indices, UUIDs of GPUs or of MIG slices); as in
            CUDA, an index below zero hides itself and all that follow.
        devices: where the driver's device files lie; counted where the environment names no GPUs.
    """
    named = environment.get(VISIBLE)
    if named is None:
        count = sum(1 for path in devices.glob("nvidia[0-9]*") if path.name.removeprefix("nvidia").isdecimal())
        return tuple(str(index) for index in range(count))
    gpus: list[str] = []
    for name in (part.strip() for part in named.split(",")):
        if not name or name.startswith("-"):
            break
        gpus.append(name)
    return tuple(gpus)


def gpu_of(slot: int, gpus: tuple[str, ...], each: int = 1) -> str | None:
    """The GPUs of a worker's slot, as `CUDA_VISIBLE_DEVICES` names them: in turn; None without GPUs.

    Args:
        slot: number of the worker in its pool, from 0.
        gpus: those that may be used.
        each: that one worker needs; where there are fewer, it sees them all.
    """
    if not gpus:
        return None
    groups = max(1, len(gpus) // each)
    first = slot % groups * each
    return ",".join(gpus[first : first + each])


def trials_at_once(workers: int, gpus: int, *, each: int = 1, per_gpu: int = 1) -> int:
    """How many trials run at a time on a machine with GPUs: at most `per_gpu` on each.

    Args:
        workers: trials at a time that are wanted, at least 1.
        gpus: number of GPUs that may be used; 0 where trials use none.
        each: GPUs that one trial needs.
        per_gpu: trials that share one.
    """
    return workers if gpus < each else min(workers, gpus // each * per_gpu)
