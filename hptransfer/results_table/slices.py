"""Several hyperparameters in one table of finished runs, varied one at a time: the slice of each.

A slice varies one hyperparameter while the others keep one combination of values, through the best of the combinations
that were measured; rows off every slice are left out. A table without such lines cannot be judged by slices.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hptransfer.errors import Place, UsageError
from hptransfer.results_table.cells import ResultTable, cell_text
from hptransfer.results_table.combinations import Combinations
from hptransfer.statistics.seed_means import Point

#: runs by size
Runs = Mapping[float, Sequence[Point]]

#: values that a slice must vary over at some size; fewer have no curve
_FEWEST_VALUES = 3
#: a line with less than this share of the values of the longest is a piece of a search, and no slice
_LONG = 0.75


@dataclass(frozen=True, slots=True)
class TableSlice:
    """The rows that bear on one hyperparameter.

    Attributes:
        value: its column; None where it is to be inferred.
        table: the table as it was read, one row per run.
        held: column of each other hyperparameter -> the value it has in these rows; one per group, in order.
        left_out: rows of the table that are off this slice.
        free: columns of other hyperparameters that are at their best, by a joint fit of all rows, and not held.
    """

    value: str | None
    table: ResultTable
    held: Mapping[str, str]
    left_out: int
    free: tuple[str, ...] = ()


def slice_table(
    table: ResultTable, columns: Sequence[str], found: Combinations, groups: Mapping[str | None, Runs]
) -> list[TableSlice]:
    """One slice per column, through the combination that is best at the smallest size among those with long lines.

    Args:
        table: the table as it was read, one row per run.
        columns: names of the hyperparameters' columns, two or more.
        found: the table's combinations of their values.
        groups: each group's runs by size; their hyperparameter is the number of a combination.

    Raises:
        UsageError: a column has no slice.
    """
    slices = []
    for index, column in enumerate(columns):
        lines = {name: _line(runs, index, columns, found, table.name) for name, runs in groups.items()}
        rows = [
            row
            for row, number in zip(found.rows, found.numbers, strict=True)
            if _others(found.log2[number - 1], index) == lines.get(_group_of(table, row, found))
        ]
        held = {
            other: ", ".join(dict.fromkeys(cell_text(table.columns[other][row]) for row in rows))
            for other in columns
            if other != column
        }
        slices.append(TableSlice(column, table.take(rows), held, len(table) - len(rows)))
    return slices


def _group_of(table: ResultTable, row: int, found: Combinations) -> str | None:
    return None if found.roles.group is None else cell_text(table.columns[found.roles.group][row])


def _others(values: Sequence[float], index: int) -> tuple[float, ...]:
    return tuple(value for other, value in enumerate(values) if other != index)


def _line(runs: Runs, index: int, columns: Sequence[str], found: Combinations, source: str) -> tuple[float, ...]:
    """Values of the others on the best line of one column: log2, in the order of the columns."""
    smallest = min(runs)
    varied: dict[tuple[float, ...], set[float]] = defaultdict(set)
    losses: dict[tuple[float, ...], list[float]] = defaultdict(list)
    for size, points in runs.items():
        for point in points:
            values = found.of(point)
            varied[_others(values, index)].add(values[index])
            if size == smallest:
                losses[values].append(math.inf if point.diverged else point.loss)
    longest = max(len(values) for values in varied.values())
    if longest < _FEWEST_VALUES:
        others = [column for column in columns if column != columns[index]]
        raise UsageError(
            f"the table must hold a slice for `{columns[index]}`: at least {_FEWEST_VALUES} values of it while "
            f"{' and '.join(others)} keep theirs",
            received=f"at most {longest} values at any combination of the others",
            hint=f"runs that vary everything at once are judged together where each size has at least "
            f"{len(columns) + 2} combinations that train, {3 * len(columns) * (len(columns) + 1)} or better, and two "
            "or three hyperparameters are named; else name one --value-column and select with --where",
            place=Place(source),
            code="results/no-slice",
        )
    best: dict[tuple[float, ...], float] = {}
    for values, seen in losses.items():
        held = _others(values, index)
        best[held] = min(best.get(held, math.inf), math.fsum(seen) / len(seen))
    usable = [held for held, values in varied.items() if len(values) >= max(_FEWEST_VALUES, _LONG * longest)]
    return min(usable, key=lambda held: (best.get(held, math.inf), -len(varied[held]), held))
