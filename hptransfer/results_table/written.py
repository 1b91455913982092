"""How exactly a number was written: 2.762e-3 beside 2.76e-3, 18.627 beside 18.634, 32 bits beside 64."""

from __future__ import annotations

import math
import shlex
from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import replace
from decimal import Decimal, InvalidOperation
from typing import NamedTuple

import numpy as np

from hptransfer.errors import Place, UsageError
from hptransfer.results_table.cells import Cell, ResultTable, column_numbers
from hptransfer.statistics.arrays import Array

#: relative difference that 32-bit numbers of one value can have
_SINGLE = 1e-6
#: rounding that makes two grid values one is at most this, relative: 1% is 0.014 octaves, far below any grid's spacing
_MOST_ROUNDING = 0.01
#: merged values that a note lists
_SHOWN = 4


def last_place(cell: Cell) -> float:
    """The unit of the last written digit: 1e-5 for 2.76e-3, 1 for 300, 1e-3 for 18.627; 0 where it cannot be told."""
    try:
        exponent = Decimal(cell.strip() if isinstance(cell, str) else repr(cell)).as_tuple().exponent
    except (InvalidOperation, ValueError):
        return 0.0
    return 10.0**exponent if isinstance(exponent, int) and abs(exponent) < 300 else 0.0


class _Cluster(NamedTuple):
    """Values that count as one."""

    kept: float
    low: float
    high: float


def one_value(values: Array, cells: Iterable[Cell], apart: Iterable[Hashable]) -> dict[float, float]:
    """Values that were written with different digits -> the value that they are, written with the most.

    Two values are one where the longer, rounded to the digits of the shorter, is the shorter one and the two differ by
    at most 1%; where both are long, where they differ by less than 32-bit numbers can. Values that occur side by side
    where one run would have one of them are no roundings of each other.

    Args:
        values: (n,) positive numbers of one column.
        cells: the cell of each as it was read.
        apart: per number, what one run of a value has in common with no other: its size, seed and group.

    Returns:
        Only the values that change.
    """
    order = np.unique(values)
    near = order[1:] - order[:-1] <= _MOST_ROUNDING * order[1:]
    if not near.any():
        return {}
    wanted = {value for pair in np.flatnonzero(near).tolist() for value in (float(order[pair]), float(order[pair + 1]))}
    place: dict[float, float] = {}
    at: dict[float, set[Hashable]] = defaultdict(set)
    seen: dict[Cell, float] = {}
    for value, cell, key in zip(values.tolist(), cells, apart, strict=True):
        if value in wanted:
            unit = seen[cell] if cell in seen else seen.setdefault(cell, last_place(cell))
            place[value] = min(place.get(value, math.inf), unit)
            at[value].add(key)
    same: dict[float, float] = {}
    for index in np.flatnonzero(near).tolist():
        low, high = float(order[index]), float(order[index + 1])
        start = same.get(low, low)
        if _rounded(start, high, place) and at[start].isdisjoint(at[high]):
            keep, gone = (start, high) if place[start] <= place[high] else (high, start)
            at[keep] = at[start] | at[high]
            same |= {value: keep for value, to in same.items() if to == gone} | {gone: keep}
    return same


def _rounded(low: float, high: float, place: Mapping[float, float]) -> bool:
    difference = high - low
    if difference <= _SINGLE * high:
        return True
    half = max(place[low], place[high]) / 2
    return difference <= half * (1 + 1e-9) and difference <= _MOST_ROUNDING * high


def merge_within(table: ResultTable, within: Mapping[str, float]) -> ResultTable:
    """The table with values that are equal to a tolerance made one, which its notes say.

    Values are one where no gap between neighbours exceeds the tolerance; the most frequent one stands for all.

    Args:
        table: the table as it was read.
        within: column -> relative tolerance.

    Raises:
        UsageError: a column does not exist, or its values have no gaps at this tolerance.
    """
    columns, notes = dict(table.columns), []
    for column, tolerance in within.items():
        if column not in columns:
            raise UsageError(
                "`--within COLUMN=PERCENT` must name a column of the table",
                received=column,
                hint=f"its columns are {', '.join(columns)}"[:400],
                place=Place(table.name, 1),
                code="results/no-column",
            )
        numbers, _ = column_numbers(table, column, sizes=True)
        to = _clusters(table, column, numbers, tolerance)
        if merged := sorted({cluster for cluster in to.values() if cluster.low < cluster.high}):
            texts = [f"{each.low:.6g} to {each.high:.6g} as {each.kept:.6g}" for each in merged]
            more = f"; {len(texts) - _SHOWN} more" if len(texts) > _SHOWN else ""
            notes.append(f"{column} within {100 * tolerance:g}% is one value: {'; '.join(texts[:_SHOWN])}{more}")
        columns[column] = [
            to[number].kept if number in to and to[number].low < to[number].high else cell
            for number, cell in zip(numbers.tolist(), columns[column], strict=True)
        ]
    return replace(table, columns=columns, notes=(*table.notes, *notes))


def _clusters(table: ResultTable, column: str, numbers: Array, tolerance: float) -> dict[float, _Cluster]:
    """Each value -> the values around it without a gap of more than the tolerance."""
    values, counts = np.unique(numbers[np.isfinite(numbers)], return_counts=True)
    near = _split(values, tolerance)
    for low, high in near:
        spread = values[high] / values[low] - 1 if values[low] > 0 else 0.0
        if spread > tolerance * (1 + 1e-9):
            wider = math.ceil(100 * spread) / 100
            fits = wider <= 0.5 and all(
                values[last] <= values[first] * (1 + wider)
                for first, last in _split(values, wider)
                if values[first] > 0
            )
            raise UsageError(
                "values that `--within` makes one must lie within the tolerance of each other, with a gap around them",
                received=f"{column} from {values[low]:.6g} to {values[high]:.6g} without a gap of {100 * tolerance:g}%",
                hint=f"`--within {shlex.quote(f'{column}={100 * wider:g}%')}`, or less"
                if fits
                else "a smaller percentage",
                place=Place(table.name),
                code="results/within",
            )
    found: dict[float, _Cluster] = {}
    for low, high in near:
        kept = float(values[low + int(np.argmax(counts[low : high + 1]))])
        cluster = _Cluster(kept, float(values[low]), float(values[high]))
        found |= dict.fromkeys(values[low : high + 1].tolist(), cluster)
    return found


def _split(values: Array, tolerance: float) -> list[tuple[int, int]]:
    """(first, last) index of each run of increasing values without a gap; what is not positive stands alone."""
    if not len(values):
        return []
    apart = (values[1:] > values[:-1] * (1 + tolerance)) | (values[:-1] <= 0)
    starts = [0, *(np.flatnonzero(apart) + 1).tolist()]
    return list(zip(starts, [*(start - 1 for start in starts[1:]), len(values) - 1], strict=True))
