"""Several hyperparameters at once: their optimum at every size, and the curve of each with the others at their best.

What carries over is asked of each hyperparameter while the others are free: its profile, the lowest loss that the
surface has at each of its values. A slice at fixed values of the others shows the same only while it goes through the
optimum, or where the two do not interact.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from hptransfer.statistics.arrays import Array
from hptransfer.statistics.curve import CurveDraws
from hptransfer.statistics.interval import Interval
from hptransfer.statistics.seed_means import Point
from hptransfer.statistics.sensitivity import octave_off
from hptransfer.statistics.surface_model import Hypothesis, Monomials, SurfaceDraws, SurfaceModel
from hptransfer.statistics.surface_runs import SizeRuns, SurfaceRun, quadratic_terms, sort_runs
from hptransfer.statistics.wiener_process import DRAWS, normal

#: nodes of a profile, and of each of the others that it is minimised over, for 2 and 3 hyperparameters
_NODES = {2: (61, 25), 3: (33, 13)}
#: a surface is asked up to this multiple of the largest leverage of a run
_LEVERAGE = 2.0
#: and beyond while its standard error is under this share of its height above the lowest, or this much of a run's noise
_KNOWN = 0.25
_KNOWN_NOISE = 2.0
_SAMPLE = 256
#: places at which it is asked whether a way from an optimum leaves the runs' region, its ends among them
_WAY = 25
#: steps from the lowest node to the minimum between nodes
_STEPS = 3
#: a profile ends where the others' best values lie beyond the runs in more than this share of the draws
_LIMITED = 0.25
#: a share of draws whose curvature has no minimum, above which a correlation is open
_UNDEFINED = 0.025


@dataclass(frozen=True, slots=True)
class _Part:
    """Draws under one hypothesis: which of all draws, and their surfaces."""

    part: slice
    drawn: SurfaceDraws


@dataclass(frozen=True, slots=True)
class Profile:
    """One hyperparameter at one size with the others at their best.

    Attributes:
        draws: curves over its values, as those of a slice are.
        points: the runs that inform the surface, each with its loss corrected to the others' best values by the mean
            surface; values at which all runs blew up, as divergences.
    """

    draws: CurveDraws
    points: tuple[Point, ...]


class Surface:
    """The surfaces of all sizes, as draws that are compatible with the runs."""

    def __init__(self, sizes: Sequence[SizeRuns], noise: float | None = None) -> None:
        """Fit.

        Args:
            sizes: the sorted runs of each size, as `sort_runs` returns them.
            noise: standard deviation of one run in the losses' unit where it is known from elsewhere.
        """
        self.sizes = tuple(sizes)
        self.model = SurfaceModel(sizes, noise)
        self.dimension = self.model.d
        chosen = self.model.hypotheses()
        normals = normal(40, self.model.columns)
        self.mean = self.model.draw(chosen[0][0], np.zeros((self.model.columns, 1)))
        self._parts = tuple(
            _Part(part, self.model.draw(hypothesis, normals[:, part])) for hypothesis, part in _allotted(chosen)
        )
        self._monomials: Monomials = self.model.monomials
        sample = self.model.draw(chosen[0][0], normals[:, :_SAMPLE]).coefficients
        self._regions = tuple(
            _Region.of(runs, self.model.reach, self._monomials, sample[size], float(self.mean.noise[size]) * unit)
            for size, (runs, unit) in enumerate(zip(sizes, self._units(), strict=True))
        )

    def profile(self, size: int, axis: int, at: float | None = None) -> Profile:
        """The curve of one hyperparameter with the others at their best.

        Args:
            size: index of the size.
            axis: index of the hyperparameter.
            at: log2 value whose loss is wanted as well.
        """
        grid, nodes, others = self._regions[size].along(axis, _NODES[self.dimension])
        curves, limited = np.empty((len(grid), DRAWS)), np.empty((len(grid), DRAWS), dtype=bool)
        for each in self._parts:
            z, limited[:, each.part] = self._lowest(size, each.drawn.coefficients[size], axis, nodes, others)
            curves[:, each.part] = each.drawn.scale.expand(z)
        middle = self._lowest(size, self.mean.coefficients[size], axis, nodes, others)[0][:, 0]
        points = self._points(size, axis, grid, middle)
        log2 = self.sizes[size].centre[axis] + grid * self.model.reach[axis]
        kept = _around(np.median(curves, axis=1).argmin(), limited.mean(axis=1) <= _LIMITED)
        return Profile(self._curve_draws(size, axis, log2[kept], curves[kept], limited[kept], at), points)

    def cost_together(self, size: int, at: Sequence[float]) -> Array:
        """(DRAWS,) loss at one combination above the lowest loss; nan where it lies outside the runs' region.

        Args:
            size: index of the size.
            at: (d,) log2 values of the combination.
        """
        u = (np.asarray(at) - self.sizes[size].centre) / self.model.reach
        cost = np.full(DRAWS, math.nan)
        if not self._regions[size].contains(u[None])[0]:
            return cost
        _, nodes, others = self._regions[size].along(0, _NODES[self.dimension])
        for each in self._parts:
            coefficients = each.drawn.coefficients[size]
            here = each.drawn.scale.expand(self._monomials.values(u) @ coefficients)
            lowest = each.drawn.scale.expand(self._lowest(size, coefficients, 0, nodes, others)[0].min(axis=0))
            cost[each.part] = np.maximum(here - lowest, 0)
        return cost

    def lost_off(self, size: int, off: Array) -> tuple[Array, Array]:
        """What being off the optimum in all hyperparameters costs, draw by draw: (least, most).

        Args:
            size: index of the size.
            off: (d, DRAWS) octaves above each draw's own optimum.

        Returns:
            (DRAWS,) losses above the lowest, twice. Outside the runs' region the cost is at least that where the way
            there leaves it, and nothing bounds it from above.
        """
        least, most = np.empty(DRAWS), np.empty(DRAWS)
        for each in self._parts:
            coefficients = each.drawn.coefficients[size]
            start = self._minimum(size, coefficients)
            way = off[:, each.part].T / self.model.reach
            share = self._within(size, start, way)
            values = [
                each.drawn.scale.expand(np.einsum("nm,mn->n", self._monomials.values(at), coefficients))
                for at in (start, start + share[:, None] * way)
            ]
            least[each.part] = np.maximum(values[1] - values[0], 0.0)
            most[each.part] = np.where(share < 1, math.inf, least[each.part])
        return least, most

    def _within(self, size: int, start: Array, way: Array) -> Array:
        """(n,) the share of each way that lies in the runs' region, from its start on."""
        shares = np.linspace(0.0, 1.0, _WAY)
        steps = (start[:, None] + shares[:, None] * way[:, None]).reshape(-1, self.dimension)
        inside = self._regions[size].contains(steps).reshape(len(start), _WAY)
        # draws whose optimum lies on the region's edge begin there
        inside[:, 0] = True
        unbroken = np.logical_and.accumulate(inside, axis=1).sum(axis=1)
        return np.asarray(shares[unbroken - 1])

    def interaction(self, size: int, first: int, second: int) -> tuple[Interval, Interval]:
        """How two hyperparameters interact at the optimum of one size.

        Args:
            size: index of the size.
            first: index of one hyperparameter.
            second: index of the other.

        Returns:
            Correlation H_ij / sqrt(H_ii H_jj) of the curvature, in [-1, 1]; and the octaves by which the best value of
            `first` moves per octave of `second` while everything else stays.
        """
        correlation, slope = np.full(DRAWS, math.nan), np.full(DRAWS, math.nan)
        for each in self._parts:
            coefficients = each.drawn.coefficients[size]
            at = self._minimum(size, coefficients)
            one, other, cross = (
                self._derivative(coefficients, at, pair) for pair in ((first, first), (second, second), (first, second))
            )
            curved = (one > 0) & (other > 0)
            with np.errstate(divide="ignore", invalid="ignore"):
                correlation[each.part] = np.where(curved, np.clip(cross / np.sqrt(one * other), -1, 1), math.nan)
                slope[each.part] = np.where(curved, -cross / one, math.nan)
        reach = self.model.reach
        return _interval(correlation, 1.0), _interval(slope * reach[first] / reach[second], math.inf)

    def _units(self) -> Array:
        """(K,) slope of the mean surface's scale at each size's lowest loss."""
        return self.mean.scale.steepness(np.array([size.y.min() for size in self.sizes]))

    # ---- minima

    def _minimum(self, size: int, coefficients: Array) -> Array:
        """(n, d) position of each draw's lowest node, moved to the minimum near it."""
        grid, nodes, others = self._regions[size].along(0, _NODES[self.dimension])
        z, _ = self._lowest(size, coefficients, 0, nodes, others)
        start = np.concatenate([grid[z.argmin(axis=0)][:, None], self._at_best(coefficients, nodes, others, z)], axis=1)
        return self._descended(
            coefficients, start, range(self.dimension), self._regions[size].steps(_NODES[self.dimension])
        )

    def _at_best(self, coefficients: Array, nodes: Array, others: npt.NDArray[np.bool_], z: Array) -> Array:
        """(n, d - 1) where the others are lowest at each draw's lowest value of the first."""
        value = z.argmin(axis=0)
        values = np.einsum("ncm,mn->nc", self._monomials.values(nodes[value]), coefficients)
        lowest = np.where(others[value], values, np.inf).argmin(axis=1)
        return np.asarray(nodes[value, lowest, 1:])

    def _lowest(
        self, size: int, coefficients: Array, axis: int, nodes: Array, usable: npt.NDArray[np.bool_]
    ) -> tuple[Array, npt.NDArray[np.bool_]]:
        """(G, n) lowest value over the others at each node of one axis, and whether the runs' region ends before it."""
        free = [other for other in range(self.dimension) if other != axis]
        step = np.ptp(nodes, axis=(0, 1)) / (_NODES[self.dimension][1] - 1)
        values = np.where(usable[..., None], self._monomials.values(nodes) @ coefficients, np.inf)
        where = values.argmin(axis=1)
        start = nodes[np.arange(len(nodes))[:, None], where]
        moved = self._descended(coefficients, start, free, step)
        at = np.einsum("gnm,mn->gn", self._monomials.values(moved), coefficients)
        stopped = (np.abs(moved - start)[..., free] >= (1 - 1e-9) * step[free]).any(axis=-1)
        limited = np.zeros(stopped.shape, dtype=bool)
        limited[stopped] = ~self._regions[size].among_runs(moved[stopped])
        return np.minimum(values.min(axis=1), at), limited

    def _descended(self, coefficients: Array, start: Array, free: Sequence[int], step: Array) -> Array:
        """(..., n, d) positions after Newton's steps along the free axes, within one node of the start."""
        at, low, high = start.copy(), start - step, start + step
        for _ in range(_STEPS):
            slope = np.stack([self._derivative(coefficients, at, (axis,)) for axis in free], axis=-1)
            bend = np.empty((*slope.shape, len(free)))
            for i, one in enumerate(free):
                for j, other in enumerate(free[: i + 1]):
                    bend[..., i, j] = bend[..., j, i] = self._derivative(coefficients, at, (one, other))
            values, vectors = np.linalg.eigh(bend) if len(free) > 1 else (bend[..., 0], np.ones_like(bend))
            # along directions that bend downwards there is no minimum to step to
            turned = np.einsum("...ij,...i->...j", vectors, slope)
            curved = values > 1e-3 * np.abs(values).max(axis=-1, keepdims=True) + 1e-300
            stride = np.where(curved, turned / np.where(curved, values, 1.0), 0.0)
            at[..., free] -= np.einsum("...ij,...j->...i", vectors, stride)
            at = np.clip(at, low, high)
        return at

    def _derivative(self, coefficients: Array, at: Array, axes: Sequence[int]) -> Array:
        """(..., n) derivative of each draw's surface at its own positions (..., n, d)."""
        return np.asarray(np.einsum("...nm,mn->...n", self._monomials.values(at, axes), coefficients))

    # ---- one hyperparameter

    def _points(self, size: int, axis: int, grid: Array, middle: Array) -> tuple[Point, ...]:
        """The informative runs along one axis, with the others' departures from their best taken off."""
        runs, scale = self.sizes[size], self.mean.scale
        at, losses, seeds = runs.single
        u = (at - runs.centre) / self.model.reach
        surface = self._monomials.values(u) @ self.mean.coefficients[size][:, 0]
        corrected = scale.expand(scale.compress(losses) - surface + np.interp(u[:, axis], grid, middle))
        points = [
            Point(float(x), int(seed), float(loss)) for x, seed, loss in zip(at[:, axis], seeds, corrected, strict=True)
        ]
        # a run that lies on the surface at a larger value shows that another hyperparameter blew one up
        highest = float(at[:, axis].max())
        walls = {float(x) for x in np.round(runs.blown[:, axis], 9) if x > highest + 1e-9}
        return (*points, *(Point(x, 0, math.inf, diverged=True) for x in sorted(walls)))

    def _curve_draws(
        self,
        size: int,
        axis: int,
        grid: Array,
        curves: Array,
        limited: npt.NDArray[np.bool_],
        at: float | None,
    ) -> CurveDraws:
        where, column = curves.argmin(axis=0), np.arange(DRAWS)
        middle = np.clip(where, 1, len(grid) - 2)
        interior = (where > 0) & (where < len(grid) - 1)
        left, centre, right = (curves[middle + step, column] for step in (-1, 0, 1))
        bend = np.where(interior, left - 2 * centre + right, 0.0)
        shift = np.divide(left - right, 2 * bend, out=np.zeros(DRAWS), where=bend > 0)
        optimum = grid[where] + np.clip(shift, -1, 1) * (grid[1] - grid[0])
        blown = self.sizes[size].blown[:, axis]
        asked = _interpolated(grid, curves, at)
        # where the others' best lies beyond the runs, so may this one's, on either side
        beyond = limited[where, column]
        return CurveDraws(
            optimum=optimum,
            abrupt=optimum,
            below=((where == 0) & bool((blown >= grid[0]).all())) | (beyond & (column % 2 == 0)),
            above=((where == len(grid) - 1) & bool((blown <= grid[-1]).all())) | (beyond & (column % 2 == 1)),
            loss=np.fmin(curves[where, column], asked),
            seed_effect=self._seed_effect[size] * normal(70, len(self.sizes))[size],
            typical=curves[int(np.median(curves, axis=1).argmin())],
            at=asked,
            octave_off=octave_off(grid, curves, where, beyond=math.nan),
            noise=self._noise(size),
            low=float(grid[0]),
            high=float(grid[-1]),
            grid=grid,
            median=np.median(curves, axis=1),
            curves=curves,
        )

    @cached_property
    def _seed_effect(self) -> Array:
        """(K,) standard errors of the sizes' losses due to what a seed does to all runs alike, in the losses' unit.

        It moves no optimum, but sizes are compared across it. With one seed it is taken to be like the noise.
        """
        squares, freedom = float(np.mean([self._noise(size) ** 2 for size in range(len(self.sizes))])), 1
        for size, runs in enumerate(self.sizes):
            u = (runs.x - runs.centre) / self.model.reach
            surface = self.mean.scale.expand(self._monomials.values(u) @ self.mean.coefficients[size][:, 0])
            means = [float((runs.y - surface)[runs.seed == seed].mean()) for seed in self.model.crossed[size]]
            if len(means) > 1:
                squares, freedom = squares + float(np.var(means)) * len(means), freedom + len(means) - 1
        seeds = np.array([max(1, len(found)) for found in self.model.crossed])
        return np.asarray(np.sqrt(squares / freedom / seeds))

    def _noise(self, size: int) -> float:
        """Standard deviation of one run near the optimum, in the losses' unit."""
        squares = [(each.part.stop - each.part.start) * each.drawn.noise[size] ** 2 for each in self._parts]
        return math.sqrt(float(sum(squares)) / DRAWS)


