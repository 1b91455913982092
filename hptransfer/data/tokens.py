"""Files of tokens, mapped from disk: as nanoGPT writes them (no header), as llm.c and modded-nanogpt do (a header).

Header of llm.c (github.com/karpathy/llm.c, dev/data/data_common.py; modded-nanogpt's data/fineweb.py writes its first
form): 256 little-endian int32, of which the first three are magic number, version and number of tokens.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from hptransfer.data._files import Patterns, files_matching
from hptransfer.data.base import SplitTokens, cut_at
from hptransfer.errors import UsageError
from hptransfer.recipe.sections import DataSection, refused

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

HEADER_BYTES = 256 * 4
#: (magic number, version) -> type of the tokens
HEADERS: Mapping[tuple[int, int], str] = {(20240520, 1): "uint16", (20240801, 7): "uint32"}
#: share of each training file that validates where nothing else is said
SHARE = 0.1
#: tokens that are read at a time
_CHUNK = 2**23


class TokenFiles(DataSection):
    """Files of tokens (`.bin`), as nanoGPT, llm.c and modded-nanogpt write them; mapped, and read in full once."""

    kind: Literal["tokens"]
    train: Patterns
    """glob patterns relative to the recipe's folder"""
    validation: Patterns | None = None
    """files to validate on; default: the tail of each training file"""
    validation_fraction: Annotated[float, Field(gt=0, lt=1)] | None = None
    """share of each training file, its tail, that validates where `validation` names no files; default 0.1"""
    vocabulary: Annotated[int, Field(ge=2, le=2**32)]
    """size of the tokenizer's vocabulary; a token that is not below it is refused, with its place"""
    dtype: Literal["uint16", "uint32"] | None = None
    """type of the tokens in files without a header (nanoGPT's: uint16); llm.c's header says it"""

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if self.validation is not None and self.validation_fraction is not None:
            raise refused(
                "recipe/invalid",
                "only one of `data.validation` and `data.validation_fraction` can say what validates",
                "delete one of the lines",
            )
        return self


class TokenSource:
    """Maps files into memory; a worker shares their pages with others."""

    section = TokenFiles

    def read(self, section: TokenFiles, root: Path, /) -> SplitTokens:
        """As `DataSource.read`.

        Raises:
            UsageError: a pattern matches nothing, a file trains and validates, a file is damaged or says no type, or a
                token lies outside the vocabulary.
        """
        train = _parts(files_matching(section.train, root, "train"), section)
        if section.validation is None:
            share = section.validation_fraction or SHARE
            cuts = [cut_at(len(part.tokens), share) for part in train]
            kept = [part.between(0, cut) for part, cut in zip(train, cuts, strict=True)]
            held_out = [part.between(cut, len(part.tokens)) for part, cut in zip(train, cuts, strict=True)]
        else:
            files = files_matching(section.validation, root, "validation")
            both = [part.name for part in train if part.name in files]
            if both:
                raise UsageError("files must either train or validate", received=f"{both[0]} does both")
            kept, held_out = train, _parts(files, section)
        named = [[part.identity for part in side] for side in (kept, held_out)]
        return SplitTokens(
            tuple(part.tokens for part in kept),
            tuple(part.tokens for part in held_out),
            section.vocabulary,
            hashlib.sha256(json.dumps(named).encode()).hexdigest(),
        )


SOURCE = TokenSource()


@dataclass(frozen=True, slots=True, eq=False)
class _Part:
    """A stretch of a file's tokens; `digest` is that of the whole file."""

    name: str
    tokens: NDArray[np.unsignedinteger[Any]]
    digest: str
    start: int = 0

    @property
    def identity(self) -> list[Any]:
        """What determines its tokens."""
        return [self.digest, self.start, len(self.tokens)]

    def between(self, start: int, stop: int) -> _Part:
        """A stretch of it."""
        return _Part(self.name, self.tokens[start:stop], self.digest, start)


