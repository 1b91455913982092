"""The rough part of a loss curve: integrated Wiener processes, and fixed random numbers to draw them with.

References: Wahba, "Spline models for observational data" (1990), chapter 1; Kimeldorf and Wahba (1970).
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

#: draws per posterior; quantiles at 2.5% are then good to about 7% of a standard deviation
DRAWS = 1024


def covariance(order: int, s: Array, t: Array) -> Array:
    """Covariance at s, t >= 0 of the process whose derivative of this order (2 or 3) is white noise.

    Order 2 has kinks in its slope and goes with cubic splines, order 3 is smoother and goes with quintic ones.
    """
    a, d = np.minimum(s, t), np.abs(s - t)
    if order == 2:
        return np.asarray(a**3 / 3 + d * a**2 / 2)
    return np.asarray((a**5 / 5 + d * a**4 / 2 + d * d * a**3 / 3) / 4)


@lru_cache(maxsize=64)
def paths(order: int, u: tuple[float, ...], stream: int) -> Array:
    """(len(u), DRAWS) draws of the process at u >= 0 from one random stream.

    The numbers are fixed, so the same evidence always gives the same report. Eigenvalues instead of a Cholesky factor,
    because on a dense grid the covariance is all but singular.
    """
    at = np.array(u)
    values, vectors = np.linalg.eigh(covariance(order, at[:, None], at[None]))
    used = values > 1e-13 * values[-1]
    rng = np.random.default_rng([stream, order, 2])
    return np.asarray((vectors[:, used] * np.sqrt(values[used])) @ rng.standard_normal((int(used.sum()), DRAWS)))


@lru_cache(maxsize=256)
def chi_square(stream: int, df: float) -> Array:
    """(DRAWS,) chi-square numbers of a stream."""
    return np.asarray(np.random.default_rng([stream, 4]).chisquare(df, DRAWS))


@lru_cache(maxsize=256)
def normal(stream: int, rows: int) -> Array:
    """(rows, DRAWS) standard normal numbers of a stream."""
    return np.asarray(np.random.default_rng([stream, 1]).standard_normal((rows, DRAWS)))


@lru_cache(maxsize=256)
def uniform(stream: int) -> Array:
    """(DRAWS,) uniform numbers of a stream."""
    return np.asarray(np.random.default_rng([stream, 3]).random(DRAWS))
