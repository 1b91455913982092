"""Points that are known before the first result: scrambled Sobol and a grid. No interruption changes them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Collection, Sequence

import numpy as np

from hptransfer.search.base import Point
from hptransfer.search.space import Space

#: octaves; log-scaled values are tried at 2^(k/16), fine enough to cost nothing and coarse enough to read
LATTICE = 1 / 16


def sobol(space: Space, count: int, seed: int) -> list[Point]:
    """The first `count` points of the search's scrambled Sobol sequence, made by scipy as in Optuna's QMCSampler."""
    from scipy.stats import qmc  # takes a second to import, and most searches need none

    sampler = qmc.Sobol(len(space), scramble=True, rng=np.random.default_rng([seed, len(space)]))
    unit = sampler.random_base2(max(1, math.ceil(math.log2(max(count, 1)))))[:count]
    ends = np.array([axis.ends for axis in space])
    points, known = list[Point](), set[Point]()
    for row in (ends[:, 0] + unit * (ends[:, 1] - ends[:, 0])).tolist():
        near = snap(space, tuple(row))
        points.append(tuple(row) if rounded(near) in known else near)  # a narrow range has few lattice points
        known.add(rounded(points[-1]))
    return points


def grid_shape(dimensions: int, total: int) -> tuple[int, ...]:
    """Values per axis of the largest grid of at most `total` points whose axes differ by one value at most.

    Axes named first get the further value. An axis has at least one.
    """
    each = max(1, math.floor(total ** (1 / dimensions) + 1e-9))
    shape = [each] * dimensions
    for index in range(dimensions):
        shape[index] += 1
        if math.prod(shape) > total:
            shape[index] -= 1
            break
    return tuple(shape)


def grid(space: Space, total: int, seed: int) -> list[Point]:
    """Every point of an even grid over the bounds, in an order drawn from the seed, so that a beginning covers it.

    An axis with one value takes the middle of its range.
    """
    axes = [
        np.linspace(*axis.ends, number).tolist() if number > 1 else [sum(axis.ends) / 2]
        for axis, number in zip(space, grid_shape(len(space), total), strict=True)
    ]
    points = list(itertools.product(*axes))
    return [points[index] for index in np.random.default_rng([seed, len(points)]).permutation(len(points))]


def first_untaken(points: Sequence[Point], taken: Collection[Point], count: int) -> list[Point]:
    """The first `count` points that are neither taken nor repeated."""
    known, chosen = {rounded(point) for point in taken}, list[Point]()
    for point in points:
        if len(chosen) < count and rounded(point) not in known:
            chosen.append(point)
            known.add(rounded(point))
    return chosen


def rounded(point: Point) -> Point:
    """Coordinates are compared after a way through a logarithm and back."""
    return tuple(round(x, 6) for x in point)


def snap(space: Space, point: Point) -> Point:
    """The nearest point of the lattice within the bounds."""
    return tuple(
        min(max(round(x / LATTICE) * LATTICE, axis.ends[0]), axis.ends[1]) for axis, x in zip(space, point, strict=True)
    )
