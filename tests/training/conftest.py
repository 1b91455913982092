"""A corpus small enough to train on in milliseconds."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from hptransfer.training.data import Corpus

TEXT = b"def add(left, right):\n    return left + right\n\n\nclass Point:\n    x: int\n    y: int\n" * 40


@pytest.fixture
def corpus() -> Corpus:
    """Repetitive source text, 3 kB."""
    cut = len(TEXT) * 9 // 10
    return Corpus(
        np.frombuffer(TEXT[:cut], np.uint8), np.frombuffer(TEXT[cut:], np.uint8), hashlib.sha256(TEXT).hexdigest()
    )
