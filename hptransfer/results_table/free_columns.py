"""Which of several columns of one hyperparameter was swept: the others are functions of it and of the size."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from hptransfer.errors import UsageError
from hptransfer.results_table.cells import ResultTable, column_numbers, distinct
from hptransfer.results_table.relations import Numbers, function_of


def bound_columns(table: ResultTable, candidates: Sequence[str], size: str, known: Mapping[str, str]) -> dict[str, str]:
    """The candidates that do not vary freely, each with the one that it follows from.

    A column is bound where every size has one value of it while another candidate varies within sizes, or where it is a
    function of another candidate of the same name and of the size. Of two such, the one with fewer values is free: a
    grid that is common to the sizes.

    Args:
        table: the table as it was read.
        candidates: columns that vary and are called hyperparameters.
        size: the column of sizes.
        known: column -> the hyperparameter that it is called.

    Returns:
        Column -> the column that it follows from; empty where it follows from the size alone.
    """
    if len(candidates) < 2:
        return {}
    sizes = _numbers(table, size)
    if sizes is None:
        return {}
    bound: dict[str, str] = {}
    fixed = [name for name in candidates if _one_per_size(table, name, sizes)]
    if len(fixed) < len(candidates):
        bound |= dict.fromkeys(fixed, "")
    free = [name for name in candidates if name not in bound]
    ranked = sorted(free, key=lambda name: (len(distinct(table.columns[name])), _logarithm(table, name)))
    for place, name in enumerate(ranked):
        if name in bound or (own := _numbers(table, name)) is None:
            continue
        for other in ranked[place + 1 :]:
            theirs = _numbers(table, other)
            if theirs is None or known[other] != known[name] or other in bound:
                continue
            relation = function_of(other, theirs, {name: own, size: sizes})
            if relation is not None and name in relation.of:
                bound[other] = name
    return bound


def _numbers(table: ResultTable, name: str) -> Numbers | None:
    try:
        return Numbers(column_numbers(table, name, sizes=True)[0], table.columns[name])
    except UsageError:
        return None


def _one_per_size(table: ResultTable, name: str, sizes: Numbers) -> bool:
    found = _numbers(table, name)
    if found is None:
        return False
    seen: dict[float, float] = {}
    return all(
        seen.setdefault(size, value) == value
        for size, value in zip(sizes.values.tolist(), found.values.tolist(), strict=True)
        if not (math.isnan(size) or math.isnan(value))
    )


def _logarithm(table: ResultTable, name: str) -> bool:
    """Whether a column holds numbers that are not positive, as logarithms of rates are."""
    found = _numbers(table, name)
    return found is None or bool(np.any(found.values <= 0))