def fit_surface(sizes: Sequence[tuple[float, Sequence[SurfaceRun]]], *, noise: float | None = None) -> Surface | None:
    """Fit the surfaces of all sizes together; None where the runs cannot show one (see `sort_runs`).

    Args:
        sizes: (log2 of the size, its runs) each, at least one; the runs' order does not matter.
        noise: standard deviation of one run in the losses' unit where it is known from elsewhere.

    Raises:
        UsageError: fewer than two hyperparameters, or too many.
    """
    found = sort_runs(sizes)
    return None if found is None else Surface(found, noise)


@dataclass(frozen=True, slots=True)
class _Region:
    """Where the runs of one size say something, in half-widths about its centre.

    That is within their range, where the terms' leverage is not much larger than at the runs themselves (Cook, 1977) or
    where the surface is known much better than it is high; and not behind a run that blew up.
    """

    monomials: Monomials
    low: Array
    high: Array
    solved: Array
    threshold: float
    mean: Array
    spread: Array
    bottom: float
    noise: float
    walls: Array
    normals: Array

    @classmethod
    def of(cls, size: SizeRuns, reach: Array, monomials: Monomials, sample: Array, noise: float) -> _Region:
        u = (size.x - size.centre) / reach
        rich = len(np.unique(u.round(9), axis=0)) >= 2 * _features(u[:1], second=True).shape[1]
        features = _features(u, second=rich)
        solved = np.linalg.pinv(features.T @ features, rcond=1e-9, hermitian=True)
        walls, normals = _walls(u, size.y, (size.blown - size.centre) / reach)
        mean = sample.mean(axis=1)
        return cls(
            monomials=monomials,
            low=u.min(axis=0),
            high=u.max(axis=0),
            solved=np.asarray(solved, dtype=float),
            threshold=_LEVERAGE * float(np.einsum("ni,ij,nj->n", features, solved, features).max()),
            mean=mean,
            spread=np.cov(sample),
            bottom=float((monomials.values(u) @ mean).min()),
            noise=noise,
            walls=walls,
            normals=normals,
        )

    def among_runs(self, u: Array) -> npt.NDArray[np.bool_]:
        """Mark the positions (n, d) about which the runs say something, be it that training blows up."""
        features = _features(u, second=len(self.solved) > u.shape[1] + 1)
        near = np.einsum("ni,ij,nj->n", features, self.solved, features) <= self.threshold
        values = self.monomials.values(u)
        error = np.sqrt(np.maximum(np.einsum("ni,ij,nj->n", values, self.spread, values), 0))
        known = error <= np.maximum(_KNOWN * (values @ self.mean - self.bottom), _KNOWN_NOISE * self.noise)
        within = ((u >= self.low - 1e-9) & (u <= self.high + 1e-9)).all(axis=1)
        return np.asarray((near | known) & within)

    def contains(self, u: Array) -> npt.NDArray[np.bool_]:
        """Mark the positions (n, d) that lie in the region."""
        inside = self.among_runs(u)
        if len(self.walls):
            beyond = np.einsum("nd,bd->nb", u, self.normals) - np.einsum("bd,bd->b", self.walls, self.normals)
            inside &= (beyond < 0).all(axis=1)
        return np.asarray(inside)

    def steps(self, nodes: tuple[int, int]) -> Array:
        """(d,) distances of the nodes where the others are minimised."""
        return np.asarray((self.high - self.low) / (nodes[1] - 1))

    def along(self, axis: int, nodes: tuple[int, int]) -> tuple[Array, Array, npt.NDArray[np.bool_]]:
        """Values of one axis (G,), nodes of all axes at each (G, C, d), and which of these count (G, C)."""
        lines = [
            np.linspace(self.low[other], self.high[other], nodes[0] if other == axis else nodes[1])
            for other in range(len(self.low))
        ]
        mesh = np.stack(np.meshgrid(*lines, indexing="ij"), axis=-1)
        mesh = np.moveaxis(mesh, axis, 0).reshape(nodes[0], -1, len(lines))
        usable = self.contains(mesh.reshape(-1, len(lines))).reshape(mesh.shape[:2])
        some = np.flatnonzero(usable.any(axis=1))
        first, last = (int(some[0]), int(some[-1])) if len(some) else (0, nodes[0] - 1)
        first = min(first, nodes[0] - 3)
        kept = slice(first, max(last + 1, first + 3))
        # the region has no gaps but for walls, and behind those nothing is asked
        usable[~usable.any(axis=1)] = True
        return lines[axis][kept], mesh[kept], np.asarray(usable[kept], dtype=bool)


