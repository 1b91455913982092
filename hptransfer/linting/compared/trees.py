"""The files of one version: recipes, and the evidence beside them. Bounded, regular files only, no link followed."""

from __future__ import annotations

import errno
import os
import re
import shlex
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from hptransfer.artifacts.pasted import DEFAULT_RUNS
from hptransfer.errors import UsageError
from hptransfer.evidence.files import chosen
from hptransfer.files import bounded_content
from hptransfer.linting.compared.revisions import beginnings, contents, listed, not_ignored, resolved
from hptransfer.linting.recognised import why_no_recipe
from hptransfer.recipe.yaml.gate import MAX_BYTES

#: files that commands leave in a run folder
EVIDENCE = ("tuned.yaml", "transfer.json", "target.yaml")
#: entries of folders that are looked at
_MOST_ENTRIES = 200_000
#: files that are read, and their bytes together
_MOST_FILES, _MOST_BYTES = 5_000, 128 * 2**20
#: bytes of one file of evidence
_MOST_EVIDENCE = 16 * 2**20
#: folders that hold no recipes of the project
_ELSEWHERE = {"node_modules", "__pycache__", "venv", "site-packages"}

_NAMED = "name a folder, a recipe, or a branch that is fetched (`git fetch origin main`, then `origin/main`)"


@dataclass(frozen=True, slots=True)
class FileTree:
    """What was read of one version.

    Attributes:
        label: how it is called, as the user wrote it.
        recipes: path relative to its folder, with `/` -> content.
        evidence: the same for files of run folders.
        folder: where it lies on disk; None for a revision, whose code is nowhere.
        other: YAML that does not look like a recipe -> content, of a longer file than a recipe may be its beginning;
            None where it cannot be read.
        single: whether the user named one file.
    """

    label: str
    recipes: Mapping[str, bytes]
    evidence: Mapping[str, bytes]
    folder: Path | None
    other: Mapping[str, bytes | None] = field(default_factory=dict)
    single: bool = False

    def beside(self, path: str, name: str, file: str) -> tuple[str, bytes] | None:
        """A file of the run folder of a recipe, with its path: the folder that `validate` would read at the top.

        Args:
            path: of the recipe in this tree.
            name: of the recipe, which names its run folder.
            file: its name, one of `EVIDENCE`.
        """
        parents = dict.fromkeys((PurePosixPath(), PurePosixPath(path).parent))
        folder = chosen([parent / DEFAULT_RUNS / name for parent in parents], self._holds)
        where = (folder / file).as_posix()
        return (where, self.evidence[where]) if where in self.evidence else None

    def _holds(self, path: PurePosixPath) -> bool:
        return path.as_posix() in self.evidence


def within_tree(path: str) -> str:
    """A path as it is compared with those of a tree.

    Args:
        path: as the user wrote it, relative to both versions.

    Raises:
        UsageError: it is absolute, or leaves the version's folder.
    """
    clean = os.path.normpath(path)
    if os.path.isabs(clean) or clean.split(os.sep)[0] == "..":
        raise UsageError("a path must lie in both versions", received=path, hint="write it relative to their folders")
    return Path(clean).as_posix()


def read_tree(reference: str, paths: Sequence[str], here: Path) -> FileTree:
    """The files of a folder, a file or a revision of git; a path goes first, and both at once is refused.

    Args:
        reference: as the user wrote it.
        paths: of folders and files, relative to the tree; nothing for all.
        here: the current folder, in whose repository revisions are looked up.

    Raises:
        UsageError: there is neither such a path nor such a revision, or there is too much in it.
    """
    path, commit = here / reference, resolved(reference, here)
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError):
        mode = None
    if mode is not None and commit is not None and "/" not in reference:
        hint = f"`./{reference}` is the path, `refs/heads/{reference}` the branch"
        raise UsageError("a name must be a path or a revision", received=f"{reference}, which is both", hint=hint)
    if mode is None and commit is None:
        hint = _as_two_words(reference) or _NAMED
        raise UsageError("there must be such a path or revision of git", received=reference, hint=hint)
    if mode is None:
        return _of_revision(reference, str(commit), paths, here)
    return _of_folder(reference, path, paths) if stat.S_ISDIR(mode) else _of_file(reference, path, here)


def _as_two_words(reference: str) -> str | None:
    """The hint for a range of git, `A..B` or `A...B`, whose ends are two arguments here."""
    first, dots, second = reference.partition("...") if "..." in reference else reference.partition("..")
    if not dots or "/" in (first[-1:], second[:1]) or not (first or second):  # `..` of a path
        return None
    ends = (first or "HEAD", second or "HEAD")
    # a `~` inside of a word means nothing to a shell, and shlex would quote `main~1`
    first, second = (end if re.fullmatch(r"[\w./@][\w./@~-]*", end, re.ASCII) else shlex.quote(end) for end in ends)
    return f"write two words: `{f'$(git merge-base {first} {second})' if dots == '...' else first} {second}`"


def _of_revision(label: str, commit: str, paths: Sequence[str], here: Path) -> FileTree:
    every = {blob.path: blob for blob in listed(commit, here)}
    wanted = _bounded({path: blob.size for path, blob in every.items()}, paths, label)
    whole = [every[path] for path in wanted if _is_evidence(path) or every[path].size <= MAX_BYTES]
    long = [every[path] for path in wanted if not _is_evidence(path) and every[path].size > MAX_BYTES]
    read = {**contents(whole, here), **beginnings(long, here, MAX_BYTES + 1)}
    return _sorted_out(label, None, every, read, paths)


