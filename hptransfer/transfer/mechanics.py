"""At a fixed value a larger model must not train to a higher loss: where a ladder says otherwise.

Under a parameterization in which training has a limit, finite size only costs: "wider is always better" at every fixed
hyperparameter, not only at the optimum (Tensor Programs V, arXiv 2203.03466, figure 1). Where a larger size clearly
trains worse at a value that the smaller one bears, that value does not mean the same at both.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from hptransfer.sizes import size_text, size_word
from hptransfer.statistics.arrays import Array
from hptransfer.statistics.interval import Interval
from hptransfer.statistics.student import student_quantile
from hptransfer.transfer.criteria import SizeEvidence
from hptransfer.transfer.judge import AxisReport
from hptransfer.transfer.verdict_text import NOT_OF_THE_MODEL

#: shown of many
_MOST_SHOWN = 4


@dataclass(frozen=True, slots=True)
class Rise:
    """A fixed value at which a larger size clearly trains worse than a smaller one.

    Attributes:
        value: of the hyperparameter, own unit.
        low: the smaller of the two sizes.
        high: the larger of the two sizes.
        by: loss at the larger size minus that at the smaller one; the intervals of all comparisons of a ladder hold
            together at 95%. None where every run of the larger size diverged, and none of the smaller one.
    """

    value: float
    low: float
    high: float
    by: Interval | None


@dataclass(frozen=True, slots=True)
class FixedValues:
    """Whether the loss rises with the size at any value that was measured.

    Attributes:
        axis: along which sizes differ.
        compared: values that were trained at two sizes or more.
        falling: of them, those at which the largest size is clearly no worse than the smallest.
        rises: where it clearly does, one per value, the clearest.
        seeds: whether noise is known from seeds; without only divergences are clear.
    """

    axis: str
    compared: int
    falling: int
    rises: tuple[Rise, ...]
    seeds: bool

    @property
    def never_worse(self) -> bool | None:
        """False where it clearly rises somewhere, True where it falls at every value, None where that is open."""
        if self.rises:
            return False
        return True if self.falling == self.compared else None

    @property
    def sentence(self) -> str:
        """One line for a person."""
        start = f"at a fixed value no larger {size_word(self.axis)} is worse"
        if self.rises:
            shown = "; ".join(_shown(rise, self.axis) for rise in self.rises[:_MOST_SHOWN])
            more = f"; and {len(self.rises) - _MOST_SHOWN} more" if len(self.rises) > _MOST_SHOWN else ""
            return f"{start}: NO, at {len(self.rises)} of {self.compared} values: {shown}{more}"
        if self.never_worse:
            return f"{start}: yes, at all {self.compared} values"
        if not self.seeds:
            return f"{start}: undecided, one seed does not tell"
        fall = f"clearly falls from the smallest to the largest at {self.falling} of {self.compared}"
        return f"{start}: undecided, the loss clearly rises at none and {fall} values"


def fixed_values(report: AxisReport) -> FixedValues | None:
    """Compare sizes at every value that two of them have; None without such a value, and along batch and tokens.

    Args:
        report: the judgement of a ladder, with its runs.
    """
    if report.axis in NOT_OF_THE_MODEL or len(report.sizes) < 2:
        return None
    tables = [_cells(size) for size in report.sizes]
    values = sorted({x for table in tables for x in table})
    steps = {x: list(_steps([index for index, table in enumerate(tables) if x in table])) for x in values}
    steps = {x: pairs for x, pairs in steps.items() if pairs}
    if not steps:
        return None
    noise = _Noise.of(tables)
    level = 1 - 0.025 / sum(map(len, steps.values()))
    rises, falling = [], 0
    for x, pairs in steps.items():
        found = [_compared(report.sizes, tables, x, pair, noise, level) for pair in pairs]
        worse = [rise for _, rise in found if rise is not None]
        if worse:
            rises.append(max(worse, key=lambda rise: math.inf if rise.by is None else rise.by.low))
        falling += found[-1][0]  # the smallest with the largest
    return FixedValues(report.axis, len(steps), falling, tuple(rises), noise.freedom > 0)


def fixed_values_documents(reports: Sequence[AxisReport]) -> list[dict[str, Any]]:
    """What fixed values say along every axis that can be asked, as data.

    Args:
        reports: the judgements of ladders, with their runs.
    """
    found = ((report, fixed_values(report)) for report in reports)
    return [
        {
            "axis": report.axis,
            "hyperparameter": report.hyperparameter,
            "never_worse": values.never_worse,
            "compared": values.compared,
            "falling": values.falling,
            "rises": values.rises,
            "sentence": values.sentence,
        }
        for report, values in found
        if values is not None
    ]


@dataclass(frozen=True, slots=True)
class _Cell:
    """The runs at one size and value.

    Attributes:
        seeds: (n,) numbers of the seeds, increasing.
        losses: (n,) loss of each, infinite where it diverged; the mean of runs of one seed.
        diverged: how many of them are infinite.
    """

    seeds: npt.NDArray[np.int64]
    losses: Array
    diverged: int


#: log2 value -> its runs
_Table = Mapping[float, _Cell]


def _cells(size: SizeEvidence) -> _Table:
    """The runs of one size by value and seed."""
    x = np.round([point.x for point in size.points], 9)
    seed = np.array([point.seed for point in size.points], dtype=np.int64)
    loss = np.array([math.inf if point.diverged else point.loss for point in size.points])
    order = np.lexsort((seed, x))
    x, seed, loss = x[order], seed[order], loss[order]
    first = np.flatnonzero(np.concatenate([[True], (np.diff(x) != 0) | (np.diff(seed) != 0)]))
    means = np.add.reduceat(loss, first) / np.diff(np.append(first, len(loss)))
    x, seed = x[first], seed[first]
    starts = np.flatnonzero(np.diff(x, prepend=np.nan) != 0)
    gone = np.add.reduceat(~np.isfinite(means), starts, dtype=np.int64).tolist()
    ends = [*starts[1:].tolist(), len(x)]
    parts = zip(x[starts].tolist(), starts.tolist(), ends, gone, strict=True)
    return {place: _Cell(seed[start:end], means[start:end], many) for place, start, end, many in parts}


def _steps(places: Sequence[int]) -> Iterator[tuple[int, int]]:
    """The pairs of sizes that are compared: neighbours, and the smallest with the largest."""
    yield from pairwise(places)
    if len(places) > 2:
        yield places[0], places[-1]


@dataclass(frozen=True, slots=True)
class _Noise:
    """What seeds show of the error of a difference between two sizes; runs that share a seed are taken together.

    Attributes:
        common: variance of what a seed does to the differences at all values alike.
        single: variance of one difference beside that, the median over values.
        local: value -> (smaller size's index, variance of one difference to the next size there), for each such pair.
        freedom: degrees of freedom of the common part, 0 with one seed.
    """

    common: float
    single: float
    local: Mapping[float, Sequence[tuple[int, float]]]
    freedom: float

    @classmethod
    def of(cls, tables: Sequence[_Table]) -> _Noise:
        """The noise of a ladder, pooled over neighbouring sizes; values at which a seed is missing are left out."""
        squares, freedom = 0.0, 0
        local: dict[float, list[tuple[int, float]]] = {}
        several = [any(len(cell.seeds) > 1 for cell in table.values()) for table in tables]
        for small, large in pairwise(range(len(tables))):
            if not (several[small] and several[large]):
                continue  # a single seed shows no noise
            found = {x: _differences(tables[small][x], tables[large][x]) for x in tables[small] if x in tables[large]}
            most = max(map(len, found.values()), default=0)
            whole = {x: each for x, each in found.items() if len(each) == most and np.isfinite(each).all()}
            if most < 2 or not whole:
                continue
            off = np.array(list(whole.values()))
            off -= off.mean(axis=1, keepdims=True)
            common: Array = np.median(off, axis=0)
            common -= common.mean()
            squares += float((common**2).sum())
            freedom += most - 1
            rest = ((off - common) ** 2).sum(axis=1) / (most - 1)
            for x, each in zip(whole, rest.tolist(), strict=True):
                local.setdefault(x, []).append((small, each))
        every = [each for found in local.values() for _, each in found]
        single = float(np.median(every)) if every else 0.0
        # neighbouring differences share a size: their variances count for three quarters of independent ones
        effective = max(1.0, 0.75 * freedom) if freedom else 0.0
        return cls(squares / freedom if freedom else 0.0, single, local, effective)

    def of_mean(self, small: int, large: int, x: float, runs: int) -> float:
        """Variance of the mean difference of so many seeds at one value."""
        between = [each for at, each in self.local.get(x, ()) if small <= at < large]
        beside = max(self.single, *between, 0.0)
        return (self.common + beside) / runs


def _differences(before: _Cell, after: _Cell) -> Array:
    """Losses at the larger size less those at the smaller one, seed by seed; by order where no seed is shared."""
    if np.array_equal(before.seeds, after.seeds):
        low, high = before.losses, after.losses
    else:
        _, left, right = np.intersect1d(before.seeds, after.seeds, assume_unique=True, return_indices=True)
        fewest = min(len(before.seeds), len(after.seeds))
        low, high = (before.losses[left], after.losses[right]) if len(left) else (
            before.losses[:fewest], after.losses[:fewest])  # fmt: skip
    known = np.isfinite(low) & np.isfinite(high)
    return np.asarray(np.where(known, np.where(known, high, 0) - np.where(known, low, 0), math.nan))


def _compared(
    sizes: Sequence[SizeEvidence],
    tables: Sequence[_Table],
    x: float,
    pair: tuple[int, int],
    noise: _Noise,
    level: float,
) -> tuple[bool, Rise | None]:
    """(whether the loss clearly does not rise from one size to the other, the rise where it clearly does)."""
    small, large = pair
    before, after = tables[small][x], tables[large][x]
    value, low, high = math.exp2(x), sizes[small].value, sizes[large].value
    if before.diverged:
        return False, None  # nothing is higher than a divergence, and a value that diverges says nothing
    if after.diverged == len(after.losses):
        return False, Rise(value, low, high, None)
    if noise.freedom == 0 or after.diverged:
        return False, None
    changes = _differences(before, after)
    change = float(changes.mean())
    half = student_quantile(level, noise.freedom) * math.sqrt(noise.of_mean(small, large, x, len(changes)))
    by = Interval(change, change - half, change + half)
    return by.high <= 0, Rise(value, low, high, by) if by.low > 0 else None


def _shown(rise: Rise, axis: str) -> str:
    """One rise, without the unit of the loss."""
    low, high = size_text(rise.low), size_text(rise.high)
    if rise.by is None:
        return f"{rise.value:.3g} diverges at {axis} {high} and trains at {low}"
    by = f"{rise.by.estimate:+.3g} ({rise.by.low:+.2g} to {rise.by.high:+.2g})"
    return f"{rise.value:.3g} ends {by} higher at {axis} {high} than at {low}"
