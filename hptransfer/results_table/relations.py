"""Columns that are functions of others: log2lr of lr, tokens per parameter of tokens and parameters, warmup of steps.

Found numerically, whatever the names: a product of powers, or an affine function of logarithms, within what rounding
explains, at more different points than the function has constants.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from hptransfer.results_table.cells import Cell
from hptransfer.results_table.written import last_place
from hptransfer.statistics.arrays import Array

Rows = npt.NDArray[np.intp]

#: points beyond the constants of a function that make it more than a coincidence
_SPARE = 2
#: most that rounding can explain, relative: steps are cut to whole numbers, 30.5 to 30
_MOST_ROUNDING = 0.02
#: what arithmetic in 64 bits may leave, and numbers printed with 7 digits
_ARITHMETIC = 1e-6
#: different points that are looked at; a function that holds there holds
_ENOUGH = 400
#: a power below this is none: the column does not follow from this one
_NO_POWER = 1e-3


@dataclass(frozen=True, slots=True)
class Relation:
    """One column as a function of others.

    Attributes:
        column: name of the column that follows.
        of: names of the columns that it follows from, each with a power (or a factor of its logarithm) other than 0.
        formula: in words: `0.1 x steps`, `lr x width^-1`, `log2 of lr`.
    """

    column: str
    of: tuple[str, ...]
    formula: str

    @property
    def sentence(self) -> str:
        """What is said of the column."""
        return f"{self.column} = {self.formula}"


@dataclass(frozen=True, slots=True)
class Numbers:
    """A column of numbers and how they were written.

    Attributes:
        values: (n,) numbers; NaN where there is none.
        cells: (n,) the cells as they were read; their last digits say how exactly a number is known.
    """

    values: Array
    cells: Sequence[Cell]

    def rounding(self, rows: Rows) -> Array:
        """Unit of the last written digit in some rows; 0 where it cannot be told."""
        return np.array([last_place(self.cells[row]) for row in rows.tolist()])


def function_of(name: str, column: Numbers, others: Mapping[str, Numbers]) -> Relation | None:
    """What a column is a function of, if it is one.

    Args:
        name: what the column is called.
        column: its numbers, at least two different ones.
        others: name -> numbers of columns that it may follow from, the likelier ones first; not positive ones are left
            out.

    Returns:
        The relation with the fewest columns; None where none holds.
    """
    usable = {key: each for key, each in others.items() if np.all(each.values[np.isfinite(each.values)] > 0)}
    names = list(usable)
    for tried in [(each,) for each in names] + [(a, b) for i, a in enumerate(names) for b in names[i + 1 :]]:
        found = _relation(name, column, {key: usable[key] for key in tried})
        if found is not None:
            return found
    return None


def _relation(name: str, column: Numbers, factors: Mapping[str, Numbers]) -> Relation | None:
    stacked = np.column_stack([column.values, *(each.values for each in factors.values())])
    complete = np.all(np.isfinite(stacked), axis=1)
    _, first = np.unique(stacked[complete], axis=0, return_index=True)
    rows = np.flatnonzero(complete)[np.sort(first)]
    constants = len(factors) + 1
    if len(np.unique(stacked[rows, 1:], axis=0)) < constants + _SPARE or len(np.unique(stacked[rows, 0])) < 2:
        return None
    if len(np.unique(stacked[rows, 1:], axis=0)) < len(rows):
        return None  # the same factors go with several values
    rows = rows[:: max(1, len(rows) // _ENOUGH)]
    logs = np.column_stack([np.log2(each.values[rows]) for each in factors.values()])
    slack = np.column_stack([_relative(each, rows) for each in factors.values()]) / math.log(2)
    values = column.values[rows]
    if np.all(values > 0):
        powers = _solved(logs, np.log2(values), slack, _relative(column, rows) / math.log(2))
        if powers is not None:
            return _named(name, tuple(factors), powers, _product)
    scale = np.ptp(values)
    written = np.minimum(column.rounding(rows), _MOST_ROUNDING * scale)
    powers = _solved(logs, values, slack, np.maximum(written, _ARITHMETIC * scale))
    return None if powers is None else _named(name, tuple(factors), powers, _logarithm)


def _relative(column: Numbers, rows: Rows) -> Array:
    values = np.abs(column.values[rows])
    relative: Array = np.clip(column.rounding(rows) / np.maximum(values, 1e-300), _ARITHMETIC, _MOST_ROUNDING)
    return relative


def _solved(logs: Array, target: Array, slack: Array, own: Array) -> Array | None:
    """(1 + factors,) constant and powers of an affine function that meets every point within rounding; else None."""
    design = np.column_stack([np.ones(len(logs)), logs])
    solution, _, rank, _ = np.linalg.lstsq(design, target, rcond=None)
    if rank < design.shape[1]:
        return None
    for powers in (np.array([_simple(power) for power in solution[1:].tolist()]), solution[1:]):
        constant = float(np.median(target - logs @ powers))
        residual = np.abs(target - logs @ powers - constant)
        if np.all(np.abs(powers) > _NO_POWER) and np.all(residual <= 1.5 * (own + slack @ np.abs(powers))):
            return np.array([constant, *powers])
    return None


def _simple(power: float) -> float:
    """The simple fraction that a power lies at, or the power itself."""
    fraction = float(Fraction(power).limit_denominator(6))
    return fraction if abs(power - fraction) < 0.02 else power


def _named(
    name: str, of: tuple[str, ...], powers: Array, write: Callable[[tuple[str, ...], list[float]], str]
) -> Relation:
    return Relation(name, of, write(of, powers.tolist()))


def _product(of: tuple[str, ...], powers: list[float]) -> str:
    factor = 2.0 ** powers[0]
    terms = [key if power == 1 else f"{key}^{power:.4g}" for key, power in zip(of, powers[1:], strict=True)]
    return " x ".join([*([] if math.isclose(factor, 1, rel_tol=1e-3) else [f"{factor:.4g}"]), *terms])


def _logarithm(of: tuple[str, ...], powers: list[float]) -> str:
    known = {1.0: "log2", math.log10(2): "log10", math.log(2): "ln"}
    base = next((word for factor, word in known.items() if math.isclose(powers[1], factor, rel_tol=0.01)), None)
    if base and len(of) == 1 and abs(powers[0]) < 0.01:
        return f"{base} of {of[0]}"
    terms = [f"{power:.4g} x log2 {key}" for key, power in zip(of, powers[1:], strict=True)]
    return " + ".join([f"{powers[0]:.4g}", *terms])
