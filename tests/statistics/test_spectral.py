"""Spectral norms: against numpy's SVD, and the standard parameterization's exact power."""

from __future__ import annotations

import math

import numpy as np
import pytest

from hptransfer.statistics.slope import operator_size, spectral_norm


def test_a_matrix_of_rank_one_is_exact() -> None:
    """One direction is found at once: |u| |v|."""
    left, right = np.array([3.0, 4.0]), np.array([1.0, 2.0, 2.0])

    assert spectral_norm(np.outer(left, right), iterations=2) == pytest.approx(5.0 * 3.0, rel=1e-12)


@pytest.mark.parametrize("shape", [(256, 256), (512, 128), (64, 256)])
def test_a_gaussian_matrix_is_known_within_three_percent(shape: tuple[int, int]) -> None:
    """Twelve iterations come close to numpy's SVD from below, where singular values lie closest together."""
    matrix = np.random.default_rng(0).standard_normal(shape)
    exact = float(np.linalg.norm(matrix, 2))

    assert 0.97 * exact <= spectral_norm(matrix) <= exact * (1 + 1e-9)


def test_a_sign_update_with_one_rate_grows_as_the_width() -> None:
    """Adam's first step on a rank-one gradient is rate * sign(u) sign(v): its size as a map is rate * fan_in."""
    sizes = [
        operator_size(0.01 * np.sign(np.outer(np.ones(width), -np.ones(width))), width, width) for width in (64, 128)
    ]

    assert sizes == pytest.approx([0.64, 1.28], rel=1e-9)


def test_zeros_and_what_is_not_finite() -> None:
    """No update has size 0, a blown-up one is nan."""
    assert spectral_norm(np.zeros((3, 2))) == 0.0
    assert math.isnan(spectral_norm(np.array([[1.0, math.inf]])))
