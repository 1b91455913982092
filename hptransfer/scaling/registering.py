"""A registered prediction outlives the next `scale`: the same one keeps its date, another one's file is kept beside."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hptransfer.artifacts.target import TargetFile
from hptransfer.errors import HptransferError, UsageError
from hptransfer.files import located_faults, write_atomically
from hptransfer.transfer.prediction import predicted, registered


def as_registered(target: TargetFile, path: Path) -> TargetFile:
    """The target with the date and hash under which the same prediction was registered before, if it was.

    Args:
        target: as it would be written.
        path: where; files that were kept beside it are looked at as well.
    """
    if target.prediction is None:
        return target
    for each in (path, *kept_beside(path)):
        found = _registered_in(each)
        if found is not None and predicted(found) == predicted(target.prediction):
            return target.model_copy(update={"prediction": found})
    return target


def write_target(path: Path, target: TargetFile, text: str) -> Path | None:
    """Writes a target's file; one with another registered prediction is kept beside it.

    Args:
        path: where the target is written.
        target: the content of the file.
        text: all of the file, with its header.

    Returns:
        Where the earlier file lies now; None where there was none, or it registered nothing else.

    Raises:
        UsageError: the path cannot be written.
        MachineError: the disk is full.
    """
    kept = _keep_other(path, target)
    write_atomically(path, text)
    return kept


def kept_beside(path: Path) -> list[Path]:
    """Files that were kept when another took their place, by name, which is the date of their registration.

    Args:
        path: of the file that is written now.
    """
    return sorted(path.parent.glob(f"{path.stem}-*{path.suffix}"))


def _keep_other(path: Path, target: TargetFile) -> Path | None:
    if not path.is_file():
        return None
    try:
        earlier = TargetFile.read(path, missing=lambda: UsageError("the file must be there")).prediction
    except HptransferError:
        # what cannot be read may be anything, an edited prediction among it
        return _copied(path, datetime.fromtimestamp(path.stat().st_mtime, UTC).isoformat(timespec="seconds"))
    if earlier is None or earlier == target.prediction:
        return None
    for each in kept_beside(path):
        if _registered_in(each) == earlier:
            return each
    return _copied(path, str(earlier.get("written", "undated")))


def _copied(path: Path, dated: str) -> Path:
    """Copies a file to a name of its own: with its date, and a number where that is taken by another content."""
    stamp = dated.removesuffix("+00:00").replace(":", "").replace("-", "")
    with located_faults(path):
        for name in _names(f"{path.stem}-{stamp}"):
            kept = path.with_name(f"{name}{path.suffix}")
            if not kept.exists():
                shutil.copy2(path, kept)
                return kept
            if kept.is_file() and kept.read_bytes() == path.read_bytes():
                return kept
    raise AssertionError  # numbers do not end


def _names(stem: str) -> Iterator[str]:
    yield stem
    number = 2
    while True:
        yield f"{stem}-{number}"
        number += 1


def _registered_in(path: Path) -> dict[str, Any] | None:
    """The prediction that a file registers, unedited; None where there is none."""
    if not path.is_file():
        return None
    try:
        return registered(TargetFile.read(path, missing=lambda: UsageError("the file must be there")).prediction)
    except HptransferError:
        return None
