"""Runs over several hyperparameters at once, and which of them inform a smooth surface.

A surface is fitted to the runs that lie on one: from the best runs of every size outwards, as long as a quadratic with
one curvature for all sizes predicts the next ones (a forward search: Atkinson and Riani, "Robust diagnostic regression
analysis", 2000). What lies far above it blew up or is far away: it bounds the optimum and bends no surface.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hptransfer.errors import UsageError
from hptransfer.statistics.arrays import Array

#: a surface is fitted to this many hyperparameters at most: four would take 35 terms a size, and nobody has such tables
MOST_HYPERPARAMETERS = 3
#: the search begins with this share of a size's runs, the best ones
_CORE = 0.4
#: a run lies on the surface within this many deviations of the runs there, plus this share of its height above the best
_DEVIATIONS = 6.0
_MISFIT = 0.5
#: and blew up from twice the surface's height above it, or this many deviations
_BLOWN_MISFIT = 2.0
_BLOWN_DEVIATIONS = 20.0
_MOST_ROUNDS = 40
#: scales on which runs are searched: log(z + these) of heights z; infinity leaves heights as they are, which is given
#: up only for a scale that leaves this share unexplained of what they leave
_OVER = (math.inf, 3.0, 1.0, 0.3)
_BETTER = 0.5
#: runs of one size that are fitted one by one; larger tables are averaged in cells
_MOST_ROWS = 250
#: seeds beyond this number have no level or tilt of their own
MOST_SEEDS = 12
_CELLS = 12
#: curvatures are determined where the quadratic's smallest singular value exceeds this share of the largest
_SINGULAR = 1e-3


@dataclass(frozen=True, slots=True)
class SurfaceRun:
    """One finished run.

    Attributes:
        x: log2 of the hyperparameters, in one order for all runs.
        seed: number of the seed; runs that share it share initial draws and batches.
        loss: final loss, in any unit where lower is better; ignored when diverged.
        diverged: whether the run blew up; then `loss` is not read.
    """

    x: tuple[float, ...]
    seed: int
    loss: float
    diverged: bool = False


@dataclass(frozen=True, slots=True)
class SizeRuns:
    """The runs of one size, sorted by what they are good for.

    Attributes:
        doublings: log2 of the size.
        x: (n, d) log2 positions of the runs that inform the surface.
        y: (n,) losses of these runs.
        count: (n,) runs behind each row, 1 unless a large table was averaged.
        seed: (n,) numbers of the seeds; -1 where the row stands for runs of several seeds.
        single: the runs behind the rows one by one: (m, d) positions, (m,) losses, (m,) seeds.
        blown: (b, d) positions of runs that diverged, or blew up to a finite loss.
        blown_loss: (b,) their losses, infinite where diverged.
        far: (f, d) positions of runs too far above the surface to inform it, or below its continuation.
        centre: (d,) where the first fit has the optimum, on one line with the other sizes'.
        runs: number of all runs.
    """

    doublings: float
    x: Array
    y: Array
    count: Array
    seed: npt.NDArray[np.int_]
    single: tuple[Array, Array, npt.NDArray[np.int_]]
    blown: Array
    blown_loss: Array
    far: Array
    centre: Array
    runs: int

    @property
    def seeds(self) -> int:
        """Number of different seeds among the rows."""
        return len(np.unique(self.seed))


def quadratic_terms(u: Array) -> Array:
    """(n, d (d + 1) / 2) products u_i u_j, i <= j, in the order of `np.triu_indices`.

    Args:
        u: (n, d) coordinates in any unit.
    """
    i, j = np.triu_indices(u.shape[1])
    return np.asarray(u[:, i] * u[:, j])


def sort_runs(sizes: Sequence[tuple[float, Sequence[SurfaceRun]]]) -> tuple[SizeRuns, ...] | None:
    """Which runs of each size inform a surface over all hyperparameters; None where they cannot show one.

    They cannot where the hyperparameters were varied one at a time, where a size has fewer than d + 2 combinations that
    train, or where all its losses are the same.

    Args:
        sizes: (log2 of the size, its runs) each, at least one; the runs' order does not matter.

    Raises:
        UsageError: more hyperparameters than `MOST_HYPERPARAMETERS`, or fewer than two.
    """
    dimension = len(sizes[0][1][0].x)
    if not 2 <= dimension <= MOST_HYPERPARAMETERS:
        rule = f"a surface takes 2 to {MOST_HYPERPARAMETERS} hyperparameters"
        raise UsageError(rule, received=str(dimension), hint="hold the others at one value with --where")
    tables = [_Rows.of(runs, dimension) for _, runs in sizes]
    if any(len(np.unique(t.x, axis=0)) < dimension + 2 or not np.ptp(t.y) > 0 for t in tables):
        return None
    owner = np.repeat(np.arange(len(sizes)), [len(table.y) for table in tables])
    x, y = np.concatenate([t.x for t in tables]), np.concatenate([t.y for t in tables])
    search = _forward(x, y, owner)
    if search is None:
        return None
    kept, blown = search
    centres = _centres(x[kept], _scaled(y, owner)[kept], owner[kept], np.array([at for at, _ in sizes]))
    if centres is None:
        return None
    found = []
    for size, ((doublings, runs), table) in enumerate(zip(sizes, tables, strict=True)):
        here = owner == size
        on, off = kept[here], blown[here]
        lost = np.array([run.x for run in runs if run.diverged]).reshape(-1, dimension)
        found.append(
            SizeRuns(
                doublings=doublings,
                x=table.x[on],
                y=table.y[on],
                count=table.count[on],
                seed=table.seed[on],
                single=table.singles(on),
                blown=np.concatenate([lost, table.x[off]]),
                blown_loss=np.concatenate([np.full(len(lost), math.inf), table.y[off]]),
                far=table.x[~on & ~off],
                centre=centres[size],
                runs=len(runs),
            )
        )
    return tuple(found)


@dataclass(frozen=True, slots=True)
class _Rows:
    """The finite runs of one size in an order of their own, a large table in cells: see `SizeRuns`."""

    x: Array
    y: Array
    count: Array
    seed: npt.NDArray[np.int_]
    runs: tuple[Array, Array, npt.NDArray[np.int_]]
    row: npt.NDArray[np.intp]  # of each run, -1 for none

    @classmethod
    def of(cls, runs: Sequence[SurfaceRun], dimension: int) -> _Rows:
        finite = [run for run in runs if not run.diverged]
        x = np.array([run.x for run in finite]).reshape(-1, dimension).round(9)
        y, seed = np.array([run.loss for run in finite], dtype=float), np.array([run.seed for run in finite], dtype=int)
        order = np.lexsort((y, seed, *x.T[::-1]))
        x, y, seed = x[order], y[order], seed[order]
        if len(y) <= _MOST_ROWS:
            return cls(x, y, np.ones(len(y)), seed, (x, y, seed), np.arange(len(y)))
        low, span = x.min(axis=0), np.maximum(np.ptp(x, axis=0), 1e-12)
        cells = max(3, round(_CELLS * 2 ** (2 - dimension)))
        place = np.minimum((x - low) / span * cells, cells - 1).astype(int)
        # the runs of one seed stay together, as far as there are few: they have something in common
        names = seed if len(np.unique(seed)) <= MOST_SEEDS else np.full(len(seed), -1)
        keys, cell = np.unique(np.column_stack([place, names]), axis=0, return_inverse=True)
        cell = cell.reshape(-1)
        # a cell on a flank that blows up has no mean worth the name; its runs near the lowest have
        lowest = np.full(cell.max() + 1, math.inf)
        np.minimum.at(lowest, cell, y)
        calm = y <= lowest[cell] + float(np.median(y) - y.min())
        count = np.bincount(cell[calm]).astype(float)
        means = [np.bincount(cell[calm], column[calm]) / count for column in (*x.T, y)]
        return cls(np.stack(means[:-1], axis=1), means[-1], count, keys[:, -1], (x, y, seed), np.where(calm, cell, -1))

    def singles(self, kept: npt.NDArray[np.bool_]) -> tuple[Array, Array, npt.NDArray[np.int_]]:
        """Positions, losses and seeds of the runs behind some of the rows."""
        here = (self.row >= 0) & kept[self.row]
        x, y, seed = self.runs
        return x[here], y[here], seed[here]


def _scaled(y: Array, owner: npt.NDArray[np.intp]) -> Array:
    """Losses above the lowest of their size, in medians of what the better half lies above it: no unit is left."""
    z = np.empty_like(y)
    for size in np.unique(owner):
        here = owner == size
        excess = y[here] - y[here].min()
        better = np.sort(excess)[: max(3, len(excess) // 2)]
        z[here] = excess / max(float(np.median(better[1:])), 1e-9 * float(np.ptp(y)) + 1e-300)
    return z


def _design(x: Array, owner: npt.NDArray[np.intp], sizes: int) -> Array:
    """Level and gradient of each size, and one curvature for all."""
    n, d = x.shape
    columns = np.zeros((n, sizes * (d + 1)))
    rows = np.arange(n)
    columns[rows, owner] = 1
    for axis in range(d):
        columns[rows, sizes * (axis + 1) + owner] = x[:, axis]
    return np.concatenate([columns, quadratic_terms(x)], axis=1)


@dataclass(frozen=True, slots=True)
class _Search:
    """Where a forward search ended, in medians of what the better half lies above the lowest.

    Attributes:
        kept: (n,) marks of the runs on the surface.
        residual: (n,) of all runs from the surface.
        height: (n,) of the surface above the lowest of its size.
        deviation: of the runs on the surface.
        unexplained: share of what the best runs differ by that the surface does not explain, on its own scale.
    """

    kept: npt.NDArray[np.bool_]
    residual: Array
    height: Array
    deviation: float
    unexplained: float


def _forward(
    x: Array, y: Array, owner: npt.NDArray[np.intp]
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]] | None:
    """(informative, blown up) marks of the rows; None where their quadratic is not determined."""
    sizes, dimension = int(owner.max()) + 1, x.shape[1]
    z = _scaled(y, owner)
    u = (x - x.mean(axis=0)) / np.maximum(x.std(axis=0), 1e-12)
    design = _design(u, owner, sizes)
    core = np.zeros(len(y), dtype=bool)
    for size in range(sizes):
        rows = np.flatnonzero(owner == size)
        core[rows[np.argsort(z[rows], kind="stable")[: max(dimension + 3, math.ceil(_CORE * len(rows)))]]] = True
    # flanks that steepen are parabolas on the scale of a logarithm, where they do not hide what blew up
    found = [_searched(design, z, owner, core, over) for over in _OVER]
    best = min(found[1:], key=lambda each: each.unexplained)
    search = best if best.unexplained < _BETTER * found[0].unexplained else found[0]
    kept = search.kept
    if kept.sum() < design.shape[1] + 2 or not _determined(u[kept], owner[kept], sizes):
        return None
    least = np.maximum(_BLOWN_MISFIT * search.height, _BLOWN_DEVIATIONS * search.deviation)
    return kept, ~kept & (search.residual > least)


def _searched(
    design: Array, z: Array, owner: npt.NDArray[np.intp], core: npt.NDArray[np.bool_], over: float
) -> _Search:
    """Take in runs from the best ones outwards, on the scale log(z + over); as they are where that is infinite."""
    scaled = z if math.isinf(over) else np.log(z + over)
    kept, deviation, surface, height = core, 1.0, scaled, np.zeros_like(scaled)
    for _ in range(_MOST_ROUNDS):
        weight = 1 / (deviation + _MISFIT * height[kept])
        surface = design @ np.linalg.lstsq(design[kept] * weight[:, None], scaled[kept] * weight, rcond=1e-8)[0]
        lowest = np.array([surface[kept & (owner == size)].min(initial=math.inf) for size in range(int(owner[-1]) + 1)])
        height = np.maximum(surface - lowest[owner], 0)
        deviation = max(1.4826 * float(np.median(np.abs(scaled - surface)[core & kept])), 1e-3)
        # a logarithm that is off by one half is a height that is off by 65%
        misfit = _MISFIT * (height if math.isinf(over) else np.minimum(height, 1.0))
        within = np.abs(scaled - surface) <= _DEVIATIONS * deviation + misfit
        if (within == kept).all():
            break
        kept = within
    near = scaled[core] - np.array([np.median(scaled[core & (owner == size)]) for size in owner[core]])
    spread = 1.4826 * float(np.median(np.abs(near))) or 1.0
    missed = 1.4826 * float(np.median(np.abs(scaled - surface)[core]))
    if math.isinf(over):
        return _Search(kept, z - surface, height, deviation, missed / spread)
    # back to where heights are compared with what blew up
    base, top = np.exp(np.minimum(surface - height, 50.0)), np.exp(np.minimum(surface, 50.0))
    return _Search(kept, z + over - top, top - base, deviation * over, missed / spread)


def _determined(u: Array, owner: npt.NDArray[np.intp], sizes: int) -> bool:
    """Whether the rows of all sizes together show every curvature, and those of each size a gradient."""
    design = _design(u, owner, sizes)
    scaled = design / np.maximum(np.linalg.norm(design, axis=0), 1e-300)
    values = np.linalg.svd(scaled, compute_uv=False)
    return bool(values[-1] > _SINGULAR * values[0]) and all(
        len(np.unique(u[owner == size].round(6), axis=0)) >= u.shape[1] + 2 for size in range(sizes)
    )


def _centres(x: Array, z: Array, owner: npt.NDArray[np.intp], doublings: Array) -> Array | None:
    """(K, d) optima of a first quadratic, put on one line in log2 size and into each size's own region."""
    sizes, dimension = len(doublings), x.shape[1]
    middle = x.mean(axis=0)
    fit = np.linalg.lstsq(_design(x - middle, owner, sizes), z, rcond=1e-8)[0]
    gradient = fit[sizes : sizes * (dimension + 1)].reshape(dimension, sizes)
    curvature = hessian_of(np.asarray(fit[sizes * (dimension + 1) :], dtype=float), dimension)
    low = np.stack([x[owner == size].min(axis=0) for size in range(sizes)])
    high = np.stack([x[owner == size].max(axis=0) for size in range(sizes)])
    best = np.stack([x[owner == size][z[owner == size].argmin()] for size in range(sizes)])
    if np.linalg.eigvalsh(curvature)[0] > 1e-6 * np.abs(curvature).max():
        best = np.clip(middle - np.linalg.solve(curvature, gradient).T, low, high)
    if sizes < 2:
        return best
    arm = doublings - doublings.mean()
    slope = arm @ best / float(arm @ arm)
    return np.asarray(np.clip(best.mean(axis=0) + np.outer(arm, slope), low, high))


def hessian_of(products: Array, dimension: int) -> Array:
    """(..., d, d) second derivatives of a quadratic whose coefficients of u_i u_j, i <= j, are (..., d (d + 1) / 2).

    Args:
        products: coefficients in the order of `np.triu_indices`.
        dimension: number of coordinates d.
    """
    i, j = np.triu_indices(dimension)
    second = np.zeros((*products.shape[:-1], dimension, dimension))
    second[..., i, j] += products
    second[..., j, i] += products
    return second
