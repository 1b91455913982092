"""The run folder `runs/<recipe>/`: its files, the lock of its one coordinator, writes that are whole or absent."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import socket
import sys
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from hptransfer.errors import MachineError
from hptransfer.files import bounded_content, located_faults, plain, write_atomically
from hptransfer.storage.damage import require_sound

#: bytes; below this much free space the user is warned, because a study and figures may not fit
SMALL_SPACE = 50 * 2**20


STUDY = "study.db"
#: endings of the files that SQLite keeps beside a database
_COMPANIONS = ("-journal", "-wal", "-shm")
#: folders of a run folder in which this tool writes files whose names can be known before
_WRITTEN = ("figures", "failures", "measurements")
#: bytes of the owner's record
_MOST_OF_A_RECORD = 2**16


class RunFolder:
    """Where one recipe's results lie. Constructing it touches nothing; `open` creates and locks the folder.

    Args:
        path: of the folder, `runs/<recipe>/`; it need not exist.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self._lock: IO[str] | None = None

    @classmethod
    def open(cls, runs: Path, name: str) -> Self:
        """Creates `runs/name/` and takes its lock, which the operating system releases however the process ends.

        Args:
            runs: the folder of all run folders.
            name: the recipe's name, which the folder has too.

        Raises:
            UsageError: the folder cannot be created or written.
            MachineError: another process works in it, the disk is full, or a link or a pipe lies where it writes.
        """
        folder = cls(runs / name)
        with located_faults(folder.path):
            folder.path.mkdir(parents=True, exist_ok=True)
            folder._require_plain()
            folder._take_lock()
        return folder

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Releases the lock."""
        if self._lock is not None:
            with contextlib.suppress(OSError):
                self._lock.truncate(0)  # nobody works here any more
            self._lock.close()
            self._lock = None

    def _own(self, name: str) -> Path:
        """A file or a folder of it; a run folder may be a stranger's, so nothing in it leads elsewhere.

        Raises:
            MachineError: there is a link, a pipe or a device.
        """
        plain(self.path)
        for companion in _COMPANIONS if name == STUDY else ():
            plain(self.path / (name + companion))
        return plain(self.path / name)

    @property
    def study(self) -> Path:
        """Optuna's database of trials."""
        return self._own(STUDY)

    def require_sound(self) -> None:
        """The database of trials is as it was left, as far as can be known before it is opened.

        Raises:
            MachineError: it is damaged, or is missing beside its results.
        """
        require_sound(self.study)

    @property
    def tuned(self) -> Path:
        """What `tune` recommends."""
        return self._own("tuned.yaml")

    @property
    def transfer(self) -> Path:
        """What `check` found."""
        return self._own("transfer.json")

    @property
    def target(self) -> Path:
        """The configuration of the large run."""
        return self._own("target.yaml")

    @property
    def recipe(self) -> Path:
        """The recipe as the last command worked with it."""
        return self._own("recipe.json")

    @property
    def costs(self) -> Path:
        """FLOPs by size, a cache."""
        return self._own("costs.json")

    @property
    def readings(self) -> Path:
        """Parameters of the recipe's model by size, a cache."""
        return self._own("readings.json")

    @property
    def failures(self) -> Path:
        """Folder of what is known of each failed trial, a text file each."""
        return self._own("failures")

    @property
    def figures(self) -> Path:
        """Folder of drawn curves."""
        return self._own("figures")

    def stop_requested(self) -> bool:
        """Whether `hptransfer stop` asked this process to stop."""
        return (self.path / "stop").exists()

    def request_stop(self) -> None:
        """Asks the process that works here to stop; it checks several times a second."""
        write_atomically(self.path / "stop", "")

    def space_warning(self) -> str | None:
        """A sentence when little disk space is left, else None."""
        free = shutil.disk_usage(self.path).free
        if free >= SMALL_SPACE:
            return None
        return f"only {free / 2**20:.0f} MB are free for {self.path}; a full disk stops the run (it can be continued)"

    def _require_plain(self) -> None:
        """Nothing that will be written in it goes through a link; folders of commands' own files are left to them."""
        plain(self.path)
        for folder in (self.path, *(self.path / name for name in _WRITTEN)):
            if folder.is_dir():
                with os.scandir(folder) as entries:
                    for entry in entries:
                        plain(folder / entry.name)

    def _take_lock(self) -> None:
        # not truncated on opening: the owner's name must survive until the lock is ours; never through a link, because
        # the record would be written over whatever it points at
        descriptor = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o666)
        lock = os.fdopen(descriptor, "a+", encoding="utf-8")  # held open as long as the folder is
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = read_owner(self.path)
            lock.close()
            raise MachineError(
                "one process at a time may work in a run folder",
                received=f"{self.path} is in use by {owner or 'another process'}",
                hint=f"wait for it, end it (`hptransfer stop {self.path.name}`) or choose another folder with --runs",
            ) from None
        (self.path / "stop").unlink(missing_ok=True)  # it was meant for an owner before
        lock.truncate(0)
        started = datetime.now(UTC).isoformat(timespec="seconds")
        owner_record = {"pid": os.getpid(), "host": socket.gethostname(), "started": started, "command": sys.argv[:3]}
        lock.write(json.dumps(owner_record))
        lock.flush()
        self._lock = lock


@dataclass(frozen=True, slots=True)
class Owner:
    """The process that works in a run folder.

    Attributes:
        pid: process id on its host.
        host: the machine it runs on.
        started: when it took the lock, ISO 8601, UTC.
        command: the beginning of its command line.
        alive: whether it still holds the lock; None when it is another machine's.
    """

    pid: int
    host: str
    started: str
    command: tuple[str, ...]
    alive: bool | None

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}, started {self.started} ({' '.join(self.command)})"


def read_owner(folder: Path) -> Owner | None:
    """Who works in a run folder, or did when it was killed; None where the last one left in good order.

    Taking the lock, even for a moment, could turn away an owner that is just starting: so the record is read and the
    process is looked at instead.
    """
    path = folder / "lock"
    try:
        record = json.loads(bounded_content(path, _MOST_OF_A_RECORD, follow=False).decode())
        pid, host = int(record["pid"]), str(record["host"])
        owner = Owner(pid, host, str(record["started"]), tuple(map(str, record["command"])), None)
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    return replace(owner, alive=_holds(pid, path)) if host == socket.gethostname() else owner


def _holds(pid: int, path: Path) -> bool:
    """Whether the process is there and has the file open: its number may belong to another one by now."""
    descriptors = Path(f"/proc/{pid}/fd")
    try:
        return any(os.path.samefile(entry, path) for entry in descriptors.iterdir() if entry.exists())
    except FileNotFoundError:
        if Path("/proc/self/fd").exists():
            return False
    except PermissionError:  # somebody else's process: it is there, and more cannot be known
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
