"""Integrated Wiener processes."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.integrate import quad

from hptransfer.statistics import wiener_process


@pytest.mark.parametrize(("order", "factorial"), [(2, 1.0), (3, 2.0)])
@pytest.mark.parametrize(("s", "t"), [(0.4, 0.4), (0.3, 1.7), (2.0, 0.5)])
def test_the_covariance_is_that_of_integrated_white_noise(order: int, factorial: float, s: float, t: float) -> None:
    """E[f(s) f(t)] with f(s) = integral of (s - u)^(m-1) / (m-1)! dW(u), by quadrature (Wahba 1990, eq. 1.5.2)."""
    expected, _ = quad(lambda u: ((s - u) * (t - u)) ** (order - 1) / factorial**2, 0, min(s, t))
    assert wiener_process.covariance(order, np.array(s), np.array(t)) == pytest.approx(expected)


@pytest.mark.parametrize("order", [2, 3])
def test_drawn_paths_have_that_covariance(order: int) -> None:
    """The fixed random numbers are a fair sample: moments within three standard errors."""
    u = np.array([0.5, 1.5, 4.0])
    drawn = wiener_process.paths(order, u, 4.0, 0, slice(None))
    expected = wiener_process.covariance(order, u[:, None], u[None])
    scale = np.sqrt(np.outer(np.diag(expected), np.diag(expected)))
    assert np.abs(drawn @ drawn.T / wiener_process.DRAWS - expected) / scale == pytest.approx(
        0, abs=3 * np.sqrt(2 / wiener_process.DRAWS)
    )


def test_streams_differ_and_repeat() -> None:
    """The same stream gives the same numbers, another stream others."""
    assert (wiener_process.normal(1, 4) == wiener_process.normal(1, 4)).all()
    assert (wiener_process.normal(1, 4) != wiener_process.normal(2, 4)).all()
