"""Writing exported files: all of several formats or none, and nothing left of an export that was there before."""

from __future__ import annotations

import contextlib
import os
import re
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from hptransfer.errors import UsageError
from hptransfer.files import located_faults, write_atomically
from hptransfer.handover.manifest import MANIFEST, Manifest, manifest_text, read_manifest


@dataclass(frozen=True, slots=True)
class Written:
    """What was written for several frameworks.

    Attributes:
        files: name of the exporter -> paths of its files.
        kept: files of an earlier export that are none of this one, and that were edited, so that they stay.
    """

    files: Mapping[str, list[Path]]
    kept: tuple[Path, ...]

    @property
    def said(self) -> str:
        """What a person must know of files that stay, a line each; empty where none does."""
        return "".join(
            f"{path} is of an earlier export and is not written any more; it was edited, so it stays: remove it\n"
            for path in self.kept
        )


def write_exports(folder: Path, exports: Mapping[str, Mapping[str, str]], plan: Path, plan_sha256: str = "") -> Written:
    """Writes each exporter's files below a folder of its own, after a look whether all of them can be written.

    Files that an earlier export of the same format wrote, and this one does not, are removed unless they were edited.

    Args:
        folder: of all exporters' folders.
        exports: name of the exporter -> path relative to its folder -> text.
        plan: the target's file, which they were written from.
        plan_sha256: digest of what it plans, see `handover.header.plan_digest`; empty: not kept.

    Raises:
        UsageError: a path cannot be written; nothing is.
        MachineError: the disk is full.
    """
    with _own_hint():
        for name, files in exports.items():
            _require_room(_folder_of(folder, name), files)
        paths: dict[str, list[Path]] = {}
        kept: list[Path] = []
        for name, files in exports.items():
            own = _folder_of(folder, name)
            former = _former(own)
            for relative, text in files.items():
                write_atomically(own / relative, text)
            if former is not None:
                kept += _without_former(former, files)
            write_atomically(own / MANIFEST, manifest_text(name, files, plan, own, plan_sha256))
            paths[name] = [own / relative for relative in files]
    return Written(paths, tuple(kept))


def write_exported(folder: Path, name: str, files: Mapping[str, str], plan: Path, plan_sha256: str = "") -> list[Path]:
    """Writes one exporter's files, see `write_exports`; returns their paths.

    Args:
        folder: of all exporters' folders.
        name: of the exporter; the colon of `module:attribute` is no part of the folder's name.
        files: path relative to the exporter's folder -> text.
        plan: the target's file, which they were written from.
        plan_sha256: digest of what it plans; empty: not kept.
    """
    return write_exports(folder, {name: files}, plan, plan_sha256).files[name]


def _folder_of(folder: Path, name: str) -> Path:
    return folder / re.sub(r"[^A-Za-z0-9._-]+", "-", name)


@contextlib.contextmanager
def _own_hint() -> Iterator[None]:
    try:
        yield
    except UsageError as error:
        first = error.findings[0]
        raise UsageError(
            "the folder of exports must be one that can be written",
            received=first.received,
            hint="choose another place with --output",
        ) from error


def _require_room(own: Path, files: Mapping[str, str]) -> None:
    """The folders are made, and as many bytes as will be written fit there."""
    for relative in (*files, MANIFEST):
        path = own / relative
        with located_faults(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.is_dir():
                raise IsADirectoryError(21, "it is a folder", str(path))
    with located_faults(own), tempfile.TemporaryFile(dir=own) as trial:
        size = sum(len(text.encode()) for text in files.values())
        if hasattr(os, "posix_fallocate"):
            with contextlib.suppress(NotImplementedError):
                os.posix_fallocate(trial.fileno(), 0, max(size, 1))


def _former(own: Path) -> Manifest | None:
    """Of the export that is there already; None where there is none, or its list is damaged."""
    try:
        return read_manifest(own) if (own / MANIFEST).exists() else None
    except UsageError:
        return None


def _without_former(former: Manifest, files: Mapping[str, str]) -> list[Path]:
    """Removes what is written no more; returns what was edited, and stays."""
    changed, kept = former.changed, []
    for name in former.files:
        path = former.folder / name
        if name in files or name == MANIFEST or not os.path.lexists(path) or not _lies_within(path, former.folder):
            continue
        if name in changed:
            kept.append(path)
        else:
            path.unlink()
    return kept


def _lies_within(path: Path, folder: Path) -> bool:
    """Whether no folder on the way is a link out of it."""
    return path.parent.resolve().is_relative_to(folder.resolve())
