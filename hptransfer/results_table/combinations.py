"""Several hyperparameters of a table as one: every combination of their values has a number.

So rows are read, counted, refused and left out by the same rules as those of one hyperparameter, and nothing that is
said of mixtures is said of the hyperparameters themselves.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from hptransfer.errors import UsageError
from hptransfer.hyperparameters import AVERAGES, log_name
from hptransfer.results_table.cells import Cell, ResultTable, column_numbers
from hptransfer.results_table.columns import NamedColumns, TableColumns, infer_columns
from hptransfer.statistics.seed_means import Point

#: what stands between the names of hyperparameters that are one
TIMES = " x "


@dataclass(frozen=True, slots=True)
class Combinations:
    """A table whose hyperparameters are one column.

    Attributes:
        table: the rows with a combination, and a further column of its number, from 1.
        roles: of this table's columns.
        hyperparameters: what each of the d hyperparameters is called.
        log2: (M, d) log2 values of the combination with number index + 1, in increasing order.
        rows: of the table as it was read, for each row of `table`.
        numbers: of the combination, for each row of `table`.
        left_out: rows without a combination, by reason.
    """

    table: ResultTable
    roles: TableColumns
    hyperparameters: tuple[str, ...]
    log2: tuple[tuple[float, ...], ...]
    rows: tuple[int, ...]
    numbers: tuple[int, ...]
    left_out: Mapping[str, int]

    def of(self, point: Point) -> tuple[float, ...]:
        """Log2 values of a run whose hyperparameter is the number of a combination."""
        return self.log2[round(math.exp2(point.x)) - 1]


def combine_columns(
    table: ResultTable, columns: Sequence[str], asked: NamedColumns, *, maximize: bool | None = None
) -> Combinations:
    """Make one column of several hyperparameters.

    Args:
        table: the table as it was read, one row per run.
        columns: names of the hyperparameters' columns, two or more.
        asked: the other columns that the user named.
        maximize: whether more of the objective is better; None where the user did not say.

    Raises:
        UsageError: a column does not exist or has two meanings, or a value is no positive number.
    """
    known = [infer_columns(table, replace(asked, value=column), maximize=maximize) for column in columns]
    numbers, left_out = [], {}
    complete = np.ones(len(table), dtype=bool)
    for column, roles in zip(columns, known, strict=True):
        values, missing = column_numbers(table, column)
        if roles.base is not None:
            values = np.power(float(roles.base), values)
        if _average(roles) is not None:
            with np.errstate(divide="ignore"):
                values = 1 / (1 - values)
        reasons = {
            f"without a {column}": missing | np.isnan(values),
            f"with {column} 0, which has no place on a log scale": values == 0,
        }
        for reason, rows in reasons.items():
            if count := int((rows & complete).sum()):
                left_out[reason] = count
            complete &= ~rows
        _refuse(table, column, values, complete)
        with np.errstate(divide="ignore", invalid="ignore"):
            numbers.append(np.round(np.log2(values), 9))
    log2 = np.stack(numbers, axis=1)
    combinations, index = np.unique(log2[complete], axis=0, return_inverse=True)
    rows, found = np.flatnonzero(complete).tolist(), (index.reshape(-1) + 1).tolist()
    name = TIMES.join(columns)
    kept = table.take(rows)
    cells: list[Cell] = [str(number) for number in found]
    kept = replace(kept, columns={**kept.columns, name: cells})
    # a number of a combination is no logarithm, whatever the names in its name say
    own = infer_columns(kept, replace(asked, value=name, log_base="none"), maximize=maximize)
    return Combinations(
        table=kept,
        roles=replace(own, searched=tuple(columns)),
        hyperparameters=tuple(log_name(_average(roles) or roles.hyperparameter) for roles in known),
        log2=tuple(tuple(float(v) for v in row) for row in combinations),
        rows=tuple(rows),
        numbers=tuple(found),
        left_out=left_out,
    )


def _average(roles: TableColumns) -> str | None:
    """The name of a beta or momentum, which is compared by its horizon; None for other hyperparameters."""
    return next((name for name in AVERAGES if roles.hyperparameter in (name, log_name(name))), None)


def _refuse(table: ResultTable, column: str, values: np.ndarray, among: np.ndarray) -> None:
    bad = among & ~(np.isfinite(values) & (values > 0))
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        received = values[row] if math.isfinite(values[row]) else "infinity"
        raise UsageError(
            f"`{column}` must be positive and finite",
            received=f"{received} ({int(bad.sum())} such rows)",
            hint=f"correct these rows, or name another column than `{column}`",
            place=table.place(row),
            code="results/value",
        )
