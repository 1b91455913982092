"""Writing files so that they are whole or absent, whatever happens; what the system refuses becomes a user's error."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
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
    if path.exists() and not path.is_file():
        kind = "a directory" if path.is_dir() else "a device or a pipe"
        raise UsageError(
            "results are written to a regular file", received=f"{path} is {kind}", hint="name another file"
        )
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with located_faults(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.unlink(missing_ok=True)  # a killed process's; and a link must not say where we write
        try:
            with open(temporary, "x", encoding="utf-8", newline="\n") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        except OSError:
            with contextlib.suppress(OSError):
                temporary.unlink()
            raise
        _sync_folder(path.parent)


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

    Args:
        path: of a regular file.
        follow: whether a link is followed.

    Raises:
        OSError: it cannot be opened, is no regular file, or is a link that is not followed.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | (0 if follow else os.O_NOFOLLOW))
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "it is a folder, a pipe or a device, and no regular file")
    return os.fdopen(descriptor, "rb")


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
        content = file.read(most + 1)
    if len(content) > most:
        raise OSError(errno.EFBIG, f"it is longer than {most:,} bytes")
    return content


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
