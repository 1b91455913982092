"""Writing exported files: all of several formats or none, and nothing left of an export that was there before."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from hptransfer.errors import MachineError, UsageError
from hptransfer.files import abandoned, located_faults, staged
from hptransfer.handover.manifest import (
    MANIFEST,
    Manifest,
    digest_of,
    manifest_of,
    manifest_text,
    read_manifest,
    text_digest,
)


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


def write_exports(
    folder: Path,
    exports: Mapping[str, Mapping[str, str]],
    plan: Path,
    plan_sha256: str = "",
    *,
    overwrite: bool = False,
) -> Written:
    """Writes each exporter's files below a folder of its own: all beside their places first, then each to its place.

    Files that an earlier export of the same format wrote, and this one does not, are removed unless they were edited.

    Args:
        folder: of all exporters' folders.
        exports: name of the exporter -> path relative to its folder -> text.
        plan: the target's file, which they were written from.
        plan_sha256: digest of what it plans, see `handover.header.plan_digest`; empty: not kept.
        overwrite: whether files are replaced that no export wrote, or that were edited since.

    Raises:
        UsageError: a path cannot be written, or holds what no export wrote; nothing is written.
        MachineError: the disk is full; nothing is written.
    """
    require_own(folder, exports, overwrite=overwrite)
    own = {name: _folder_of(folder, name) for name in exports}
    former = {name: _former(own[name]) for name in exports}
    texts = {
        own[name] / relative: text
        for name, files in exports.items()
        for relative, text in (*files.items(), (MANIFEST, manifest_text(name, files, plan, own[name], plan_sha256)))
    }
    kept: list[Path] = []
    with _own_hint() as moving, located_faults(folder):
        with _made_folders(texts):
            # their lists stay until all is in its place: with them the next export knows what is whose
            _without_abandoned((path for path in texts if path.name != MANIFEST), former.values())
            with staged(texts.items()) as swap:
                moving.reached = True
                swap()
        _without_abandoned((each / MANIFEST for each in own.values()), ())
        for name, files in exports.items():
            if (earlier := former[name]) is not None:
                kept += _without_former(earlier, files)
    written = {name: [own[name] / relative for relative in files] for name, files in exports.items()}
    return Written(written, tuple(kept))


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


def require_own(folder: Path, exports: Mapping[str, Mapping[str, str]], *, overwrite: bool = False) -> None:
    """What would be replaced must be an export's own, unedited, or say the same already; nothing is written.

    Args:
        folder: of all exporters' folders.
        exports: name of the exporter -> path relative to its folder -> text.
        overwrite: whether anything may be replaced.

    Raises:
        UsageError: it names the files that no export wrote, or that were edited since.
    """
    found = [said for name, files in exports.items() for said in _not_own(_folder_of(folder, name), files)]
    if found and not overwrite:
        more = f", and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
        raise UsageError(
            "an export must replace files of an export alone, as they were written",
            received="; ".join(found[:_NAMED]) + more,
            hint="nothing was written: move them away, choose another folder, or replace them by --overwrite",
        )


#: files that a message names
_NAMED = 5


def _not_own(own: Path, files: Mapping[str, str]) -> Iterator[str]:
    """Each file that would be lost, with why it is not an export's."""
    former = _former(own)
    if former is None and os.path.lexists(own / MANIFEST):
        yield f"{own / MANIFEST} is not as `hptransfer export` writes it"
    # of an export that was killed while it moved its files to their places, both lists count
    listed = [each.files for each in (former, *_begun(own)) if each is not None]
    for name, text in files.items():
        path = own / name
        if not os.path.lexists(path) or path.is_dir():
            continue
        digest = digest_of(path)
        if digest is not None and digest in (text_digest(text), *(each.get(name) for each in listed)):
            continue
        if path.is_symlink():
            yield f"{path} is a link"
        elif any(name in each for each in listed):
            yield f"{path} was edited since it was written"
        else:
            yield f"{path} is of no export"


def _begun(own: Path) -> list[Manifest]:
    """The lists of exports that were killed before they had put theirs in its place."""
    found = []
    for path in abandoned(own / MANIFEST):
        with contextlib.suppress(UsageError):
            found.append(manifest_of(path))
    return found


def _without_abandoned(texts: Iterable[Path], former: Iterable[Manifest | None]) -> None:
    """Removes what killed exports left beside files of theirs."""
    earlier = [each.folder / name for each in former if each is not None for name in each.files if _inside(each, name)]
    for path in dict.fromkeys((*texts, *earlier)):
        for each in abandoned(path):
            each.unlink(missing_ok=True)


def _folder_of(folder: Path, name: str) -> Path:
    return folder / re.sub(r"[^A-Za-z0-9._-]+", "-", name)


@dataclass
class _Reached:
    """Whether files were being moved to their places when something failed."""

    reached: bool = False


@contextlib.contextmanager
def _own_hint() -> Iterator[_Reached]:
    reached = _Reached()
    try:
        yield reached
    except UsageError as error:
        first = error.findings[0]
        raise UsageError(
            "the folder of exports must be one that can be written",
            received=first.received,
            hint="choose another place with --output",
        ) from error
    except MachineError as error:
        first = error.findings[0]
        state = "some files are written and others not" if reached.reached else "nothing was written"
        raise MachineError(
            first.rule,
            received=first.received,
            hint=f"{state}: free some space and run the same command again",
        ) from error


@contextlib.contextmanager
def _made_folders(texts: Iterable[Path]) -> Iterator[None]:
    """Makes the folders of files; where these are not written, folders that are new and empty go again."""
    made: list[Path] = []
    try:
        for path in texts:
            made += reversed([each for each in path.parents if not os.path.lexists(each)])
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.is_dir():
                raise IsADirectoryError(21, "it is a folder", str(path))
        yield
    except BaseException:
        for each in reversed(made):
            with contextlib.suppress(OSError):
                each.rmdir()
        raise


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
        if name in files or name == MANIFEST or not os.path.lexists(path) or not _inside(former, name):
            continue
        if name in changed:
            kept.append(path)
        else:
            path.unlink()
    return kept


def _inside(manifest: Manifest, name: str) -> bool:
    """Whether no folder on the way to a file is a link out of the export's."""
    return (manifest.folder / name).parent.resolve().is_relative_to(manifest.folder.resolve())
