"""Files of a revision of git, read from its objects: nothing is checked out, and no program of a repository runs."""

from __future__ import annotations

import os
import re
import subprocess
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from hptransfer.errors import UsageError

#: seconds that one question to git may take
_PATIENCE = 60.0
#: bytes of a listing of files; longer ones are refused
_MOST_LISTED = 64 * 2**20
#: bytes that are read at once of what is not kept
_PIECE = 2**16
#: settings that would run a program or reach another machine, whatever the repository's configuration says
_SETTINGS = {
    "core.fsmonitor": "false",
    "core.hooksPath": os.devnull,
    "core.pager": "cat",
    "protocol.allow": "never",
    "credential.helper": "",
}
_ENVIRONMENT = {
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_NO_REPLACE_OBJECTS": "1",
    "GIT_ALLOW_PROTOCOL": "",
    "LC_ALL": "C",
}
#: modes of regular files; links (120000) and submodules (160000) are neither
_REGULAR = ("100644", "100755")


@dataclass(frozen=True, slots=True)
class Blob:
    """A regular file of a revision.

    Attributes:
        path: relative to the folder that was asked about, with `/`.
        name: of git's object, hexadecimal.
        size: bytes of its content.
    """

    path: str
    name: str
    size: int


def resolved(revision: str, folder: Path) -> str | None:
    """The commit that a revision names, hexadecimal; None where it names none, or the folder is in no repository.

    Args:
        revision: as the user wrote it: a branch, a tag, a commit.
        folder: any in the repository.
    """
    if not revision or revision.startswith("-") or "\0" in revision:
        return None  # git would read an option
    asked = ["rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}"]
    try:
        said = _git(asked, folder).decode("ascii", "replace").strip()
    except UsageError:
        return None
    return said if re.fullmatch(r"[0-9a-f]{40,64}", said) else None


def listed(commit: str, folder: Path) -> Iterator[Blob]:
    """Yields the regular files of a commit below a folder.

    Args:
        commit: its hexadecimal name, from `resolved`.
        folder: in the repository; paths are relative to it.

    Raises:
        UsageError: git cannot list them, or the listing is too long.
    """
    prefix = _git(["rev-parse", "--show-prefix"], folder).rstrip(b"\n")
    asked = ["ls-tree", "-r", "-z", "-l", "--full-tree", commit]
    listing = _git(asked if not prefix else [*asked, "--", os.fsdecode(prefix)], folder)
    for line in listing.split(b"\0"):
        about, _, path = line.partition(b"\t")
        mode, kind, name, size = (about.decode("ascii").split() + [""] * 4)[:4]
        if kind == "blob" and mode in _REGULAR and path.startswith(prefix):
            yield Blob(os.fsdecode(path[len(prefix) :]), name, int(size))


def not_ignored(folder: Path) -> frozenset[bytes] | None:
    """Paths below a folder of a working tree that git tracks or would add, and nested repositories with a `/`.

    Args:
        folder: paths are relative to it.

    Returns:
        None where it is in no working tree, or is ignored as a whole: then nobody says what belongs to it.
    """
    try:
        listing = _git(["ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", "."], folder)
    except UsageError:
        return None
    return frozenset(filter(None, listing.split(b"\0"))) or None


def contents(blobs: Sequence[Blob], folder: Path) -> Mapping[str, bytes]:
    """Content of files by path, as git has it: no filter and no conversion runs.

    Args:
        blobs: from `listed`; their sizes together are what is held in memory.
        folder: any in the repository.

    Raises:
        UsageError: git cannot give them.
    """
    asked = "".join(f"{blob.name}\n" for blob in blobs).encode()
    most = sum(blob.size + 100 for blob in blobs)
    answer, found, at = _git(["cat-file", "--batch"], folder, asked, most), {}, 0
    for blob in blobs:
        end = answer.find(b"\n", at)
        if answer[at:end] != f"{blob.name} blob {blob.size}".encode():
            raise _absent(blob)
        found[blob.path] = answer[end + 1 : end + 1 + blob.size]
        at = end + 2 + blob.size
    return found


def beginnings(blobs: Sequence[Blob], folder: Path, most: int) -> Mapping[str, bytes]:
    """The first bytes of files by path, as git has them; of what follows nothing is held in memory.

    Args:
        blobs: as `listed` gives them.
        folder: any in the repository.
        most: bytes of each file.

    Raises:
        UsageError: git cannot give them.
    """
    found: dict[str, bytes] = {}
    if not blobs:
        return found
    process = subprocess.Popen(
        _command(["cat-file", "--batch"]),
        cwd=folder,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=os.environ | _ENVIRONMENT,
    )
    patience = threading.Timer(_PATIENCE, process.kill)
    patience.start()
    try:
        for blob in blobs:
            found[blob.path] = _beginning(process, blob, most)
    finally:
        patience.cancel()
        process.kill()
        process.communicate()
    return found


def _beginning(process: subprocess.Popen[bytes], blob: Blob, most: int) -> bytes:
    """One file's, from a process that answers names with contents, one by one."""
    asked, answers = process.stdin, process.stdout
    if asked is None or answers is None:
        raise AssertionError("both are pipes")
    try:
        asked.write(f"{blob.name}\n".encode())
        asked.flush()
        known = answers.readline() == f"{blob.name} blob {blob.size}\n".encode()
    except OSError:  # it ended, or was ended
        known = False
    content = answers.read(min(most, blob.size)) if known else b""
    left = blob.size + 1 - len(content)
    while known and left > 0 and (skipped := len(answers.read(min(left, _PIECE)))):
        left -= skipped
    if left > 0:
        raise _absent(blob)
    return content


def _absent(blob: Blob) -> UsageError:
    return UsageError("git must have every file of the revision", received=blob.path, hint="fetch the revision")


def _command(arguments: Sequence[str]) -> list[str]:
    settings = [word for name, value in _SETTINGS.items() for word in ("-c", f"{name}={value}")]
    return ["git", "--no-pager", *settings, *arguments]


def _git(arguments: Sequence[str], folder: Path, given: bytes = b"", most: int = _MOST_LISTED) -> bytes:
    """What git answers; the bytes that were `given` go to its standard input."""
    command = _command(arguments)
    rule = "git must be able to read the revision"
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            input=given,
            capture_output=True,
            timeout=_PATIENCE,
            env=os.environ | _ENVIRONMENT,
            check=False,
        )
    except FileNotFoundError:
        raise UsageError(rule, received="no program `git`", hint="install git, or name two folders") from None
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UsageError(rule, received=str(error)[:200]) from None
    if done.returncode:
        said = done.stderr.decode("utf-8", "replace").strip().splitlines()[:1]
        raise UsageError(rule, received=said[0][:200] if said else f"exit status {done.returncode}")
    if len(done.stdout) > most:
        raise UsageError(rule, received=f"an answer of more than {most:,} bytes")
    return done.stdout
