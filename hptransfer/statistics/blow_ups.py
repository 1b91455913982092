"""Finite blow-ups: losses that no curve leads to, because training was lost and only its number stayed finite.

Beyond a blow-up losses lie far above their neighbours and stay there, often at the level of an untrained model. What is
far is said by differences alone: the steps between values that trained, the bend at the bottom, pooled over sizes where
a size has too few values to show its own, and the other flank. A steep flank, however steep, announces itself by steps
that grow, and it goes on growing; a blow-up does not.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hptransfer.statistics.arrays import Array

#: a step this many times what the flank leads to is none of the flank
_STEP = 12.0
#: where losses then reach another level, and steps become smaller again, this many times are enough
_LEVEL = 8.0
#: where no size shows how much its curve bends, a large step is seen once in so many by accident
_UNKNOWN = 60.0
#: this many times are enough anyhow
_ANYHOW = 25.0
#: losses beyond a blow-up stay above this share of its step; one that comes back is a single accident
_STAYS = 0.25
#: growth of steps from value to value that a flank may keep up
_GROWTH = 12.0
#: share of the other flank's height that this one's next step may have, several times over
_OPPOSITE = 0.5
#: values on each side of the lowest that its bend is seen by
_NEAR = 2
#: denser sweeps are looked at in this many cells
_MOST_VALUES = 32


def first_blow_ups(sizes: Sequence[tuple[Array, Array]]) -> tuple[int | None, ...]:
    """Index of the first value of each size that is blown up, with all values above it; None where none is.

    Args:
        sizes: (m,) increasing log2 values and (m,) mean losses of each size, those of divergences left out.
    """
    coarse = [_Steps(*_thinned(x, mean)) for x, mean in sizes]
    steps = np.concatenate([np.abs(size.step) for size in coarse])
    usual = float(np.quantile(steps, 0.5, method="lower")) if len(steps) else 0.0
    # bends of other sizes count as far as these did not blow up
    alone = [size.first(usual, 0.0) for size in coarse]
    bends = [size.bend_below(first) for size, first in zip(coarse, alone, strict=True)]
    found: list[int | None] = []
    for number, (size, (x, mean)) in enumerate(zip(coarse, sizes, strict=True)):
        others = [bend for other, bend in enumerate(bends) if other != number and np.isfinite(bend)]
        first = size.first(usual, float(np.median(others)) if others else float("nan"))
        found.append(first if first is None or len(size.x) == len(x) else _refined(x, mean, size, first))
    return tuple(found)


class _Steps:
    """The steps from value to value of one size, and how much its curve bends."""

    def __init__(self, x: Array, mean: Array) -> None:
        self.x, self.mean = x, mean
        self.step, self.width = np.diff(mean), np.diff(x)
        self.best = int(mean.argmin())
        self.bends = self._bends()

    def first(self, usual: float, pooled: float) -> int | None:
        """The first value that is blown up.

        Args:
            usual: what neighbouring values differ by, over all sizes.
            pooled: bend of other sizes, per squared octave; nan where none is known.
        """
        led = usual
        for i in range(self.best, len(self.step)):
            step, width = float(self.step[i]), float(self.width[i])
            bend = float(self.bends[i]) if np.isfinite(self.bends[i]) else pooled
            # the optimum may lie half a spacing below the lowest mean
            away = float(self.x[i] - self.x[self.best]) + width / 2
            parabola = bend * ((away + width) ** 2 - away**2) if np.isfinite(bend) else 0.0
            before = float(self.step[i - 1] / self.width[i - 1]) * width if i > self.best else 0.0
            growth = min(max(before / led, 1.0), _GROWTH) if led > 0 else 1.0
            expected = max(usual, parabola, before * growth, _OPPOSITE * self._opposite(away + width / 2, width))
            last = i + 1 == len(self.step)
            level = int(self.step[i:].argmax()) < len(self.step) - 1 - i
            stays = float(self.mean[i + 1 :].min() - self.mean[i]) > _STAYS * step
            enough = _LEVEL if level else _ANYHOW if not last else _STEP if np.isfinite(bend) else _UNKNOWN
            if stays and step > enough * expected:
                return i + 1
            led = max(usual, parabola, before)
        return None

    def bend_below(self, first: int | None) -> float:
        """Bend of the values below the first that is blown up; nan below three."""
        return float(self.bends[-1 if first is None else first - 1])

    def _opposite(self, away: float, width: float) -> float:
        """Height of the other flank as far from the lowest mean, or nearly; 0 where it was not sampled."""
        at = self.x[self.best] - away
        return float(np.interp(at, self.x, self.mean) - self.mean[self.best]) if at >= self.x[0] - width else 0.0

    def _bends(self) -> Array:
        """(m,) bend about the lowest of the values up to each, per squared octave; nan below three values."""
        bends = np.full(len(self.x), np.nan)
        for stop in range(max(2, self.best), len(self.x)):
            low, high = max(0, min(self.best - _NEAR, stop - 2)), min(stop, self.best + _NEAR) + 1
            if high <= stop and stop > max(2, self.best):
                bends[stop] = bends[stop - 1]
                continue
            u = self.x[low:high] - self.x[self.best]
            basis = np.stack([np.ones_like(u), u, u * u], axis=1)
            fit = np.linalg.lstsq(basis, self.mean[low:high] - self.mean[self.best], rcond=None)[0]
            bends[stop] = max(0.0, float(fit[2]))
        return bends


def _thinned(x: Array, mean: Array) -> tuple[Array, Array]:
    """Means of neighbouring values where there are many."""
    if len(x) <= _MOST_VALUES:
        return x, mean
    starts = np.unique(np.linspace(0, len(x), _MOST_VALUES + 1).astype(np.intp)[:-1])
    number = np.diff(np.append(starts, len(x)))
    return np.add.reduceat(x, starts) / number, np.add.reduceat(mean, starts) / number


def _refined(x: Array, mean: Array, cells: _Steps, first: int) -> int:
    """The first value from which on all lie nearer to the blown-up cell than to the cell before it."""
    half = (float(cells.mean[first]) + float(cells.mean[first - 1])) / 2
    below = np.flatnonzero((mean <= half) | (x <= cells.x[first - 1]))
    return min(int(below.max()) + 1, len(x) - 1)
