"""The rough part of a loss curve: integrated Wiener processes, and fixed random numbers to draw them with.

References: Wahba, "Spline models for observational data" (1990), chapter 1; Kimeldorf and Wahba (1970).
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from hptransfer.statistics.arrays import Array, root_of

#: draws per posterior; quantiles at 2.5% are then good to about 7% of a standard deviation
DRAWS = 1024
#: nodes between which a drawn path is interpolated
_NODES = 256


def covariance(order: int, s: Array, t: Array) -> Array:
    """Covariance at s, t >= 0 of the process whose derivative of this order (2 or 3) is white noise.

    Order 2 may turn sharply and goes with cubic splines, order 3 is smoother and goes with quintic ones.

    Args:
        order: 2 or 3, the derivative that is white noise.
        s: positions, at least 0; any shape.
        t: positions, at least 0; broadcast against `s`.
    """
    a, d = np.minimum(s, t), np.abs(s - t)
    if order == 2:
        return np.asarray(a**3 / 3 + d * a**2 / 2)
    return np.asarray((a**5 / 5 + d * a**4 / 2 + d * d * a**3 / 3) / 4)


def paths(order: int, u: Array, span: float, stream: int, part: slice) -> Array:
    """(len(u), n) draws of the process at 0 <= u <= span: a part of the stream's paths, whatever u is asked for.

    Args:
        order: 2 or 3, the derivative that is white noise.
        u: (m,) positions between 0 and `span`.
        span: largest position of the process, positive.
        stream: number of the random stream.
        part: which of the `DRAWS` draws of the stream.
    """
    place = np.clip(u / span, 0, 1) * _NODES
    cell = np.minimum(place.astype(np.intp), _NODES - 1)
    share = (place - cell)[:, None]
    unit = _unit_paths(order, stream)[:, part]
    # the process is self-similar: stretching time by s multiplies it by s^(order - 1/2)
    return np.asarray(span ** (order - 0.5) * ((1 - share) * unit[cell] + share * unit[cell + 1]))


@lru_cache(maxsize=128)
def _unit_paths(order: int, stream: int) -> Array:
    """(nodes + 1, DRAWS) draws on [0, 1]; the numbers are fixed, so the same evidence gives the same report."""
    root = _unit_root(order)
    rng = np.random.default_rng([stream, order, 2])
    return np.asarray(root @ rng.standard_normal((len(root), DRAWS)))


@lru_cache(maxsize=2)
def _unit_root(order: int) -> Array:
    """(nodes + 1, nodes + 1) root of the covariance on the nodes, which is all but singular."""
    at = np.linspace(0, 1, _NODES + 1)
    return root_of(covariance(order, at[:, None], at[None]))


@lru_cache(maxsize=256)
def chi_square(stream: int, df: float) -> Array:
    """(DRAWS,) chi-square numbers of a stream.

    Args:
        stream: number of the random stream.
        df: degrees of freedom, positive.
    """
    return np.asarray(np.random.default_rng([stream, 4]).chisquare(df, DRAWS))


@lru_cache(maxsize=256)
def normal(stream: int, rows: int) -> Array:
    """(rows, DRAWS) standard normal numbers of a stream.

    Args:
        stream: number of the random stream.
        rows: number of rows, at least 1.
    """
    return np.asarray(np.random.default_rng([stream, 1]).standard_normal((rows, DRAWS)))


@lru_cache(maxsize=256)
def uniform(stream: int) -> Array:
    """(DRAWS,) uniform numbers of a stream."""
    return np.asarray(np.random.default_rng([stream, 3]).random(DRAWS))
