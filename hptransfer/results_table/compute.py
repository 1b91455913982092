"""What the runs of each size took in compute, where a table says it."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence

from hptransfer.results_table.cells import ResultTable, number_in
from hptransfer.results_table.columns import TableColumns
from hptransfer.results_table.rows import Run

#: floating point operations of training per parameter and token, forward and backward (arXiv 2001.08361, section 2.1)
_PER_PARAMETER = 6


def compute_by_size(table: ResultTable, roles: TableColumns, runs: Sequence[Run]) -> Mapping[float, float] | None:
    """Size -> mean compute of its runs up to a factor; None where the table does not say it for all of them.

    Args:
        table: the table as it was read.
        roles: names of its columns of compute, parameters and tokens; compute goes first.
        runs: those that count; diverged ones end early and say nothing.
    """
    if roles.compute is not None:
        factors: tuple[str, ...] = (roles.compute,)
    elif roles.parameters is not None and roles.tokens is not None:
        factors = (roles.parameters, roles.tokens)
    else:
        return None
    found: dict[float, list[float]] = defaultdict(list)
    for run in runs:
        if math.isfinite(run.loss):
            numbers = [number_in(table.columns[name][run.row], suffixes=True) for name in factors]
            if any(number is None or not 0 < number < math.inf for number in numbers):
                return None
            factor = 1 if len(factors) == 1 else _PER_PARAMETER
            found[run.size].append(factor * math.prod(number for number in numbers if number is not None))
    return {size: math.fsum(each) / len(each) for size, each in found.items()}
