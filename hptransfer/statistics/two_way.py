"""Losses of several values and seeds told apart: value effects, seeds' offsets and tilts, and what is left."""

from __future__ import annotations

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
#: offsets and tilts hide at most this share of a value's own differences
_MOST_LEVERAGE = 0.9


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
        leverage: (m,) share of what a value's runs differ by that goes into the seeds' offsets and tilts.
    """

    mean: Array
    runs: Array
    seed_effect: Array
    squares: Array
    df: int
    leverage: Array

    @property
    def ss(self) -> float:
        """Residual sum of squares, nats squared."""
        return float(self.squares.sum())

    def trust(self, usual: float) -> Array:
        """(m,) 1, or for a value that scatters far more than the others, the variance of these over its own.

        Args:
            usual: standard deviation of a run that is not unusual, as other sizes have it.
        """
        # without a value the residuals would be less by more than its own: offsets and tilts have taken up part of it
        kept = 1 - self.leverage
        freedom = np.maximum(self.runs - 1, 0)
        squares = self.squares / kept
        others, beyond = self.df - freedom, np.maximum(self.squares.sum() - squares, 0.0)
        seen = (freedom > 0) & (others > 0)
        own = np.divide(squares, freedom, out=np.zeros_like(freedom), where=seen)
        common = np.divide(beyond, others, out=np.ones_like(freedom), where=seen)
        common = np.maximum(common, usual**2)
        ratio = np.divide(own, common, out=np.ones_like(own), where=own > _SPIKED * common)
        # few others may agree by chance: what a normal deviate squared would be that is as rare (Wallace 1959)
        rare = np.where(others > 0, others, 1.0) * np.log1p(ratio / np.where(others > 0, others, 1.0))
        known = beyond <= others * usual**2
        return np.asarray(np.where(known | (rare > _RARE), 1 / ratio, 1.0))


def two_way(x: Array, loss: Array, row: npt.NDArray[np.intp], seed: Array) -> TwoWay:
    """Least squares of loss = value effect + seed offset, and of the seeds' tilts in what is left.

    Seeds seen at one value only carry no offset.
    """
    m = len(x)
    _, number, alone, column = crossed(row, seed, m)
    count = np.bincount(row, minlength=m).astype(float)
    offset = np.zeros(number.shape[1] + 1)  # the last one is for seeds without
    rank, tilted = 0, False
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
        rank, tilted = rank + tilts.rank, tilts.rank > 0
    squares = np.asarray(np.bincount(row, residual**2, m), dtype=float)
    return TwoWay(mean, count, offset[:-1], squares, len(loss) - m - rank, _leverage(x, count, rank, tilted))


def _leverage(x: Array, count: Array, rank: int, tilted: bool) -> Array:
    """(m,) shares of the values' own differences that offsets and tilts take up.

    Args:
        x: (m,) log2 values.
        count: (m,) runs of each.
        rank: of offsets and tilts together.
        tilted: whether tilts were fitted.
    """
    weight = np.maximum(count - 1, 0.0)
    if not rank or not weight.sum() > 0:
        return np.zeros(len(x))
    share = weight / weight.sum()
    if tilted:
        away = (x - share @ x) ** 2 * weight
        share = share + away / max(float(away.sum()), 1e-300)
    return np.asarray(np.minimum(share * rank / float(share @ weight), _MOST_LEVERAGE))
