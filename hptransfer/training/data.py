"""A recipe's text as arrays, and batches that are a pure function of (seed, step).

Tensor names carry their shape: B batch, C context window.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from hptransfer.data.base import read_text
from hptransfer.errors import UsageError
from hptransfer.recipe.schema import Data

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class Corpus:
    """The bytes that trials train and validate on.

    Attributes:
        train: 1-D uint8, the training files joined by `SEPARATOR`.
        validation: 1-D uint8, the other files.
        fingerprint: sha256 (hex) of both parts; corpora with one fingerprint give the same batches.
    """

    train: NDArray[np.uint8]
    validation: NDArray[np.uint8]
    fingerprint: str

    def batch(self, seed: int, step: int, batch_size: int, context: int) -> torch.Tensor:
        """Training windows of one step, drawn uniformly; a pure function of its arguments.

        Args:
            seed: of the trial, at least 0.
            step: optimizer steps taken before, from 0.
            batch_size: number of windows B, at least 1.
            context: bytes C of a window before its last one, which is predicted.

        Returns:
            B x (C + 1) integers in [0, 256), int64.
        """
        # A counter-based generator keyed by (seed, step): no state to carry, so a resumed run sees the same order.
        draws = np.random.Generator(np.random.Philox(key=(seed, step)))
        starts_B = draws.integers(0, _windows(self.train, context, "training"), size=batch_size)
        return _gather(self.train, starts_B, context)

    def validation_batches(self, count: int, batch_size: int, context: int) -> Iterator[torch.Tensor]:
        """`count` batches of windows spread evenly over the validation text, the same for every trial and seed.

        Args:
            count: number of batches, at least 1.
            batch_size: windows B of each batch, at least 1.
            context: bytes C of a window before its last one, which is predicted.

        Yields:
            B x (C + 1) integers in [0, 256), int64.
        """
        windows = _windows(self.validation, context, "validation")
        starts = np.linspace(0, windows - 1, count * batch_size).astype(np.int64)
        for starts_B in starts.reshape(count, batch_size):
            yield _gather(self.validation, starts_B, context)


def load_corpus(data: Data, root: Path) -> Corpus:
    """The corpus of a recipe's `data` section; its errors are those of `data.base.read_text`.

    Args:
        data: which source, and what it is asked for.
        root: the recipe's folder, where paths start.
    """
    text = read_text(data, root)
    return Corpus(np.frombuffer(text.train, np.uint8), np.frombuffer(text.validation, np.uint8), text.fingerprint)


def _windows(text: NDArray[np.uint8], context: int, part: str) -> int:
    """Number of windows of context + 1 bytes."""
    if len(text) <= context:
        raise UsageError(
            f"the {part} text must hold at least context + 1 bytes",
            received=f"{len(text)} bytes, context={context}",
            hint="add files, or make `model.context` smaller",
        )
    return len(text) - context


def _gather(text: NDArray[np.uint8], starts_B: NDArray[np.int64], context: int) -> torch.Tensor:
    return torch.from_numpy(text[starts_B[:, None] + np.arange(context + 1)].astype(np.int64))
