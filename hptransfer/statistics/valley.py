"""One valley per loss curve: drawn curves projected onto those that are convex about their minimum.

Seen through noise, a flat bottom has as many dips as it has values, and some value always looks better than another
by about a standard error. A loss curve along a learning rate has one valley. So each draw is moved, as little as can
be, to where it is convex about its minimum: dips that runs cannot tell apart become one flat stretch. Draws of a
posterior that are projected onto what is known of the function are draws of a posterior again, which contracts no
slower (Lin & Dunson, Biometrika 101, 2014, for monotone functions and Gaussian processes).

"As little as can be" is meant in the metric of the draws' own covariance: what runs leave open moves, and takes along
what it is correlated with, and what they fix stays.
"""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import numpy.typing as npt

from hptransfer.statistics.arrays import Array

#: most bends that are looked at; there are 2^n sets of them that may be straightened
_MOST = 7
#: central share of the draws' minima that the valley's bottom spans
_PLAUSIBLE = 0.95
#: a bend is no valley's where draws put it below 0 by more than this many standard deviations on average
_CLEARLY = 2.0
#: bends this far below 0, in their standard deviations, are left
_SLIGHT = 0.01
#: variance added to bends, in units of their own, that keeps sets of them regular
_RIDGE = 1e-3
#: fewer draws say nothing of how they vary
_FEWEST = 2
#: pivots of whole sets, before one bend after another is exchanged, which always ends
_BLOCK, _PIVOTS = 6, 60


def one_valley(grid: Array, curves: Array, x: Array) -> Array:
    """Draws of one size's curve, convex about their minimum where runs do not contradict that.

    Args:
        grid: (G,) evenly spaced log2 values.
        curves: (G, n) drawn losses, finite.
        x: (m,) log2 values of the runs that lie on the curve, increasing.

    Returns:
        (G, n) losses; draws that are convex at the bottom are as they were.
    """
    draws, place = curves.shape[1], float((x[-1] - grid[0]) / (grid[1] - grid[0]))
    if draws < _FEWEST:
        return curves
    # beyond the runs draws may be wild
    seen = min(math.ceil(place - 1e-6) + 1, len(grid))
    lowest, highest = float(curves[:seen].min()), float(curves[:seen].max())
    if not 0 < highest - lowest < math.inf:
        return curves
    heights = (curves[:seen] - lowest) / (highest - lowest)
    knots, centre = _bottom(grid, heights, x)
    bends = np.diff(np.diff(_at(grid, heights, knots), axis=0) / np.diff(knots)[:, None], axis=0)
    middle, spread = np.median(bends, axis=1), bends.std(axis=1)
    used = _about(knots[1:-1], centre, middle >= -_CLEARLY * spread) & (spread > 0)
    scaled = bends[used] / spread[used, None]
    bad = np.flatnonzero((scaled < -_SLIGHT).any(axis=0))
    if not len(bad):
        return curves
    apart = scaled - scaled.mean(axis=1, keepdims=True)
    multiples = np.zeros((len(apart), draws))
    multiples[:, bad] = _multiples(apart @ apart.T / draws + _RIDGE * np.eye(len(apart)), scaled[:, bad])
    taken_along = np.empty((len(grid), len(apart)))
    taken_along[:seen] = heights @ apart.T * ((highest - lowest) / draws)
    taken_along[seen:] = taken_along[seen - 1]
    return np.asarray(curves + taken_along @ multiples)


def _bottom(grid: Array, curves: Array, x: Array) -> tuple[Array, float]:
    """Where bends are looked at, and where curves are lowest on average.

    Bends are looked at about the values where draws are lowest, up to the next ones outside, and halfway between;
    evenly where these are too many.

    Returns:
        (k,) log2 values, k >= 3, and one.
    """
    tail = (1 - _PLAUSIBLE) / 2
    places = np.sort(np.concatenate([x, (x[1:] + x[:-1]) / 2]))
    losses = _at(grid, curves, places)
    low, high = np.quantile(places[losses.argmin(axis=0)], (tail, 1 - tail))
    centre = float(places[losses.mean(axis=1).argmin()])
    first = max(0, int(np.searchsorted(x, low)) - 1)
    near = x[first : max(first + 1, int(np.searchsorted(x, high, "right"))) + 1]
    if 2 * len(near) - 1 > _MOST + 2:
        return np.linspace(near[0], near[-1], _MOST + 2), centre
    return np.sort(np.concatenate([near, (near[1:] + near[:-1]) / 2])), centre


def _at(grid: Array, curves: Array, places: Array) -> Array:
    """(k, n) losses at (k,) log2 values within the first of the grid, where curves are, linear between them."""
    place = (places - grid[0]) / (grid[1] - grid[0])
    cell = np.clip(place.astype(np.intp), 0, len(curves) - 2)
    share = (place - cell)[:, None]
    return np.asarray((1 - share) * curves[cell] + share * curves[cell + 1])


def _about(places: Array, centre: float, convex: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """(k,) which places are joined to the one nearest the centre by none where the curve is clearly not convex."""
    start = int(np.abs(places - centre).argmin())
    right = np.logical_and.accumulate(convex[start:])
    left = np.logical_and.accumulate(convex[: start + 1][::-1])[::-1]
    return np.concatenate([left[:-1], right])


@cache
def _sets(size: int) -> npt.NDArray[np.bool_]:
    """(2^size, size) every set of so many bends, numbered in binary."""
    return np.asarray((np.arange(2**size)[:, None] >> np.arange(size)) & 1, dtype=bool)


def _multiples(covariance: Array, bends: Array) -> Array:
    """(q, n) least multiples of the covariance's columns, at least 0, that leave no bend below 0.

    That is the linear complementarity problem of a quadratic programme: the straightened bends are found by principal
    pivoting, first of all that are wrong at once (Kostreva 1978), then of the last one only (Murty 1974), which ends.

    Args:
        covariance: (q, q) of the bends.
        bends: (q, n) of each draw.
    """
    size = len(bends)
    chosen = _sets(size)
    both = chosen[:, :, None] & chosen[:, None]
    inverses = np.linalg.inv(np.where(both, covariance, np.eye(size))) * both
    code, power = (1 << np.arange(size)) @ (bends < 0), 1 << np.arange(size)
    found = np.zeros_like(bends)
    open_ = np.arange(bends.shape[1])
    for step in range(_PIVOTS):
        mine = bends[:, open_]
        multiples = -np.einsum("nij,jn->in", inverses[code[open_]], mine)
        left = mine + covariance @ multiples
        wrong = np.where(chosen[code[open_]].T, multiples < 0, left < -1e-9)
        found[:, open_] = np.maximum(multiples, 0.0)
        if step >= _BLOCK:
            wrong &= np.cumsum(wrong[::-1], axis=0)[::-1] == 1
        code[open_] ^= power @ wrong
        open_ = open_[wrong.any(axis=0)]
        if not len(open_):
            break
    return found
