"""The user's own files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from hptransfer.data._files import Patterns, files_matching, require_readable
from hptransfer.data.base import SEPARATOR, SplitText, split_text
from hptransfer.errors import UsageError
from hptransfer.files import open_regular
from hptransfer.recipe.sections import DataSection


class TextFiles(DataSection):
    """The user's own files, read as bytes; files with NUL bytes are no text and are refused."""

    kind: Literal["text"]
    files: Patterns
    """glob patterns relative to the recipe's folder"""
    validation_fraction: Annotated[float, Field(gt=0, lt=1)] = 0.1


class TextSource:
    """Reads every file that a pattern matches, once."""

    section = TextFiles

    def read(self, section: TextFiles, root: Path, /) -> SplitText:
        """As `DataSource.read`.

        Raises:
            UsageError: a pattern matches nothing, a file is no text, or there are fewer than two bytes; or the recipe
                is not trusted, and reads much or outside its folder.
        """
        return split_text(_texts(section, root), section.validation_fraction)


SOURCE = TextSource()


def _texts(section: TextFiles, root: Path) -> dict[str, bytes]:
    files = matching_files(section, root)
    require_readable(files)
    texts = {}
    for name, path in files.items():
        with open_regular(path) as stream:
            texts[name] = stream.read()
    _refuse_binary(texts)
    return texts


def line_ends_of(fingerprint: str, section: TextFiles, root: Path) -> str | None:
    """The line ends, "LF" or "CRLF", with which the files would have a fingerprint that they have not.

    Args:
        fingerprint: sha256 (hex) of the data that are looked for.
        section: which files, and what share of them validates.
        root: the recipe's folder, where patterns start.

    Returns:
        None where no such line ends make these files those data.

    Raises:
        UsageError, OSError: as `TextSource.read`.
    """
    unix = {name: text.replace(b"\r\n", b"\n") for name, text in _texts(section, root).items()}
    for ends, written in (("LF", b"\n"), ("CRLF", b"\r\n")):
        texts = {name: text.replace(b"\n", written) for name, text in unix.items()}
        if split_text(texts, section.validation_fraction).fingerprint == fingerprint:
            return ends
    return None


def matching_files(data: TextFiles, root: Path) -> dict[str, Path]:
    """Files that match any of the patterns, by their path relative to the recipe's folder, sorted.

    Args:
        data: the section with the patterns.
        root: the recipe's folder, where patterns start.

    Raises:
        UsageError: as `files_matching`.
    """
    return files_matching(data.files, root, "files")


def _refuse_binary(texts: Mapping[str, bytes]) -> None:
    """Tokens of two bytes read as bytes would train, to a loss that means nothing."""
    for name, text in texts.items():
        position = text.find(SEPARATOR)
        if position >= 0:
            raise UsageError(
                "files of `kind: text` must be text, without NUL bytes",
                received=f"{name}: a NUL byte at position {position:,}",
                hint=f"for files of tokens write `data: {{kind: tokens, train: [{name}], dtype: uint16, "
                "vocabulary: 50257}` with your tokenizer's size",
            )
