"""Roots of covariances: they are roots, and rounding moves them no further than itself."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from hptransfer.statistics.arrays import root_of

JUDGED = """
import json
from benchmarks.every_ladder import judged, stored_ladders
ladder = next(each for each in stored_ladders() if each.name == "gpt" and each.axis == "width")
report = judged(ladder, 0.5)
print(json.dumps([report.cost.estimate, report.cost.high, report.drift.low, report.drift.high]))
"""


def test_a_root_times_itself_is_the_covariance() -> None:
    """Of a stack, one of them of rank 1."""
    factors = np.random.default_rng(0).standard_normal((3, 5, 5))
    factors[1, :, 1:] = 0
    covariance = factors @ np.swapaxes(factors, 1, 2)
    root = root_of(covariance)

    np.testing.assert_allclose(root @ root, covariance, atol=1e-12)
    np.testing.assert_allclose(root, np.swapaxes(root, 1, 2), atol=1e-12)


def test_rounding_does_not_turn_it() -> None:
    """Directions that vary alike have no eigenvectors of their own: a factor of those would turn by any angle."""
    rng = np.random.default_rng(1)
    noise = rng.standard_normal((6, 6))
    covariance = np.eye(6) + 1e-12 * (noise + noise.T)

    np.testing.assert_allclose(root_of(covariance), np.eye(6), atol=1e-10)


def test_a_report_is_the_same_on_another_number_of_threads() -> None:
    """Sums in another order differ in their last bits, and so may what is printed, no more."""
    found = []
    for threads in ("1", "2"):
        environment = {**os.environ, "OMP_NUM_THREADS": threads, "OPENBLAS_NUM_THREADS": threads}
        run = subprocess.run(
            [sys.executable, "-c", JUDGED], env=environment, capture_output=True, text=True, check=True
        )
        found.append(json.loads(run.stdout))

    assert found[0] == pytest.approx(found[1], rel=1e-6)