def _walls(u: Array, y: Array, blown: Array) -> tuple[Array, Array]:
    """Runs behind which the optimum does not lie, and the directions away from the best run.

    Behind one is what lies further in its direction. A run that blew up in front of others that trained is an accident.
    """
    positions = {tuple(row) for row in blown.round(9)}
    clean = np.array([tuple(row) not in positions for row in u.round(9)])
    if not len(blown) or not clean.any():
        return blown[:0], blown[:0]
    normals = blown - u[clean][y[clean].argmin()]
    behind = np.einsum("nd,bd->nb", u, normals) - np.einsum("bd,bd->b", blown, normals)
    walls = (behind < 1e-9).all(axis=0)
    return blown[walls], normals[walls]


def _features(u: Array, *, second: bool) -> Array:
    linear = np.concatenate([np.ones((len(u), 1)), u], axis=1)
    return np.concatenate([linear, quadratic_terms(u)], axis=1) if second else linear


def _allotted(chosen: Sequence[tuple[Hypothesis, float]]) -> list[tuple[Hypothesis, slice]]:
    """Share out the draws among hypotheses in proportion to their weight."""
    ends = np.round(np.cumsum([weight for _, weight in chosen]) * DRAWS).astype(int)
    starts = [0, *ends[:-1]]
    return [
        (hypothesis, slice(int(start), int(end)))
        for (hypothesis, _), start, end in zip(chosen, starts, ends, strict=True)
        if end > start
    ]


