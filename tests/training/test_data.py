"""Corpora: which batches a text gives."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from hptransfer.data.text import TextFiles
from hptransfer.errors import UsageError
from hptransfer.training.data import Corpus, load_batches


def test_a_corpus_holds_the_recipes_text(tmp_path: Path) -> None:
    """Arrays of the bytes that were read, with their fingerprint."""
    (tmp_path / "a.txt").write_bytes(b"0123456789")
    corpus = load_batches(TextFiles(kind="text", files=("*.txt",), validation_fraction=0.2), tmp_path)

    assert isinstance(corpus, Corpus)
    assert corpus.train.tobytes() == b"01234567"
    assert corpus.validation.tobytes() == b"89"
    assert len(corpus.fingerprint) == 64


def test_too_little_text_for_one_window(corpus: Corpus) -> None:
    """A context longer than the text is refused, with both numbers."""
    with pytest.raises(UsageError, match="context \\+ 1 bytes") as caught:
        corpus.batch(0, 0, batch_size=1, context=5000)

    assert "context=5000" in str(caught.value.findings[0].received)
    with pytest.raises(UsageError, match="validation text"):
        next(corpus.validation_batches(1, 1, context=1000))


def test_batches_are_a_pure_function_of_seed_and_step(corpus: Corpus) -> None:
    """The order in which batches are asked for does not matter; seed and step do."""
    late_first = [corpus.batch(3, step, 8, 5) for step in (7, 2)]

    assert torch.equal(corpus.batch(3, 2, 8, 5), late_first[1])
    assert torch.equal(corpus.batch(3, 7, 8, 5), late_first[0])
    assert not torch.equal(corpus.batch(4, 7, 8, 5), late_first[0])
    assert not torch.equal(corpus.batch(2, 3, 8, 5), corpus.batch(3, 2, 8, 5))


def test_batches_are_windows_of_the_training_text(corpus: Corpus) -> None:
    """Each row is a contiguous piece of the training bytes, one byte longer than the context."""
    batch_BxC1 = corpus.batch(0, 0, 16, 20)

    assert batch_BxC1.shape == (16, 21)
    assert batch_BxC1.dtype == torch.int64
    assert all(bytes(row) in corpus.train.tobytes() for row in batch_BxC1.tolist())


def test_windows_reach_both_ends() -> None:
    """A text with exactly two windows yields both: no byte is out of reach."""
    two = Corpus(np.arange(6, dtype=np.uint8), np.arange(6, dtype=np.uint8), "")

    starts = corpus_starts = set(two.batch(0, 0, 100, 4)[:, 0].tolist())
    ends = {int(row[-1]) for batch in two.validation_batches(1, 2, 4) for row in batch}

    assert starts == corpus_starts == {0, 1}
    assert ends == {4, 5}


def test_windows_are_drawn_uniformly(corpus: Corpus) -> None:
    """First bytes of many windows follow the frequencies of the text; a chi-squared test at 6 sigma."""
    counts = np.zeros(4)
    quarter = len(corpus.train) / 4
    positions = Corpus(np.arange(256, dtype=np.uint8), corpus.validation, "")
    for step in range(100):
        first = positions.batch(0, step, 64, 3)[:, 0].numpy()
        counts += np.histogram(first, bins=4, range=(0, 253))[0]

    expected = counts.sum() / 4
    assert quarter > 0
    assert ((counts - expected) ** 2 / expected).sum() < 3 + 6 * np.sqrt(6)  # chi2 with 3 degrees: mean 3, variance 6


def test_validation_batches_do_not_depend_on_anything_but_their_shape(corpus: Corpus) -> None:
    """Two calls give the same windows, spread over the whole validation text."""
    first, second = (torch.cat(list(corpus.validation_batches(4, 8, 5))) for _ in range(2))

    assert torch.equal(first, second)
    assert bytes(first[0].tolist()) == corpus.validation[:6].tobytes()
    assert bytes(first[-1].tolist()) == corpus.validation[-6:].tobytes()