def _parts(files: Mapping[str, Path], section: TokenFiles) -> list[_Part]:
    found = []
    for name, path in files.items():
        tokens = mapped(name, path, section.dtype)
        state = path.stat()
        digest = _checked(name, path, state.st_size, state.st_mtime_ns, section.dtype, section.vocabulary)
        found.append(_Part(name, tokens, digest))
    return found


def mapped(name: str, path: Path, dtype: str | None) -> NDArray[np.unsignedinteger[Any]]:
    """A file's tokens, mapped from disk; nothing but its header is read.

    Args:
        name: of the file in messages.
        path: where the file lies, absolute.
        dtype: type of the tokens where the file has no header; None where every file must have one.

    Returns:
        1-D little-endian uint16 or uint32, at least two.

    Raises:
        UsageError: no type is known, the header contradicts the recipe or the file's size, or there are too few tokens.
    """
    import numpy as np

    size = path.stat().st_size
    with path.open("rb") as file:
        header = np.frombuffer(file.read(HEADER_BYTES), "<i4") if size >= HEADER_BYTES else np.zeros(3, "<i4")
    from_header = HEADERS.get((int(header[0]), int(header[1])))
    if from_header is None and dtype is None:
        raise UsageError(
            "a file of tokens without a header of llm.c's form needs `data.dtype`",
            received=f"{name}: the first numbers are {int(header[0])}, {int(header[1])}",
            hint="write `dtype: uint16` for files of nanoGPT's prepare.py",
        )
    if from_header is not None and dtype not in (None, from_header):
        raise UsageError(
            "`data.dtype` must be that of the files",
            received=f"dtype={dtype}; {name}: its header says {from_header}",
            hint="delete `dtype`: the header says it",
        )
    kind, offset = np.dtype(from_header or dtype).newbyteorder("<"), HEADER_BYTES if from_header else 0
    count, rest = divmod(size - offset, kind.itemsize)
    if rest or (from_header is not None and count != int(header[2])):
        said = f"{int(header[2]):,} tokens by its header" if from_header else f"tokens of {kind.itemsize} bytes"
        raise UsageError("a file of tokens must be whole", received=f"{name}: {size:,} bytes, {said}")
    if count < 2:
        raise UsageError("a file of tokens must hold at least two", received=f"{name}: {count}")
    return np.memmap(path, kind, "r", offset, (count,))


@lru_cache(maxsize=4096)
def _checked(name: str, path: Path, size: int, modified: int, dtype: str | None, vocabulary: int) -> str:
    """Sha256 (hex) of a file's tokens, read once per process while neither size nor time of change are others."""
    import numpy as np

    del size, modified  # they tell entries of the cache apart
    tokens = mapped(name, path, dtype)
    digest = hashlib.sha256(str(tokens.itemsize).encode())
    for start in range(0, len(tokens), _CHUNK):
        piece = np.ascontiguousarray(tokens[start : start + _CHUNK])
        require_below(name, piece, vocabulary, start)
        digest.update(piece.data)
    return digest.hexdigest()


def require_below(name: str, tokens: NDArray[np.unsignedinteger[Any]], vocabulary: int, start: int = 0) -> None:
    """Refuse tokens that no tokenizer of this size wrote.

    Args:
        name: of the file in messages.
        tokens: some of its tokens, at least one.
        vocabulary: size of the tokenizer's vocabulary.
        start: position of the first of them in the file.

    Raises:
        UsageError: a token is not below the vocabulary.
    """
    if int(tokens.max()) < vocabulary:
        return
    first = int((tokens >= vocabulary).argmax())
    raise UsageError(
        "every token must be below `data.vocabulary`",
        received=f"{name}: token {int(tokens[first]):,} at position {start + first:,}, vocabulary={vocabulary:,}",
        hint="write the size of the tokenizer that wrote the file, for example 50257 for GPT-2's",
    )
