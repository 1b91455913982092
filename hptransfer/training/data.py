"""A recipe's data as batches that are a pure function of (seed, step).

Tensor names carry their shape: B batch, C context window.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from hptransfer.data.base import BatchFunctions, SplitText, read_data
from hptransfer.errors import UsageError
from hptransfer.recipe.schema import Data
from hptransfer.training.batches import Batches
from hptransfer.training.python_batches import PythonBatches

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Tokens = NDArray[np.unsignedinteger[Any]]


class _Windows:
    """Batches of windows of context + 1 tokens, each within one array; those who give the arrays inherit."""

    __slots__ = ()

    #: what the arrays hold, for messages
    unit = "tokens"

    def _arrays(self, part: str) -> Sequence[Tokens]:
        """1-D arrays of the part "training" or "validation"."""
        raise NotImplementedError

    def batch(self, seed: int, step: int, batch_size: int, context: int) -> torch.Tensor:
        """Training windows of one step, drawn uniformly; a pure function of its arguments.

        Args:
            seed: of the trial, at least 0.
            step: optimizer steps taken before, from 0.
            batch_size: number of windows B, at least 1.
            context: tokens C of a window before its last one, which is predicted.

        Returns:
            B x (C + 1) integers below the vocabulary, int64.
        """
        ends = self._ends("training", context)
        # A counter-based generator keyed by (seed, step): no state to carry, so a resumed run sees the same order.
        draws = np.random.Generator(np.random.Philox(key=(seed, step)))
        return _gather(self._arrays("training"), ends, draws.integers(0, ends[-1], size=batch_size), context)

    def validation_batches(
        self, count: int, batch_size: int, context: int, examples: int | None = None
    ) -> Iterator[torch.Tensor]:
        """`count` batches of windows spread evenly over the validation part, the same for every trial and seed.

        Args:
            count: number of batches, at least 1.
            batch_size: windows B of each batch, at least 1.
            context: tokens C of a window before its last one, which is predicted.
            examples: windows in all, of which the last batch has what is left; default: count * batch_size.

        Yields:
            B x (C + 1) integers below the vocabulary, int64.
        """
        ends = self._ends("validation", context)
        starts = np.linspace(0, ends[-1] - 1, examples or count * batch_size).astype(np.int64)
        for first in range(0, min(len(starts), count * batch_size), batch_size):
            yield _gather(self._arrays("validation"), ends, starts[first : first + batch_size], context)

    def _ends(self, part: str, context: int) -> NDArray[np.int64]:
        """How many windows of context + 1 tokens there are up to the end of each array; the last is at least 1."""
        arrays = self._arrays(part)
        ends = np.cumsum([max(0, len(array) - context) for array in arrays])
        if not ends[-1]:
            longest = max(map(len, arrays))
            raise UsageError(
                f"the {part} text must hold at least context + 1 {self.unit}",
                received=f"{longest} {self.unit}, context={context}",
                hint="add files, or make `model.context` smaller",
            )
        return ends


@dataclass(frozen=True, slots=True, eq=False)
class Corpus(_Windows):
    """The bytes that trials train and validate on.

    Attributes:
        train: 1-D uint8, the training files joined by `SEPARATOR`.
        validation: 1-D uint8, the other files.
        fingerprint: sha256 (hex) of both parts; corpora with one fingerprint give the same batches.
    """

    train: NDArray[np.uint8]
    validation: NDArray[np.uint8]
    fingerprint: str

    unit = "bytes"
    vocabulary = None

    def _arrays(self, part: str) -> Sequence[Tokens]:
        return (self.train if part == "training" else self.validation,)


@dataclass(frozen=True, slots=True, eq=False)
class TokenCorpus(_Windows):
    """The tokens that trials train and validate on.

    Attributes:
        train: 1-D arrays of unsigned integers, one per file.
        validation: the same of the other files.
        vocabulary: every token is below it.
        fingerprint: sha256 (hex) of both parts; corpora with one fingerprint give the same batches.
    """

    train: tuple[Tokens, ...]
    validation: tuple[Tokens, ...]
    vocabulary: int
    fingerprint: str

    def _arrays(self, part: str) -> Sequence[Tokens]:
        return self.train if part == "training" else self.validation


def load_batches(data: Data, root: Path) -> Batches:
    """The batches of a recipe's `data` section; its errors are those of `data.base.read_data`.

    Args:
        data: which source, and what it is asked for.
        root: the recipe's folder, where paths start.
    """
    content = read_data(data, root)
    if isinstance(content, SplitText):
        train, validation = (np.frombuffer(part, np.uint8) for part in (content.train, content.validation))
        return Corpus(train, validation, content.fingerprint)
    if isinstance(content, BatchFunctions):
        return PythonBatches(content)
    return TokenCorpus(content.train, content.validation, content.vocabulary, content.fingerprint)


def _gather(
    arrays: Sequence[Tokens], ends: NDArray[np.int64], starts_B: NDArray[np.int64], context: int
) -> torch.Tensor:
    if len(arrays) == 1:
        return torch.from_numpy(arrays[0][starts_B[:, None] + np.arange(context + 1)].astype(np.int64))
    files_B = np.searchsorted(ends, starts_B, side="right")
    within_B = starts_B - np.concatenate([[0], ends])[files_B]
    rows = [arrays[file][start : start + context + 1] for file, start in zip(files_B, within_B, strict=True)]
    return torch.from_numpy(np.stack(rows).astype(np.int64))
