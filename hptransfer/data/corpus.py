"""The text of a recipe's `data` section: which files, how they are split, and the fingerprint that names them.

It needs no torch, so that a command which trains nothing does not wait for it; `training.data` makes batches of it.
"""

from __future__ import annotations

import glob
import hashlib
import sys
import sysconfig
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from hptransfer.errors import MachineError, UsageError
from hptransfer.recipe.schema import Data, StdlibText, TextFiles

SEPARATOR = b"\0"  # between files: text does not contain it, so a model can learn where a file ends


@dataclass(frozen=True, slots=True)
class SplitText:
    """The bytes of a recipe's data.

    Attributes:
        train: the training files, joined by `SEPARATOR`.
        validation: the other files.
        fingerprint: sha256 (hex) of both parts; texts with one fingerprint give the same batches.
    """

    train: bytes
    validation: bytes
    fingerprint: str


def read_text(data: Data, root: Path) -> SplitText:
    """Read the recipe's `data` section.

    Args:
        data: which files, and the share of them kept for validation.
        root: the recipe's folder; glob patterns start there.

    Returns:
        The text. Two or more files are split by file: those whose names hash lowest validate, so the split depends
        on names only and not on their order. A single file is cut, its tail validates.

    Raises:
        UsageError: a pattern matches nothing, or there are fewer than two bytes.
        MachineError: a file cannot be read, or this Python carries no sources of its standard library.
    """
    paths = stdlib_files() if isinstance(data, StdlibText) else matching_files(data, root)
    try:
        texts = {name: path.read_bytes() for name, path in paths.items()}
    except OSError as error:
        raise MachineError("data files must be readable", received=str(error)) from error
    train, validation = split(texts, data.validation_fraction)
    digest = hashlib.sha256()
    for part in (train, validation):
        digest.update(len(part).to_bytes(8, "big") + part)
    return SplitText(train, validation, digest.hexdigest())


def stdlib_files() -> dict[str, Path]:
    """Top-level modules of the running Python's standard library by file name, sorted.

    `sys.stdlib_module_names` keeps out what an installation adds, for example `_sysconfigdata*` with a machine's paths.
    """
    folder = Path(sysconfig.get_path("stdlib"))
    found = {path.name: path for path in sorted(folder.glob("*.py")) if path.stem in sys.stdlib_module_names}
    if len(found) < 2:
        raise MachineError(
            "`stdlib-text` needs the standard library's source files",
            received=f"{len(found)} *.py files in the folder of this Python's standard library",
            hint="name your own files with `data: {kind: text, files: [...]}`",
        )
    return found


def matching_files(data: TextFiles, root: Path) -> dict[str, Path]:
    """Files that match any of the patterns, by their path relative to `root`, sorted."""
    found: dict[str, Path] = {}
    for pattern in data.files:
        names = [name for name in glob.glob(pattern, root_dir=root, recursive=True) if (root / name).is_file()]
        if not names:
            raise UsageError(
                "each pattern in `data.files` must match a file",
                received=pattern,
                hint=f"patterns are relative to the recipe's folder, {root}",
            )
        found.update((Path(name).as_posix(), root / name) for name in names)
    return dict(sorted(found.items()))


def split(texts: dict[str, bytes], validation_fraction: float) -> tuple[bytes, bytes]:
    """Training and validation text; both hold at least one file (one byte, where there is a single file)."""
    if len(texts) > 1:
        by_hash = sorted(texts, key=lambda name: hashlib.sha256(name.encode()).digest())
        count = min(max(1, round(validation_fraction * len(texts))), len(texts) - 1)
        kept = set(by_hash[:count])
        return (
            _joined(text for name, text in texts.items() if name not in kept),
            _joined(text for name, text in texts.items() if name in kept),
        )
    ((name, text),) = texts.items()
    if len(text) < 2:
        raise UsageError(
            "data must hold text to train on and text to validate on", received=f"{len(text)} bytes, {name}"
        )
    cut = min(max(1, round((1 - validation_fraction) * len(text))), len(text) - 1)
    return text[:cut], text[cut:]


def _joined(texts: Iterable[bytes]) -> bytes:
    return SEPARATOR.join(texts)
