"""Files below a folder that match a pattern, found within bounds: folders come from strangers' pull requests too.

`**` never goes through a link. Where the folder is not trusted, no link is followed out of it, and what lies outside is
not even asked about: a link is judged by its own text, so nothing says whether its target exists.
"""

from __future__ import annotations

import fnmatch
import os
import re
import stat
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path, PurePosixPath

from hptransfer.errors import UsageError

#: links that one name may go through, as many as Linux follows
MOST_LINKS = 40
_MAGIC = re.compile(r"[*?\[]")


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much may be looked at for one pattern.

    Attributes:
        entries: names that are compared, in all folders together.
        depth: folders below the first that `**` goes down.
        seconds: of wall time, for a slow disk.
    """

    entries: int
    depth: int
    seconds: float


#: of a stranger's folder, and of one whose recipe the user runs
STRANGERS = Bounds(entries=50_000, depth=32, seconds=5.0)
OWN = Bounds(entries=2_000_000, depth=64, seconds=300.0)


@dataclass(frozen=True, slots=True)
class Matches:
    """What matches a pattern.

    Attributes:
        files: regular files, relative to the folder, with slashes, sorted.
        outside: links that lead out of the folder and were not followed, as they are named in it, sorted.
        unseen: what the pattern's wildcards go past -> why: hidden folders, hidden files that would match by another
            name, and links where `**` stands.
    """

    files: tuple[str, ...]
    outside: tuple[str, ...]
    unseen: Mapping[str, str] = field(default_factory=dict, compare=False)


def is_pattern(name: str) -> bool:
    """Whether a name has `*`, `?` or `[`."""
    return _MAGIC.search(name) is not None


def matching(pattern: str, root: Path, *, trusted: bool) -> Matches:
    """Files that match a pattern as `glob` reads it: hidden names by an explicit dot only, `**` for any folders.

    Args:
        pattern: relative, without `..`, parts separated by slashes.
        root: the folder where it starts.
        trusted: whether links that lead out of the folder are followed, but for `**`.

    Raises:
        UsageError: there is more to look at than the bounds allow; its code is "path/limits".
    """
    known = _REMEMBERED.get()
    key = (pattern, os.path.realpath(root), trusted)
    if known is not None and key in known:
        found = known[key]
    else:
        found = _searched(pattern, key[1], trusted)
        if known is not None:
            known[key] = found
    if isinstance(found, UsageError):
        raise UsageError.of(found.findings)
    return found


_REMEMBERED: ContextVar[dict[tuple[str, str, bool], Matches | UsageError] | None] = ContextVar(
    "remembered", default=None
)


@contextmanager
def remembered() -> Iterator[None]:
    """In it a pattern is searched for once, though several rules ask: a folder that is refused is walked once."""
    before = _REMEMBERED.set({})
    try:
        yield
    finally:
        _REMEMBERED.reset(before)


def leads_out(name: str, root: Path) -> bool:
    """Whether a name below a folder goes through a link that leads out of it; nothing outside is looked at.

    Args:
        name: relative to the folder, without `..`.
        root: the folder, whose own place may be behind links.
    """
    return _resolved(os.path.realpath(root), PurePosixPath(name).parts) is None


def _searched(pattern: str, root: str, trusted: bool) -> Matches | UsageError:
    search = _Search(root, trusted, OWN if trusted else STRANGERS)
    parts = PurePosixPath(pattern).parts
    try:
        search.expand("", (*parts, "*") if parts and parts[-1] == "**" else parts, 0)
    except _TooMuchError as error:
        bounds = search.bounds
        return UsageError(
            f"a pattern must be decided within {bounds.entries:,} names, {bounds.depth} folders down and "
            f"{bounds.seconds:.0f} s",
            received=f"{pattern}: {error}",
            hint="name the folder of the files instead of `**`",
            code="path/limits",
        )
    except (ValueError, RecursionError):  # a zero byte, or more parts than a path can have: no file has such a name
        return Matches((), ())
    return Matches(tuple(sorted(search.files)), tuple(sorted(search.outside)), dict(sorted(search.unseen.items())))


class _TooMuchError(Exception):
    pass


@dataclass
class _Search:
    """One walk; `folder` is relative to the root everywhere, "" the root itself."""

    root: str
    trusted: bool
    bounds: Bounds
    files: set[str] = field(default_factory=set)
    outside: set[str] = field(default_factory=set)
    unseen: dict[str, str] = field(default_factory=dict)
    _seen: set[tuple[str, int]] = field(default_factory=set)
    _listed: dict[str, list[tuple[str, int]]] = field(default_factory=dict)
    _looked_at: int = 0
    _started: float = field(default_factory=time.monotonic)

    def expand(self, folder: str, parts: tuple[str, ...], down: int) -> None:
        """Collects what the parts match below a folder; the same question is answered once, so `**/**/**` is linear."""
        if not parts or (folder, len(parts)) in self._seen:
            return
        self._seen.add((folder, len(parts)))
        first, rest = parts[0], parts[1:]
        if first == "**":
            self._expand_any(folder, parts, rest, down)
        elif is_pattern(first):
            matches = _matcher(first)
            for name, mode in self._list(folder):
                if not matches(name):
                    continue
                if first.startswith(".") or not name.startswith("."):
                    self._enter(_join(folder, name), mode, rest, down)
                elif not rest and stat.S_ISREG(mode):
                    self.unseen[_join(folder, name)] = "hidden"
        else:
            self._count()
            inner = _join(folder, first)
            try:
                mode = os.lstat(os.path.join(self.root, inner)).st_mode
            except OSError:
                return
            self._enter(inner, mode, rest, down)

    def _expand_any(self, folder: str, parts: tuple[str, ...], rest: tuple[str, ...], down: int) -> None:
        self.expand(folder, rest, down)
        for name, mode in self._list(folder):
            if name.startswith(".") or stat.S_ISLNK(mode):
                self._pass(_join(folder, name), mode)
            elif stat.S_ISDIR(mode):
                if down >= self.bounds.depth:
                    raise _TooMuchError(f"folders lie more than {self.bounds.depth} deep")
                self.expand(_join(folder, name), parts, down + 1)

    def _pass(self, name: str, mode: int) -> None:
        """Remembers a folder into which `**` does not go; of git's own, nothing is anybody's file."""
        if stat.S_ISDIR(mode) and PurePosixPath(name).name != ".git":
            self.unseen[name] = "hidden"
        elif stat.S_ISLNK(mode):
            target = _resolved(self.root, PurePosixPath(name).parts)
            if target is None or os.path.isdir(target):
                self.unseen[name] = "a link that leads out" if target is None else "a link to a folder"

    def _enter(self, name: str, mode: int, rest: tuple[str, ...], down: int) -> None:
        """Takes a file that ends the pattern, or goes on in a folder."""
        if stat.S_ISLNK(mode):
            if self.trusted:
                target: str | None = os.path.join(self.root, name)
            else:
                target = _resolved(self.root, PurePosixPath(name).parts)
            if target is None:
                self.outside.add(name)
                return
            try:
                mode = os.stat(target).st_mode
            except OSError:  # or to itself
                self.unseen[name] = "a link that leads nowhere"
                return
        if rest and stat.S_ISDIR(mode):
            self.expand(name, rest, down)
        elif not rest and stat.S_ISREG(mode):
            self.files.add(name)

    def _list(self, folder: str) -> list[tuple[str, int]]:
        """Names in a folder and their modes, links as links; nothing where it cannot be read."""
        if folder not in self._listed:
            found = []
            try:
                with os.scandir(os.path.join(self.root, folder)) as entries:
                    for entry in entries:
                        self._count()
                        found.append((entry.name, _mode(entry)))
            except OSError:
                pass
            self._listed[folder] = sorted(found)
        else:
            self._count(len(self._listed[folder]))
        return self._listed[folder]

    def _count(self, more: int = 1) -> None:
        self._looked_at += more
        if self._looked_at > self.bounds.entries:
            raise _TooMuchError("there are more names")
        if self._looked_at % 256 == 0 and time.monotonic() - self._started > self.bounds.seconds:
            raise _TooMuchError(f"{self._looked_at:,} names took longer")


def _mode(entry: os.DirEntry[str]) -> int:
    """What kind an entry is, without following it; 0 for what is neither file, folder nor link."""
    if entry.is_symlink():
        return stat.S_IFLNK
    if entry.is_dir(follow_symlinks=False):
        return stat.S_IFDIR
    return stat.S_IFREG if entry.is_file(follow_symlinks=False) else 0


def _resolved(root: str, parts: tuple[str, ...]) -> str | None:
    """The place of a name below the root, its links followed one by one; None once one of them leads out of it."""
    waiting, done, links = list(reversed(parts)), [root], 0
    while waiting:
        part = waiting.pop()
        if part == "..":
            if len(done) == 1:
                return None
            done.pop()
            continue
        if part == ".":
            continue
        try:
            target = os.readlink(os.path.join(*done, part))
        except OSError:  # it is no link, or not there
            done.append(part)
            continue
        links += 1
        if links > MOST_LINKS:
            return os.path.join(*done, part)  # a loop: whoever opens it is told so
        if os.path.isabs(target):
            inner = os.path.relpath(target, root) if f"{target}/".startswith(f"{root}/") else ".."
            waiting += reversed(PurePosixPath(inner).parts)
            done = [root]
        else:
            waiting += reversed(PurePosixPath(target).parts)
    return os.path.join(*done)


def _join(folder: str, name: str) -> str:
    return f"{folder}/{name}" if folder else name


@lru_cache(maxsize=64)
def _matcher(pattern: str) -> Callable[[str], object]:
    return re.compile(fnmatch.translate(pattern)).match
