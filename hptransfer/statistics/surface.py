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
from hptransfer.statistics.curve import CurveDraws, octave_off
from hptransfer.statistics.interval import Interval
from hptransfer.statistics.seed_means import Point, average_seeds, pooled_noise, seed_effect_std
from hptransfer.statistics.surface_model import Hypothesis, Monomials, Scale, SurfaceDraws, SurfaceModel
from hptransfer.statistics.surface_runs import SizeRuns, SurfaceRun, quadratic_terms, sort_runs
from hptransfer.statistics.wiener_process import DRAWS, normal

#: nodes of a profile, and of each of the others that it is minimised over, for 2 and 3 hyperparameters
_NODES = {2: (61, 25), 3: (33, 13)}
#: steps from the lowest node to the minimum between nodes
_STEPS = 3
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

    def __init__(self, sizes: Sequence[SizeRuns]) -> None:
        """Fit.

        Args:
            sizes: the sorted runs of each size, as `sort_runs` returns them.
        """
        self.sizes = tuple(sizes)
        self.model = SurfaceModel(sizes)
        self.dimension = self.model.d
        chosen = self.model.hypotheses()
        normals = normal(40, self.model.columns)
        self.mean = self.model.draw(chosen[0][0], np.zeros((self.model.columns, 1)))
        self._parts = tuple(
            _Part(part, self.model.draw(hypothesis, normals[:, part])) for hypothesis, part in _allotted(chosen)
        )
        self._monomials: Monomials = self.model.monomials
        self._regions = tuple(_Region.of(size, self.model.reach) for size in sizes)

    def profile(self, size: int, axis: int, at: float | None = None) -> Profile:
        """The curve of one hyperparameter with the others at their best.

        Args:
            size: index of the size.
            axis: index of the hyperparameter.
            at: log2 value whose loss is wanted as well.
        """
        grid, nodes, others = self._regions[size].along(axis, _NODES[self.dimension])
        curves = np.empty((len(grid), DRAWS))
        for each in self._parts:
            z = self._lowest(each.drawn.coefficients[size], axis, nodes, others)
            curves[:, each.part] = each.drawn.scale.expand(z)
        log2 = self.sizes[size].centre[axis] + grid * self.model.reach[axis]
        middle = self._lowest(self.mean.coefficients[size], axis, nodes, others)[:, 0]
        points = self._points(size, axis, grid, middle)
        return Profile(self._curve_draws(size, axis, log2, curves, points, at), points)

    def cost_together(self, size: int, at: Sequence[float]) -> Array:
        """(DRAWS,) loss at one combination above the lowest loss; nan where it lies outside the runs' region.

        Args:
            size: index of the size.
            at: (d,) log2 values.
        """
        u = (np.asarray(at) - self.sizes[size].centre) / self.model.reach
        cost = np.full(DRAWS, math.nan)
        if not self._regions[size].contains(u[None])[0]:
            return cost
        grid, nodes, others = self._regions[size].along(0, _NODES[self.dimension])
        for each in self._parts:
            coefficients = each.drawn.coefficients[size]
            here = each.drawn.scale.expand(self._monomials.values(u) @ coefficients)
            lowest = each.drawn.scale.expand(self._lowest(coefficients, 0, nodes, others).min(axis=0))
            cost[each.part] = np.maximum(here - lowest, 0)
        return cost

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
                np.einsum("nm,mn->n", self._monomials.values(at, pair), coefficients)
                for pair in ((first, first), (second, second), (first, second))
            )
            curved = (one > 0) & (other > 0)
            with np.errstate(divide="ignore", invalid="ignore"):
                correlation[each.part] = np.where(curved, np.clip(cross / np.sqrt(one * other), -1, 1), math.nan)
                slope[each.part] = np.where(curved, -cross / one, math.nan)
        reach = self.model.reach
        return _interval(correlation, 1.0), _interval(slope * reach[first] / reach[second], math.inf)

    # ---- minima

    def _minimum(self, size: int, coefficients: Array) -> Array:
        """(n, d) position of each draw's lowest node, moved to the minimum near it."""
        grid, nodes, others = self._regions[size].along(0, _NODES[self.dimension])
        z = self._lowest(coefficients, 0, nodes, others)
        start = np.concatenate([grid[z.argmin(axis=0)][:, None], self._at_best(coefficients, nodes, others, z)], axis=1)
        free = tuple(range(self.dimension))
        return self._descended(coefficients, start, free, self._regions[size].steps(_NODES[self.dimension]))

    def _at_best(self, coefficients: Array, nodes: Array, others: npt.NDArray[np.bool_], z: Array) -> Array:
        """(n, d - 1) where the others are lowest at each draw's lowest value of the first."""
        value = z.argmin(axis=0)
        values = np.einsum("ncm,mn->nc", self._monomials.values(nodes[value]), coefficients)
        lowest = np.where(others[value], values, np.inf).argmin(axis=1)
        return np.asarray(nodes[value, lowest, 1:])

    def _lowest(self, coefficients: Array, axis: int, nodes: Array, usable: npt.NDArray[np.bool_]) -> Array:
        """(G, n) lowest value over the others at each node of one axis."""
        free = tuple(other for other in range(self.dimension) if other != axis)
        step = np.ptp(nodes, axis=(0, 1)) / (_NODES[self.dimension][1] - 1)
        lowest = np.empty((len(nodes), coefficients.shape[1]))
        features = self._monomials.values(nodes)
        for index, (here, use) in enumerate(zip(nodes, usable, strict=True)):
            values = features[index, use] @ coefficients
            start = here[use][values.argmin(axis=0)]
            moved = self._descended(coefficients, start, free, step)
            at = np.einsum("nm,mn->n", self._monomials.values(moved), coefficients)
            lowest[index] = np.minimum(values.min(axis=0), at)
        return lowest

    def _descended(self, coefficients: Array, start: Array, free: tuple[int, ...], step: Array) -> Array:
        """(n, d) positions after Newton's steps along the free axes, within one node of the start."""
        at, low, high = start.copy(), start - step, start + step
        for _ in range(_STEPS):
            slope = np.stack(
                [np.einsum("nm,mn->n", self._monomials.values(at, (axis,)), coefficients) for axis in free], axis=1
            )
            bend = np.empty((len(at), len(free), len(free)))
            for i, one in enumerate(free):
                for j, other in enumerate(free[: i + 1]):
                    second = np.einsum("nm,mn->n", self._monomials.values(at, (one, other)), coefficients)
                    bend[:, i, j] = bend[:, j, i] = second
            values, vectors = np.linalg.eigh(bend)
            # along directions that bend downwards there is no minimum to step to
            turned = np.einsum("nij,ni->nj", vectors, slope)
            least = 1e-3 * np.abs(values).max(axis=1, keepdims=True) + 1e-300
            stride = np.where(values > least, turned / np.where(values > least, values, 1.0), 0.0)
            at[:, free] -= np.einsum("nij,nj->ni", vectors, stride)
            at = np.clip(at, low, high)
        return at

    # ---- one hyperparameter

    def _points(self, size: int, axis: int, grid: Array, middle: Array) -> tuple[Point, ...]:
        """The informative runs along one axis, with the others' departures from their best taken off."""
        runs, scale = self.sizes[size], self.mean.scale
        here = self.model.owner == size
        u = self.model.u[here]
        surface = self._monomials.values(u) @ self.mean.coefficients[size][:, 0]
        corrected = scale.expand(scale.z[here] - surface + np.interp(u[:, axis], grid, middle))
        values = runs.x[:, axis]
        points = [
            Point(float(x), int(seed), float(loss))
            for x, seed, loss in zip(values, runs.seed, corrected, strict=True)
        ]
        trained = set(np.round([*values, *runs.far[:, axis]], 9))
        walls = {float(x) for x in np.round(runs.blown[:, axis], 9)} - trained
        return (*points, *(Point(x, 0, math.inf, diverged=True) for x in sorted(walls)))

    def _curve_draws(
        self, size: int, axis: int, grid: Array, curves: Array, points: Sequence[Point], at: float | None
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
        table = average_seeds(points)
        noise = pooled_noise([table])
        return CurveDraws(
            optimum=optimum,
            abrupt=optimum,
            below=(where == 0) & bool((blown >= grid[0]).all()),
            above=(where == len(grid) - 1) & bool((blown <= grid[-1]).all()),
            loss=np.fmin(curves[where, column], asked),
            seed_effect=float(seed_effect_std([table], noise)[0]) * normal(70, size + 1)[size],
            at=asked,
            octave_off=octave_off(grid, curves, where, beyond=math.nan),
            noise=self._noise(size),
            low=float(grid[0]),
            high=float(grid[-1]),
            grid=grid,
            median=np.median(curves, axis=1),
        )

    def _noise(self, size: int) -> float:
        """Standard deviation of one run near the optimum, in the losses' unit."""
        lowest = float(self.sizes[size].y.min())
        squares = [
            (each.part.stop - each.part.start) * (each.drawn.noise * _unit(each.drawn.scale, lowest)) ** 2
            for each in self._parts
        ]
        return math.sqrt(sum(squares) / DRAWS)


def fit_surface(sizes: Sequence[tuple[float, Sequence[SurfaceRun]]]) -> Surface | None:
    """Fit the surfaces of all sizes together; None where the runs cannot show one (see `sort_runs`).

    Args:
        sizes: (log2 of the size, its runs) each, at least one; the runs' order does not matter.

    Raises:
        UsageError: fewer than two hyperparameters, or too many.
    """
    found = sort_runs(sizes)
    return None if found is None else Surface(found)


@dataclass(frozen=True, slots=True)
class _Region:
    """Where the runs of one size say something, in half-widths about its centre.

    Runs determine a surface where its terms' leverage is no larger than at the runs themselves (Cook, 1977); and the
    optimum does not lie behind a run that blew up.
    """

    low: Array
    high: Array
    solved: Array
    threshold: float
    walls: Array
    normals: Array

    @classmethod
    def of(cls, size: SizeRuns, reach: Array) -> _Region:
        u = (size.x - size.centre) / reach
        rich = len(np.unique(u.round(9), axis=0)) >= 2 * _features(u[:1], second=True).shape[1]
        features = _features(u, second=rich)
        solved = np.linalg.pinv(features.T @ features, rcond=1e-9, hermitian=True)
        best = u[size.y.argmin()]
        walls = (size.blown - size.centre) / reach
        return cls(
            low=u.min(axis=0),
            high=u.max(axis=0),
            solved=np.asarray(np.pad(solved, (0, 0)), dtype=float),
            threshold=float(np.einsum("ni,ij,nj->n", features, solved, features).max()) * (1 + 1e-9),
            walls=walls,
            normals=walls - best,
        )

    def contains(self, u: Array) -> npt.NDArray[np.bool_]:
        """Mark the positions (n, d) that lie in the region."""
        features = _features(u, second=len(self.solved) > u.shape[1] + 1)
        inside = np.einsum("ni,ij,nj->n", features, self.solved, features) <= self.threshold
        inside &= ((u >= self.low - 1e-9) & (u <= self.high + 1e-9)).all(axis=1)
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
        kept = slice(some[0], some[-1] + 1)
        # the region has no gaps but for walls, and behind those nothing is asked
        usable = np.where(usable[kept].any(axis=1)[:, None], usable[kept], True)
        return lines[axis][kept], mesh[kept], usable


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


def _unit(scale: Scale, loss: float) -> float:
    """Losses per unit of the scale at a loss."""
    return 1.0 if math.isinf(scale.floor) else (loss - scale.floor) / scale.slope


def _interval(draws: Array, limit: float) -> Interval:
    """Median and central 95%; open where too many draws have no minimum."""
    seen = draws[np.isfinite(draws)]
    if len(seen) < (1 - _UNDEFINED) * len(draws):
        return Interval(0.0, -limit, limit)
    low, middle, high = (float(q) for q in np.quantile(seen, (0.025, 0.5, 0.975)))
    return Interval(middle, low, high)
