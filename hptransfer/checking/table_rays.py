"""Columns that a table's size gives in all rows: the ray along which its runs grew, and whether a target lies on it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from hptransfer.errors import UsageError
from hptransfer.results_table.cells import ResultTable, column_numbers
from hptransfer.statistics.arrays import Array
from hptransfer.transfer.coverage import SAME_HORIZON, Ray

#: sizes that a function of two constants must go through
_FEWEST = 3
#: a power that lies so near a simple fraction is that fraction
_NEAR = 0.02


@dataclass(frozen=True, slots=True)
class _Law:
    """A column as a function of the size.

    Attributes:
        at: the column's value at a size.
        said: the right-hand side in words, with `{size}` for the size's name.
        proportional: whether it is a constant times the size.
    """

    at: Callable[[float], float]
    said: str
    proportional: bool = False


def ray_of(table: ResultTable, sizes: str, column: str, *, axis: str, target: float, value: float) -> Ray | None:
    """The ray of a column that a table's size gives in all rows; None where it does not.

    Args:
        table: rows that were judged.
        sizes: column of the table's size.
        column: of which the target has a value.
        axis: what the size is called.
        target: size that is asked about.
        value: the target's value of the column, positive.
    """
    if column not in table.columns:
        return None
    found = _law(*_by_size(table, sizes, column))
    if found is None:
        return None
    noun, per = (name.replace("_", " ") for name in (column, axis.removesuffix("s")))
    if found.proportional:
        ratio = found.at(1.0)
        named = f"{column}_per_{axis.removesuffix('s')}"
        return Ray(column, named, ratio, value / target, f"{ratio:.3g} {noun} per {per}")
    along = f"{noun} = {found.said.format(size=axis.replace('_', ' '))}"
    return Ray(column, column, found.at(target), value, along, than="what the rows have at such a size")


def _by_size(table: ResultTable, sizes: str, column: str) -> tuple[Array, Array]:
    """(SIZES,) sizes and the column's value at each; nothing where it has several at one size."""
    nothing = np.zeros(0)
    try:
        (size, _), (value, _) = (column_numbers(table, name, sizes=True) for name in (sizes, column))
    except UsageError:  # words follow no law
        return nothing, nothing
    if not all(np.all(np.isfinite(each) & (each > 0)) for each in (size, value)):
        return nothing, nothing
    different, place = np.unique(size, return_inverse=True)
    logs = [np.log(value[place == index]) for index in range(len(different))]
    if any(np.ptp(each) > math.log1p(SAME_HORIZON) for each in logs):
        return nothing, nothing
    return different, np.exp(np.array([each.mean() for each in logs]))


def _law(size: Array, value: Array) -> _Law | None:
    """The function of two constants that goes through all sizes to 5%; None where there is none, or no change."""
    if len(size) < _FEWEST or np.ptp(np.log(value)) <= math.log1p(SAME_HORIZON):
        return None
    free = float(np.polyfit(np.log(size), np.log(value), 1)[0])
    simple = float(Fraction(free).limit_denominator(3))
    for power in [simple, free] if abs(simple - free) <= _NEAR else [free]:
        factor = float(np.exp(np.mean(np.log(value) - power * np.log(size))))
        if _fits(factor * size**power, value):
            return _power(factor, power)
    # of a model's parameters: what is read in and out grows as the width, what lies between as its square
    design = np.column_stack([size, size**2]) / value[:, None]
    (first, second), *_ = np.linalg.lstsq(design, np.ones(len(size)), rcond=None)
    if first > 0 and second > 0 and _fits(first * size + second * size**2, value):
        said = f"{first:.4g} x {{size}} + {second:.4g} x {{size}}^2"
        return _Law(lambda at: float(first * at + second * at**2), said)
    return None


def _power(factor: float, power: float) -> _Law:
    said = f"{factor:.4g} x {{size}}" + ("" if power == 1 else f"^{power:.4g}")
    return _Law(lambda at: factor * at**power, said, proportional=power == 1)


def _fits(expected: Array, value: Array) -> bool:
    return bool(np.all(np.abs(value / expected - 1) <= SAME_HORIZON))
