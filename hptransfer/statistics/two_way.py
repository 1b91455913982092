"""Losses of several values and seeds told apart: value effects, seeds' offsets and tilts, and what is left."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from hptransfer.statistics.arrays import Array
from hptransfer.statistics.tilt import fit_tilts

#: seeds beyond this number are not treated as common to all values; the two-way fit would cost more than it gives
_MANY_SEEDS = 200
#: cells of seeds and values that are counted in a table; beyond them they are sorted
_MOST_CELLS = 4_000_000
#: a value whose own runs scatter by more than this factor in variance beyond all others' counts for as much less
_SPIKED = 16.0
#: and by more than happens to one value in 600
_RARE = 10.0
#: among more values than these, what one of them adds to offsets and tilts is nothing
_MANY_VALUES = 32
#: variances below this share of another are none
_NOTHING = 1e-12


def crossed(
    row: npt.NDArray[np.intp], seed: Array, m: int
) -> tuple[npt.NDArray[np.int64], Array, Array, npt.NDArray[np.intp]]:
    """Seeds that ran at two values or more, their (m, S) runs, the (m,) runs of others, and each run's column or -1."""
    names, index = np.unique(seed, return_inverse=True)
    cells = index * m + row
    seen = np.flatnonzero(np.bincount(cells)) if len(names) * m <= _MOST_CELLS else np.unique(cells)
    values_of = np.bincount(seen // m, minlength=len(names))
    crossed = np.flatnonzero(values_of >= 2)
    if len(crossed) > _MANY_SEEDS:
        crossed = crossed[:0]
    place = np.full(len(names), -1, dtype=np.intp)
    place[crossed] = np.arange(len(crossed))
    column = place[index]
    number = np.zeros((m, len(crossed)))
    np.add.at(number, (row[column >= 0], column[column >= 0]), 1.0)
    return names[crossed].astype(np.int64), number, np.bincount(row[column < 0], minlength=m).astype(float), column


class TwoWay(NamedTuple):
    """Values and seeds, told apart.

    Attributes:
        mean: (m,) value effects, nats.
        runs: (m,) runs behind each.
        seed_effect: offsets of the seeds that were seen at several values, nats.
        squares: (m,) residual squares of each value, nats squared.
        df: degrees of freedom of all residuals.
        table: log2 values, and each run's loss, number of its value, and seed.
    """

    mean: Array
    runs: Array
    seed_effect: Array
    squares: Array
    df: int
    table: tuple[Array, Array, npt.NDArray[np.intp], Array]

    @property
    def ss(self) -> float:
        """Residual sum of squares, nats squared."""
        return float(self.squares.sum())

    def trust(self, usual: float) -> Array:
        """(m,) 1, or for a value that scatters far more than the others, the variance of these over its own.

        Args:
            usual: standard deviation of a run that is not unusual, as other sizes have it.
        """
        trust = np.ones(len(self.mean))
        if self.df <= 0 or not self.ss > 0:
            return trust
        for value in self._loudest():
            others, beyond = self._without(value)
            if others <= 0 or self.df <= others:
                continue
            own = max(self.ss - beyond, 0.0) / (self.df - others)
            common = max(beyond / others, usual**2, _NOTHING * own)
            # few others may agree by chance: what a normal deviate squared would be that is as rare (Wallace 1959)
            scale = ((8 * others + 1) / (8 * others + 3)) ** 2
            rare = scale * others * math.log1p(own / common / others) if common > 0 else 0.0
            if own > _SPIKED * common and (beyond <= others * usual**2 or rare > _RARE):
                trust[value] = common / own
        return trust

    def _loudest(self) -> list[int]:
        """Values whose share of the squares is larger than it would be among equals."""
        share = np.where(self.runs > 1, self.squares / np.maximum(self.runs - 1, 1), 0.0)
        return [int(value) for value in np.flatnonzero(share > self.ss / self.df)]

    def _without(self, value: int) -> tuple[int, float]:
        """Degrees of freedom and residual squares of the others alone: offsets and tilts have taken up part of one."""
        x, loss, row, seed = self.table
        if len(x) > _MANY_VALUES:
            return self.df - int(self.runs[value]) + 1, float(self.ss - self.squares[value])
        rest = row != value
        fit = two_way(np.delete(x, value), loss[rest], row[rest] - (row[rest] > value), seed[rest])
        return fit.df, fit.ss


def two_way(x: Array, loss: Array, row: npt.NDArray[np.intp], seed: Array) -> TwoWay:
    """Least squares of loss = value effect + seed offset, and of the seeds' tilts in what is left.

    Seeds seen at one value only carry no offset.
    """
    m = len(x)
    _, number, alone, column = crossed(row, seed, m)
    count = np.bincount(row, minlength=m).astype(float)
    offset = np.zeros(number.shape[1] + 1)  # the last one is for seeds without
    rank = 0
    if number.shape[1] > 1:
        normal = np.diag(number.sum(0)) - number.T @ (number / count[:, None])
        raw = np.bincount(row, loss, m) / count
        right = np.bincount(column[column >= 0], (loss - raw[row])[column >= 0], number.shape[1])
        offset[:-1] = np.linalg.pinv(normal, rcond=1e-9, hermitian=True) @ right
        rank = int(np.linalg.matrix_rank(normal, tol=1e-9 * max(1.0, float(normal.max())), hermitian=True))
    adjusted = loss - offset[column]
    mean = np.bincount(row, adjusted, m) / count
    residual = adjusted - mean[row]
    if rank:
        left = np.zeros_like(number)
        mine = column >= 0
        np.add.at(left, (row[mine], column[mine]), residual[mine])
        tilts = fit_tilts(x, number, alone, left)
        residual[mine] -= tilts.explained[row[mine], column[mine]]
        rank += tilts.rank
    squares = np.asarray(np.bincount(row, residual**2, m), dtype=float)
    return TwoWay(mean, count, offset[:-1], squares, len(loss) - m - rank, (x, loss, row, seed))
