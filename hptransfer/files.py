"""Writing files so that they are whole or absent, whatever happens; what the system refuses becomes a user's error."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import stat
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

from hptransfer.errors import MachineError, UsageError


def write_atomically(path: Path, text: str) -> None:
    """Writes a file so that a reader, or a crash at any moment, meets the old content or the new, never a part.

    Args:
        path: its folder is created where missing.
        text: the whole content of the file, written as UTF-8.

    Raises:
        UsageError: the path cannot be written.
        MachineError: the disk is full or fails.
    """
    with located_faults(path), staged([(path, text)]) as swap:
        swap()


@contextlib.contextmanager
def staged(files: Iterable[tuple[Path, str]]) -> Iterator[Callable[[], None]]:
    """Writes the content of files beside them; only the call of what is yielded puts it in their place.

    Until then a full disk has cost nothing: the content that lies beside is removed at the end, whatever happens.

    Args:
        files: path, whose folder is created where missing, and the whole content, written as UTF-8; they are put in
            their places in this order.

    Yields:
        What moves all of them to their places, to be called once at most.

    Raises:
        UsageError: one of the places is a folder, a device or a pipe.
        OSError: one cannot be written.
    """
    waiting: list[tuple[Path, Path]] = []

    def swap() -> None:
        while waiting:
            os.replace(*waiting[0])
            folders[waiting.pop(0)[1].parent] = None
        for folder in folders:
            _sync_folder(folder)

    folders: dict[Path, None] = {}
    try:
        for path, text in files:
            if path.exists() and not path.is_file():
                kind = "a directory" if path.is_dir() else "a device or a pipe"
                raise UsageError(
                    "results are written to a regular file", received=f"{path} is {kind}", hint="name another file"
                )
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
            temporary.unlink(missing_ok=True)  # a killed process's; and a link must not say where we write
            waiting.append((temporary, path))
            with open(temporary, "x", encoding="utf-8", newline="\n") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
        yield swap
    finally:
        for temporary, _ in waiting:
            with contextlib.suppress(OSError):
                temporary.unlink()


def abandoned(path: Path) -> list[Path]:
    """What a process that was killed left beside a file that it was about to write; a running one's is none of it.

    Args:
        path: of the file itself, which need not be there.
    """
    found = []
    pattern = re.compile(re.escape(f".{path.name}.") + r"(\d{1,9})\.tmp")
    with contextlib.suppress(OSError):
        for each in path.parent.iterdir():
            named = pattern.fullmatch(each.name)
            if named is not None and not each.is_dir() and not _runs(int(named[1])):
                found.append(each)
    return sorted(found)


def shown_path(path: Path) -> Path:
    """A path as findings show it: relative where it lies in the current folder, as it is elsewhere.

    Args:
        path: of a file or a folder, which need not exist; no link is followed.
    """
    here = Path.cwd()
    whole = Path(os.path.abspath(path))
    return whole.relative_to(here) if path.is_absolute() and whole.is_relative_to(here) else path


def _runs(process: int) -> bool:
    """Whether a process of this number runs here; this one is no other."""
    if process in (0, os.getpid()):
        return False
    try:
        os.kill(process, 0)
    except PermissionError:
        return True
    except (OSError, OverflowError):
        return False
    return True


@contextlib.contextmanager
def located_faults(path: Path) -> Iterator[None]:
    """Turns the operating system's refusal into one that names the path and the way out."""
    try:
        yield
    except OSError as error:
        place = str(error.filename or path)
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO):
            raise MachineError(
                "the disk must have room for results",
                received=f"{place}: {error.strerror}",
                hint="free some space and run the same command again: it continues, nothing finished is lost",
            ) from error
        raise UsageError(
            "the run folder must be a folder that can be written",
            received=f"{place}: {error.strerror}",
            hint="choose another place with --runs",
        ) from error


def plain(path: Path) -> Path:
    """A path of a run folder, which may come from a stranger: no link is followed there, no pipe or device opened.

    Args:
        path: of a file or a folder, which need not exist.

    Returns:
        The path.

    Raises:
        MachineError: what lies there is neither a regular file nor a folder.
    """
    try:
        mode = os.lstat(path).st_mode
    except (OSError, ValueError):  # not there; or said by whoever opens it
        return path
    if stat.S_ISREG(mode) or stat.S_ISDIR(mode):
        return path
    kind = "a link" if stat.S_ISLNK(mode) else "a pipe, a socket or a device"
    raise MachineError(
        "a run folder must hold regular files and folders",
        received=f"{path} is {kind}",
        hint="put the file itself in its place; results on another disk are named with --runs",
        code="path/not-plain",
    )


def open_regular(path: Path, *, follow: bool = True) -> BinaryIO:
    """Opens a regular file to read it; a pipe or a device, which may never end, is refused without waiting for it.

    Files that the kernel makes up while they are read (/proc, /sys) call themselves regular: they have no content of
    their own, some give none without waiting, and some take what is read away. They are refused
    as devices are.

    Args:
        path: of a regular file.
        follow: whether a link is followed.

    Raises:
        OSError: it cannot be opened, is no regular file, or is a link that is not followed.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | (0 if follow else os.O_NOFOLLOW))
    kept = False
    try:
        about = os.fstat(descriptor)
        if not stat.S_ISREG(about.st_mode) or about.st_dev in _made_up():
            raise OSError(errno.EINVAL, _NOT_REGULAR)
        kept = True
    finally:
        if not kept:
            os.close(descriptor)
    return os.fdopen(descriptor, "rb")


_NOT_REGULAR = "it is a folder, a pipe or a device, and no regular file"


def _made_up() -> set[int]:
    """Devices of the filesystems whose files the kernel makes up."""
    found = set()
    for place in ("/proc", "/sys"):
        with contextlib.suppress(OSError):
            about = os.stat(place)
            if about.st_dev != os.stat("/").st_dev:  # a folder of that name that holds files of a disk
                found.add(about.st_dev)
    return found


def bounded_content(path: Path, most: int, *, follow: bool = True) -> bytes:
    """The whole content of a regular file.

    Args:
        path: of a regular file.
        most: bytes that it may have.
        follow: whether a link is followed.

    Raises:
        OSError: it cannot be read, is no regular file, or is longer.
    """
    with open_regular(path, follow=follow) as file:
        content: bytes | None = file.read(most + 1)
    if content is None:  # the read would have waited, which one of a regular file never does
        raise OSError(errno.EINVAL, _NOT_REGULAR)
    if len(content) > most:
        raise OSError(errno.EFBIG, f"it is longer than {most:,} bytes")
    return content


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
