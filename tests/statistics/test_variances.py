"""Variances of sizes: shrunk towards what they have in common, without a jump where they begin to differ."""

from __future__ import annotations

import numpy as np
import pytest

from hptransfer.statistics.variances import log_evidence, relative_variances

DF = np.full(5, 18.0)


def first_of_five(ratio: float) -> float:
    """What the first size's variance counts as where it was seen to be so many times that of the four others."""
    seen = np.array([ratio, 1.0, 1.0, 1.0, 1.0])
    pooled = float(np.exp(np.log(seen).mean()))
    return float(relative_variances(seen * DF, DF, pooled)[0] * pooled)


def test_sizes_begin_to_differ_without_a_jump() -> None:
    """A ratio that grows by 2% makes no variance grow by more than 6%; over the whole range it follows the ratio."""
    ratios = np.exp(np.arange(0, np.log(40), 0.02))
    found = np.array([first_of_five(float(ratio)) for ratio in ratios])
    steps = np.diff(np.log(found))

    assert (steps > 0).all()
    assert steps.max() < 0.06
    assert first_of_five(1.0) == pytest.approx(1.0)
    assert first_of_five(40.0) == pytest.approx(40.0, rel=0.15)


def test_a_size_without_repeats_takes_the_common_variance() -> None:
    """Whatever the others say of each other."""
    df = np.array([18.0, 18.0, 0.0])
    relative = relative_variances(np.array([4.0, 1.0, 0.0]) * 18, df, 2.0)

    assert relative[2] == pytest.approx(1.0)


def test_evidence_falls_with_how_unlike_sizes_are() -> None:
    """At one geometric mean of the variances."""
    evidence = [log_evidence(np.array([r, 1 / r, 1, 1, 1]) * DF, DF, 1.0) for r in (1.0, 2.0, 4.0)]

    assert evidence[0] > evidence[1] > evidence[2]