def _of_folder(label: str, folder: Path, paths: Sequence[str]) -> FileTree:
    belonging = not_ignored(folder)
    # results count where they lie, as for `validate`; a recipe that git ignores is nobody's change
    every = {
        path: size
        for path, size in _walked(folder, label)
        if belonging is None or _is_evidence(path) or _belongs(path, belonging)
    }
    wanted = _bounded(every, paths, label)
    read = {path: content for path in wanted if (content := _content(folder / path)) is not None}
    return _sorted_out(label, folder.absolute(), every, read, paths)


def _belongs(path: str, belonging: frozenset[bytes]) -> bool:
    """Whether git lists a file, or a repository of its own around it."""
    above = map(os.fsencode, map(str, PurePosixPath(path).parents))
    # a submodule is listed as a file, another repository as a folder
    return os.fsencode(path) in belonging or any(each in belonging or each + b"/" in belonging for each in above)


def _of_file(label: str, file: Path, here: Path) -> FileTree:
    try:
        content = bounded_content(file, MAX_BYTES)
    except OSError as error:
        raise UsageError("a recipe must be a file that can be read", received=f"{label}: {error.strerror}") from None
    absolute = Path(os.path.abspath(file))
    top = Path(os.path.abspath(here)) if absolute.is_relative_to(os.path.abspath(here)) else absolute.parent
    found = {}
    for folder in {top / "runs", absolute.parent / "runs"}:
        if folder.is_dir() and not folder.is_symlink():
            sizes = {f"runs/{path}": size for path, size in _walked(folder, label)}
            for path in _bounded(sizes, (), label):
                read = _content(folder.parent / path)
                if read is not None:
                    found[(folder.parent / path).relative_to(top).as_posix()] = read
    evidence = {path: read for path, read in found.items() if _is_evidence(path)}
    return FileTree(label, {absolute.relative_to(top).as_posix(): content}, evidence, top, single=True)


def _walked(folder: Path, label: str) -> Iterator[tuple[str, int]]:
    """Yields path and size of regular files, links and hidden folders left out."""
    seen, waiting = 0, [folder]
    while waiting:
        at = waiting.pop()
        try:
            entries = sorted(os.scandir(at), key=lambda entry: entry.name)
        except OSError:
            continue  # what cannot be listed has no recipe that could be read
        for entry in entries:
            seen += 1
            if seen > _MOST_ENTRIES:
                raise _too_much(f"more than {_MOST_ENTRIES:,} entries", label)
            if entry.is_dir(follow_symlinks=False):
                if not entry.name.startswith(".") and entry.name not in _ELSEWHERE:
                    waiting.append(Path(entry.path))
            elif entry.is_file(follow_symlinks=False):
                yield Path(entry.path).relative_to(folder).as_posix(), entry.stat(follow_symlinks=False).st_size


def _content(path: Path) -> bytes | None:
    """A regular file's content, of a long one its beginning; None where it is none any more, or cannot be read."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENOENT, errno.EACCES, errno.ENXIO, errno.ENOTDIR):
            return None
        raise UsageError("files of a version must be readable", received=f"{path}: {error.strerror}") from None
    most = _MOST_EVIDENCE if _is_evidence(str(path)) else MAX_BYTES
    with os.fdopen(descriptor, "rb") as file:
        return file.read(most + 1) if stat.S_ISREG(os.fstat(descriptor).st_mode) else None


def _bounded(sizes: Mapping[str, int], paths: Sequence[str], label: str) -> list[str]:
    """Paths of what is read, as many and as long as is allowed."""
    wanted = [
        path
        for path, size in sizes.items()
        if (_is_evidence(path) and size <= _MOST_EVIDENCE) or _may_be_recipe(path, paths)
    ]
    if len(wanted) > _MOST_FILES:
        raise _too_much(f"{len(wanted):,} files", label)
    held = (sizes[path] if _is_evidence(path) else min(sizes[path], MAX_BYTES + 1) for path in wanted)
    if (total := sum(held)) > _MOST_BYTES:
        raise _too_much(f"files of {total:,} bytes", label)
    return wanted


def _too_much(received: str, label: str) -> UsageError:
    return UsageError(
        "what is compared must be of moderate size", received=f"{received} in {label}", hint="name folders of recipes"
    )


def _is_evidence(path: str) -> bool:
    parts = PurePosixPath(path).parts
    return len(parts) >= 3 and parts[-3] == "runs" and parts[-1] in EVIDENCE


def _may_be_recipe(path: str, paths: Sequence[str]) -> bool:
    parts = PurePosixPath(path).parts
    hidden = any(part.startswith(".") or part in _ELSEWHERE for part in parts[:-1])
    inside = not paths or any(path == each or path.startswith(f"{each}/") or each == "." for each in paths)
    return inside and not hidden and "runs" not in parts[:-1] and path.lower().endswith((".yaml", ".yml"))


def _sorted_out(
    label: str, folder: Path | None, every: Iterable[str], read: Mapping[str, bytes], paths: Sequence[str]
) -> FileTree:
    """Recipes, which may have errors, evidence, and other YAML, which the other version may have as a recipe."""
    candidates = {path: read.get(path) for path in every if _may_be_recipe(path, paths)}
    recipes = {
        path: content for path, content in candidates.items() if content is not None and why_no_recipe(content) is None
    }
    other = {path: content for path, content in candidates.items() if path not in recipes}
    return FileTree(label, recipes, {path: text for path, text in read.items() if _is_evidence(path)}, folder, other)
