"""What a data source is and gives, how text is split, and the fingerprint that names it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, Self, cast

from hptransfer.errors import MachineError, UsageError
from hptransfer.recipe import registered
from hptransfer.recipe.sections import DataSection, ExternalData, Setting
from hptransfer.registry import Registry, users_code

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SEPARATOR = b"\0"  # between files: text does not contain it, so a model can learn where a file ends


@dataclass(frozen=True, slots=True)
class SplitText:
    """The bytes of a recipe's data.

    Attributes:
        train: text on which trials train, UTF-8 or any other bytes.
        validation: text on which all trials are evaluated.
        fingerprint: sha256 (hex) of both parts; texts with one fingerprint give the same batches.
    """

    train: bytes
    validation: bytes
    fingerprint: str

    @classmethod
    def of(cls, train: bytes, validation: bytes) -> Self:
        """Two parts with their fingerprint.

        Args:
            train: at least one window of context + 1 bytes.
            validation: at least one such window too.
        """
        digest = hashlib.sha256()
        for part in (train, validation):
            digest.update(len(part).to_bytes(8, "big") + part)
        return cls(train, validation, digest.hexdigest())


@dataclass(frozen=True, slots=True, eq=False)
class SplitTokens:
    """Tokens of a recipe's data, file by file; no window reaches from one file into the next.

    Attributes:
        train: 1-D arrays of unsigned integers below `vocabulary`, which may be mapped from files.
        validation: arrays of the same kind, on which all trials are evaluated.
        vocabulary: size of the tokenizer's vocabulary, at least 2.
        fingerprint: sha256 (hex) of both parts; tokens with one fingerprint give the same batches.
    """

    train: tuple[NDArray[np.unsignedinteger[Any]], ...]
    validation: tuple[NDArray[np.unsignedinteger[Any]], ...]
    vocabulary: int
    fingerprint: str


@dataclass(frozen=True, slots=True)
class BatchFunctions:
    """The user's own functions that give batches; nothing is imported before a worker trains.

    Attributes:
        training: `module:function`, called as `function(seed, step, batch_size, **arguments)`.
        evaluation: `module:function`, called as `function(index, batch_size, **arguments)`.
        arguments: keyword arguments of both.
        fingerprint: sha256 (hex) of names, arguments and the user's local code that the names lead to.
    """

    training: str
    evaluation: str
    arguments: Mapping[str, Setting]
    fingerprint: str


#: what a source gives; `training.data` makes batches of it
Content = SplitText | SplitTokens | BatchFunctions


class DataSource(Protocol):
    """One kind of `data` section; a module of this folder also says in `section` what such a section holds.

    A user's own source gets `OwnData`, whose `arguments` it checks itself.
    """

    def read(self, section: Any, root: Path, /) -> Content:
        """The data, the same whenever the section and what it names are the same.

        Args:
            section: the recipe's `data` section, a `DataSection`.
            root: absolute path of the recipe's folder.

        Raises:
            UsageError: the section asks for what is not there.
            OSError: a file cannot be read.
        """


DATA_SOURCES = cast("Registry[DataSource]", registered.DATA_SOURCES)


def read_data(data: DataSection, root: Path) -> Content:
    """Read the recipe's `data` section.

    Args:
        data: which source, and what it is asked for.
        root: the recipe's folder, where paths start.

    Raises:
        UsageError: there is no such source, or it says that the section asks for what is not there.
        MachineError: a file cannot be read, or the source needs what this machine lacks.
    """
    source = DATA_SOURCES.look_up(data.kind)
    with users_code("a data source must give data", data.kind):
        try:
            content: object = source.read(data, root)
        except OSError as error:
            raise MachineError("data files must be readable", received=str(error)) from error
    if not isinstance(content, Content):
        raise UsageError(
            "a data source must return a SplitText, SplitTokens or BatchFunctions",
            received=f"{data.kind}: {type(content).__name__}",
        )
    return content


def fingerprint_of(data: DataSection, root: Path) -> str:
    """Sha256 (hex) that names the content of a recipe's data; of data that only the trainer reads, of their section.

    Args:
        data: which source, and what it is asked for.
        root: the recipe's folder, where paths start.

    Raises:
        UsageError, MachineError: as `read_data`.
    """
    if isinstance(data, ExternalData):
        return hashlib.sha256(data.model_dump_json().encode()).hexdigest()
    return read_data(data, root).fingerprint


def split_text(texts: Mapping[str, bytes], validation_fraction: float) -> SplitText:
    """Two or more texts are split by name, a single one is cut; see `split`.

    Args:
        texts: contents of files by name, at least one.
        validation_fraction: share of the files (of the bytes, where there is a single one) that validate, in (0, 1).
    """
    return SplitText.of(*split(texts, validation_fraction))


def split(texts: Mapping[str, bytes], validation_fraction: float) -> tuple[bytes, bytes]:
    """Training and validation text; both hold at least one file (one byte, where there is a single file).

    Files whose names hash lowest validate, so the split depends on names only and not on their order. A single file's
    tail validates.

    Args:
        texts: contents of files by name, at least one.
        validation_fraction: share of the files (of the bytes, where there is a single one) that validate, in (0, 1).

    Raises:
        UsageError: a single file with fewer than two bytes.
    """
    if len(texts) > 1:
        kept = held_out(texts, validation_fraction)
        return (
            _joined(text for name, text in texts.items() if name not in kept),
            _joined(text for name, text in texts.items() if name in kept),
        )
    ((name, text),) = texts.items()
    if len(text) < 2:
        raise UsageError(
            "data must hold text to train on and text to validate on", received=f"{len(text)} bytes, {name}"
        )
    cut = cut_at(len(text), validation_fraction)
    return text[:cut], text[cut:]


def held_out(names: Iterable[str], validation_fraction: float) -> frozenset[str]:
    """Which of several files validate.

    Args:
        names: of the files, at least two.
        validation_fraction: share of the files, in (0, 1).
    """
    by_hash = sorted(names, key=lambda name: hashlib.sha256(name.encode()).digest())
    count = min(max(1, round(validation_fraction * len(by_hash))), len(by_hash) - 1)
    return frozenset(by_hash[:count])


def cut_at(length: int, validation_fraction: float) -> int:
    """Where a single text, or one file of tokens, is cut: what lies before trains, what lies behind validates.

    Args:
        length: of the whole, at least 2.
        validation_fraction: share of it that validates, in (0, 1).
    """
    return min(max(1, round((1 - validation_fraction) * length)), length - 1)


def _joined(texts: Iterable[bytes]) -> bytes:
    return SEPARATOR.join(texts)
