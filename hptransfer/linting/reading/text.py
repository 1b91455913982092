"""The text of a file that somebody else wrote."""

from __future__ import annotations

from pathlib import Path

from hptransfer.errors import UsageError
from hptransfer.files import bounded_content

MAX_BYTES = 512 * 1024
"""longer files are data, not configurations"""
#: longest part of a file's text that a message repeats
_SHOWN = 120


def foreign_text(path: Path) -> str:
    """The text of a regular file.

    Args:
        path: of the file; a link is followed.

    Raises:
        UsageError: it cannot be read, is no regular file, too long, or no UTF-8 text.
    """
    if _is_folder(path):
        raise UsageError(
            "a configuration must be a file",
            received=f"{path}: a folder",
            hint="name its files, for example `FOLDER/*.py`; `hptransfer verify --export FOLDER` takes an export whole",
        )
    try:
        content = bounded_content(path, MAX_BYTES)
    except (OSError, ValueError) as error:  # ValueError: a path with a null byte
        said = error.strerror if isinstance(error, OSError) else str(error)
        raise UsageError("a configuration must be a file that can be read", received=f"{path}: {said}") from None
    try:
        text = content.removeprefix(b"\xef\xbb\xbf").decode("utf-8")
    except UnicodeDecodeError as error:
        received = f"{path}: byte 0x{content[error.start]:02x} at offset {error.start:,}"
        raise UsageError("a configuration must be UTF-8 text", received=received) from None
    if "\0" in text:
        raise UsageError("a configuration must be UTF-8 text", received=f"{path}: a null byte")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _is_folder(path: Path) -> bool:
    """Whether there is a folder at a path; a path that cannot be one is none."""
    try:
        return path.is_dir()
    except (OSError, ValueError):
        return False


def shown(text: object, most: int = _SHOWN) -> str:
    """Text of a file for a message: short, on one line, with every character that is not printable escaped.

    Args:
        text: or a value, as it was written.
        most: characters that are shown of it.
    """
    said = str(text)
    said = said if len(said) <= most else f"{said[:most]}..."
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in said)
