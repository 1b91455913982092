"""One searched hyperparameter: octaves over the whole range first, then ever finer steps around the running minimum.

Eight even points and a smooth fit find a one-dimensional optimum (reference measurements: 96 to 100% of runs within
0.25% excess loss), so what is left of the budget refines and steadies the estimate. Every step depends only on what is
finished, so an interrupted search goes on with the points it would have tried anyway.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from itertools import pairwise

from hptransfer.search.space import Axis
from hptransfer.statistics.optimum import estimate_optimum
from hptransfer.statistics.seed_means import Point

#: fewer coarse points do not show where the minimum is
_FEWEST_COARSE = 5
#: coarse points may take this share of the trials, so that some are left for refinement
_COARSE_SHARE = 2 / 3
#: octaves from the best point beyond which a flank that only rises is not explored further
_FLANK = 3.0
#: refinement reaches this many steps to each side of the running minimum
_REACH = 4
#: halvings of the coarse step
_LEVELS = 7


def propose(
    axis: Axis, finished: Sequence[Point], unavailable: Collection[float], *, spacing: float, count: int, total: int
) -> list[float]:
    """Coordinates to try next.

    Args:
        axis: the searched hyperparameter with its bounds.
        finished: results so far, x in the axis's coordinate.
        unavailable: coordinates decided before, whatever became of them; none is proposed again.
        spacing: step of `check`'s grid, octaves; all points are its multiples or halvings.
        count: largest number of coordinates wanted.
        total: number of trials of the whole search, which decides how many are coarse.

    Returns:
        Up to `count` coordinates; none when everything diverged, or the finest lattice is used up.
    """
    step = coarse_step(axis, spacing, total)
    known = {_rounded(point.x) for point in finished} | {_rounded(x) for x in unavailable}
    coarse = [
        x for x in van_der_corput_order(axis.lattice(step)) if _rounded(x) not in known and not is_excluded(x, finished)
    ]
    if coarse:
        return coarse[:count]
    if all(point.diverged for point in finished):
        return []
    centre = running_minimum(finished)
    for candidates in _finer(axis, step, centre):
        fresh = [x for x in candidates if _rounded(x) not in known and not is_excluded(x, finished)]
        if fresh:
            return fresh[:count]
    return []


def coarse_step(axis: Axis, spacing: float, total: int) -> float:
    """The first step: about an octave, less in a narrow range, more where the budget does not cover the range.

    Returns:
        `spacing` times a power of two.
    """
    step = spacing
    while step < 1.0:
        step *= 2
    while len(axis.lattice(step)) < _FEWEST_COARSE and step > spacing / 2**_LEVELS:
        step /= 2
    while len(axis.lattice(step)) > _COARSE_SHARE * total and len(axis.lattice(2 * step)) >= _FEWEST_COARSE:
        step *= 2
    return step


def van_der_corput_order(points: Sequence[float]) -> list[float]:
    """The points in van der Corput order: every beginning of the list covers the range evenly.

    Source: van der Corput, "Verteilungsfunktionen" (1935): the digits of the index in base 2, reversed.
    """
    bits = max(len(points) - 1, 0).bit_length()
    order = (int(format(index, f"0{bits}b")[::-1], 2) for index in range(2**bits)) if bits else iter(range(len(points)))
    return [points[index] for index in order if index < len(points)]


def is_excluded(x: float, finished: Sequence[Point]) -> bool:
    """Whether a point lies where nothing good can be: beyond two divergences, or far out on a flank that only rises."""
    finite = sorted((point.x, point.loss) for point in finished if not point.diverged)
    if not finite:
        return False
    walls = sorted(point.x for point in finished if point.diverged and point.x > finite[-1][0])
    if len(walls) >= 2 and x > walls[0]:
        return True
    best = min(finite, key=lambda pair: pair[1])[0]
    if abs(x - best) <= _FLANK:
        return False
    flank = [loss for at, loss in finite if (at <= best if x < best else at >= best)]
    towards = flank if x < best else flank[::-1]
    return len(towards) >= 3 and all(far > near for far, near in pairwise(towards))


def running_minimum(finished: Sequence[Point]) -> float:
    """The estimated optimum, or the best point where an estimate needs more."""
    return estimate_optimum(finished).log2_value


def _finer(axis: Axis, step: float, centre: float) -> Iterator[list[float]]:
    """Candidates around the centre, nearest first: finer and finer, then farther and farther."""
    low, high = axis.ends
    reach = float(_REACH)
    while True:
        for level in range(1, _LEVELS + 1):
            fine = step / 2**level
            near = (x for x in axis.lattice(fine) if abs(x - centre) <= reach * fine)
            yield sorted(near, key=lambda x: (abs(x - centre), x))
        if reach * step / 2**_LEVELS > high - low:
            return
        reach *= 2


def _rounded(x: float) -> float:
    """Coordinates are compared after a way through a logarithm and back."""
    return round(x, 6)
