"""Rows of one size and value: which are one run, which are seeds, and which nobody can tell."""

from __future__ import annotations

import math
import shlex
import zlib
from collections import Counter, defaultdict
from collections.abc import Hashable, Sequence

from hptransfer.errors import UsageError
from hptransfer.results_table.cells import ResultTable, cell_text
from hptransfer.results_table.column_kinds import ColumnKind, column_kind, tells_seeds
from hptransfer.results_table.columns import TableColumns
from hptransfer.results_table.rows import Run
from hptransfer.results_table.rules import RowRules
from hptransfer.results_table.written import last_place
from hptransfer.sizes import size_text

#: values of a column that may tell groups apart, and columns that are listed
_FEW = 12
_LISTED = 4

Cells = dict[tuple[float, float, Hashable], list[Run]]


def with_all_seeds(table: ResultTable, roles: TableColumns, runs: list[Run], notes: list[str]) -> list[Run]:
    """Runs told apart by further columns of seeds, where rows of one size, value and seed differ in these.

    Args:
        table: the rows that were selected.
        roles: which column means what.
        runs: finished runs of one group.
        notes: takes what was decided.
    """
    for column in table.columns:
        if column in (roles.seed, roles.group, roles.loss, roles.value, roles.size):
            continue
        if column_kind(column) is not ColumnKind.SEED or not tells_seeds(table.columns[column]):
            continue
        cells = table.columns[column]
        repeated = [same for same in _cells(runs).values() if len(same) > 1]
        if any(len({cell_text(cells[run.row]) for run in same}) > 1 for same in repeated):
            told = f"{roles.seed} and {column} together tell" if roles.seed else f"{column} tells"
            notes.append(f"{told} runs of the same {roles.size} and {roles.value} apart")
            runs = [
                run._replace(
                    seed=cell_text(cells[run.row]) if run.seed is None else f"{run.seed}/{cell_text(cells[run.row])}"
                )
                for run in runs
            ]
    return runs


def without_copies(table: ResultTable, roles: TableColumns, runs: list[Run], dropped: Counter[str]) -> list[Run]:
    """Runs without rows that repeat another: equal in size, value, seed and, to the digits written, in loss.

    Args:
        table: the rows that were selected.
        roles: which column means what.
        runs: finished runs of one group.
        dropped: takes the number of rows left out.
    """
    if _all_differ(runs):
        return runs
    unique = list({_identity(run): run for run in reversed(runs)}.values())[::-1]
    losses = table.columns[roles.loss]
    gone: set[int] = set()
    alike = _cells([run for run in unique if run.seed is not None and math.isfinite(run.loss)])
    for same in (each for each in alike.values() if len(each) > 1):
        kept: list[Run] = []
        for run in sorted(same, key=lambda run: (last_place(losses[run.row]), run.loss)):
            half = last_place(losses[run.row]) / 2
            if any(abs(run.loss - other.loss) <= half * (1 + 1e-9) for other in kept):
                gone.add(run.row)
            else:
                kept.append(run)
    unique = [run for run in unique if run.row not in gone]
    if len(unique) < len(runs):
        dropped["that repeat another row"] += len(runs) - len(unique)
    return unique


def resolved(table: ResultTable, roles: TableColumns, rules: RowRules, runs: list[Run], notes: list[str]) -> list[Run]:
    """One run per size, value and seed.

    Args:
        table: the rows that were selected.
        roles: which column means what.
        rules: what the user said about repeats.
        runs: of one group, copies left out.
        notes: takes what was decided.

    Raises:
        UsageError: rows of one size, value and seed have several losses, and the user did not say what they are.
    """
    if _all_differ(runs):
        return runs
    cells = _cells(runs)
    repeated = [same for same in cells.values() if len(same) > 1]
    if any(run.seed is None for run in runs):
        notes.append(f"no seed column: rows of the same {roles.size} and {roles.value} count as different seeds")
        return _numbered(runs)
    if rules.repeats == "seeds":
        notes.append(f"rows of one {roles.size}, {roles.value} and {roles.seed} count as different seeds")
        return _numbered(runs)
    if rules.repeats == "mean":
        notes.append(
            f"{len(repeated)} runs of the same size, value and seed occur with several losses: their mean counts"
        )
        return [same[0]._replace(loss=math.fsum(run.loss for run in same) / len(same)) for same in cells.values()]
    first = repeated[0]
    listed = ", ".join(f"{run.loss:.6g} (line {table.lines[run.row]})" for run in first[:4])
    where = f"{roles.size} {size_text(first[0].size)}, {roles.value} {first[0].value:.6g}, {roles.seed} {first[0].seed}"
    differ = _differing(table, roles, rules, repeated)
    if differ:
        how, apart = f"only {', '.join(differ)} differ", f"add its column to the table, or name {differ[0]} with "
        apart = f"{apart}`--group-column {shlex.quote(differ[0])}`"
    else:
        how, apart = "no column says how they differ", "add its column to the table"
    raise UsageError(
        f"rows of the same {roles.size}, {roles.value} and {roles.seed} must have one loss: {how}",
        received=f"{len(repeated)} such runs with several losses; {where}: {listed}",
        hint=f"if a setting differs between them, {apart}; if they are reruns, `--repeats mean` "
        "takes their mean and `--repeats seeds` counts them as further seeds",
        place=table.place(first[-1].row),
        code="results/repeats",
    )


def _differing(
    table: ResultTable, roles: TableColumns, rules: RowRules, repeated: Sequence[Sequence[Run]]
) -> list[str]:
    """Columns with few values in which rows of one run differ, and which no measurement made differ."""
    found = []
    for column, cells in table.columns.items():
        measured = column_kind(column) is ColumnKind.MEASURED
        if measured or column in rules.ignored or column in (roles.loss, roles.state):
            continue
        several = sum(len({cell_text(cells[run.row]) for run in same}) > 1 for same in repeated)
        if several and len({cell_text(cells[run.row]) for same in repeated for run in same}) <= _FEW:
            found.append(column)
    return found[:_LISTED]


def _all_differ(runs: Sequence[Run]) -> bool:
    return len({(run.size, run.value, run.seed) for run in runs}) == len(runs)


def _cells(runs: Sequence[Run]) -> Cells:
    cells: Cells = defaultdict(list)
    for run in runs:
        cells[run.size, run.value, run.seed].append(run)
    return cells


def _identity(run: Run) -> Hashable:
    """What makes two rows the same run; divergences without a seed are different runs, equal finite losses are not."""
    nameless = run.seed is None and math.isinf(run.loss)
    return (run.size, run.value, run.row if nameless else run.seed, run.loss)


def _numbered(runs: list[Run]) -> list[Run]:
    """Rows of the same size, value and seed as different seeds.

    They are numbered in an order that neither the file nor the loss decides: sorted losses would pass for seeds with an
    effect of their own, and noise would look small.
    """
    return [
        run._replace(seed=number if run.seed is None else f"{run.seed}/{number}")
        for same in _cells(runs).values()
        for number, run in enumerate(sorted(same, key=lambda run: (zlib.crc32(repr(run.loss).encode()), run.loss)))
    ]