def _interpolated(grid: Array, curves: Array, at: float | None) -> Array:
    """(DRAWS,) losses at one value; nan outside the grid."""
    if at is None or not grid[0] - 1e-9 <= at <= grid[-1] + 1e-9:
        return np.full(curves.shape[1], math.nan)
    cell = int(np.clip(np.searchsorted(grid, at, side="right") - 1, 0, len(grid) - 2))
    share = float(np.clip((at - grid[cell]) / (grid[cell + 1] - grid[cell]), 0, 1))
    return np.asarray((1 - share) * curves[cell] + share * curves[cell + 1])


def _around(middle: np.intp, usable: npt.NDArray[np.bool_]) -> slice:
    """The unbroken stretch of usable nodes around one, three nodes at least."""
    gaps = np.flatnonzero(~usable)
    first = int(gaps[gaps < middle].max(initial=-1)) + 1
    end = int(gaps[gaps > middle].min(initial=len(usable)))
    return slice(max(0, min(first, len(usable) - 3)), max(end, min(len(usable), first + 3)))


def _interval(draws: Array, limit: float) -> Interval:
    """Median and central 95%; open where too many draws have no minimum."""
    seen = draws[np.isfinite(draws)]
    if len(seen) < (1 - _UNDEFINED) * len(draws):
        return Interval(0.0, -limit, limit)
    low, middle, high = (float(q) for q in np.quantile(seen, (0.025, 0.5, 0.975)))
    return Interval(middle, low, high)
