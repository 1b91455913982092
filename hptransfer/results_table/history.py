"""Histories: several rows per run, of which the last one counts where the runs of a size are equally long."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import replace
from shlex import quote

import numpy as np
import numpy.typing as npt

from hptransfer.errors import UsageError
from hptransfer.results_table.cells import DIVERGED, ResultTable, cell_text, column_numbers, is_missing
from hptransfer.results_table.columns import TableColumns, infer_step, run_columns
from hptransfer.sizes import size_text, size_word
from hptransfer.statistics.arrays import Array

#: runs whose lengths differ by less than this, relative, are equally long: programs count from 0 or 1
_SAME_LENGTH = 0.01
#: share of a size's runs that must have its usual length
_USUAL = 0.5
#: runs or sizes that a sentence names
_NAMED = 8


def last_rows(table: ResultTable, run: str, roles: TableColumns, values: Sequence[str]) -> ResultTable:
    """The last row with a loss of every run; runs that ended before the others of their size are left out and named.

    Args:
        table: several rows per run, selected.
        run: column that names the run of each row.
        roles: which column means what.
        values: columns of hyperparameters that are judged.

    Raises:
        UsageError: a run has several sizes, values or seeds, or the runs of a size have no usual length.
    """
    if run not in table.columns:
        raise UsageError(
            "`--run-column` must name a column of the table",
            received=run,
            hint=f"its columns are {', '.join(table.columns)}"[:400],
            place=table.place(0),
            code="results/no-column",
        )
    rows_of: dict[tuple[str, str], list[int]] = defaultdict(list)
    nameless = 0
    for row, cell in enumerate(table.columns[run]):
        if is_missing(cell):
            nameless += 1
        else:
            rows_of[table.files[row] if table.files else "", cell_text(cell)].append(row)
    for column in (roles.size, *dict.fromkeys((roles.value, *values)), roles.seed, roles.group):
        if column is not None:
            _require_one(table, run, column, rows_of)
    step = infer_step(table)
    steps = None if step is None else column_numbers(table, step)[0]
    losses, missing = column_numbers(table, roles.loss, infinite=DIVERGED)
    lasts = {}
    for key, rows in rows_of.items():
        ordered = rows if steps is None else sorted(rows, key=lambda row: (_or_first(float(steps[row])), row))
        lasts[key] = _last(ordered, losses, missing)
    lengths = {key: float(len(rows_of[key])) if steps is None else float(steps[row]) for key, row in lasts.items()}
    early, said = _ended_early(table, roles, lasts, lengths, losses, step)
    kept = sorted(row for key, row in lasts.items() if key not in early)
    left_out = Counter(table.left_out)
    left_out["that are no run's last"] += sum(len(rows) for rows in rows_of.values()) - len(lasts)
    left_out["of runs that ended before the others of their size"] += len(early)
    left_out[f"without a {run}"] += nameless
    by = f" by {step}" if step is not None else ", in the order of the file"
    notes = (*table.notes, f"runs: column {run}; the last row of each of {len(lasts)} runs counts{by}", *said)
    return replace(
        table.take(kept), notes=notes, left_out={reason: count for reason, count in left_out.items() if count}
    )


def _or_first(step: float) -> float:
    return -math.inf if math.isnan(step) else step


def _last(rows: Sequence[int], losses: Array, missing: npt.NDArray[np.bool_]) -> int:
    """The last row with a loss; NaN before a finite loss says that nothing was measured there, not that it diverged."""
    known = [row for row in rows if not missing[row]]
    finite = [row for row in known if not math.isnan(losses[row])]
    gaps = bool(finite) and any(math.isnan(losses[row]) for row in known[: known.index(finite[-1])])
    found = finite if gaps else known
    return found[-1] if found else rows[-1]


def _require_one(table: ResultTable, run: str, column: str, rows_of: dict[tuple[str, str], list[int]]) -> None:
    cells = table.columns[column]
    for (_, name), rows in rows_of.items():
        seen = {cell_text(cells[row]) for row in rows if not is_missing(cells[row])}
        if len(seen) > 1:
            raise UsageError(
                f"a run must have one {column}",
                received=f"{run} {name}: {', '.join(sorted(seen)[:4])}",
                hint=f"if {column} is on a schedule, name the column of its peak: --value-column NAME; if these are "
                "several runs, name the column that tells them apart: --run-column NAME",
                place=table.place(rows[0]),
                code="results/run-column",
            )


def _ended_early(
    table: ResultTable,
    roles: TableColumns,
    lasts: dict[tuple[str, str], int],
    lengths: dict[tuple[str, str], float],
    losses: Array,
    step: str | None,
) -> tuple[set[tuple[str, str]], list[str]]:
    """Runs that are shorter than is usual at their size, and what is said of them and of the lengths."""
    sizes, _ = column_numbers(table, roles.size, sizes=True)
    groups = None if roles.group is None else table.columns[roles.group]
    of_size: dict[tuple[str, float], list[tuple[str, str]]] = defaultdict(list)
    for key, row in lasts.items():
        if math.isfinite(losses[row]) and math.isfinite(sizes[row]):
            of_size["" if groups is None else cell_text(groups[row]), float(sizes[row])].append(key)
    word = step or "row"
    early: set[tuple[str, str]] = set()
    named, usual_of = [], {}
    for (group, size), keys in sorted(of_size.items()):
        usual = _usual(table, roles, size, {key: lengths[key] for key in keys}, word, lasts)
        usual_of[group, size] = usual
        for key in keys:
            if lengths[key] < usual * (1 - _SAME_LENGTH):
                early.add(key)
                named.append(f"{key[1]} ({roles.size} {size_text(size)}) at {word} {lengths[key]:g} of {usual:g}")
    said = []
    if named:
        more = f", and {len(named) - _NAMED} more" if len(named) > _NAMED else ""
        said.append(
            f"ended early and left out: {', '.join(named[:_NAMED])}{more}; where one of them diverged, write nan as "
            "its last loss"
        )
    found = sorted({(size, usual) for (_, size), usual in usual_of.items()})
    if found and max(usual for _, usual in found) > min(usual for _, usual in found) * (1 + _SAME_LENGTH):
        listed = ", ".join(f"{usual:g} at {size_text(size)}" for size, usual in found[:_NAMED])
        each = size_word(roles.axis)
        said.append(f"runs of one {each} are equally long, and each {each} has its own {word}: {listed}")
    return early, said


def _usual(
    table: ResultTable,
    roles: TableColumns,
    size: float,
    lengths: dict[tuple[str, str], float],
    word: str,
    lasts: dict[tuple[str, str], int],
) -> float:
    """The length that most runs of a size have; no run may be longer."""
    found = np.array(sorted(lengths.values()))
    shares = [float((np.abs(found - each) <= _SAME_LENGTH * each).mean()) for each in found]
    usual = float(max(zip(shares, found, strict=True))[1])
    longer = [key for key, length in lengths.items() if length > usual * (1 + _SAME_LENGTH)]
    if max(shares) < _USUAL or longer:
        listed = ", ".join(
            f"{count} at {word} {length:g}" for length, count in sorted(Counter(found.tolist()).items())[:6]
        )
        row = lasts[longer[0]] if longer else lasts[next(iter(lengths))]
        raise UsageError(
            f"runs of one {roles.size} must be equally long",
            received=f"{roles.size} {size_text(size)}: runs end {listed}",
            hint=f"compare where all have a row: `--where {quote(f'{word}={found[0]:g}')}`; or leave the others out",
            place=table.place(row),
            code="results/unequal-runs",
        )
    return usual


def refuse_history(table: ResultTable, roles: TableColumns) -> None:
    """Refuse a table whose rows are the steps of runs, where nobody said which row of a run counts.

    Args:
        table: the rows that were selected.
        roles: which column means what.

    Raises:
        UsageError: a column names runs, and each has a row per step.
    """
    step = infer_step(table)
    if step is None or step in (roles.size, roles.value, roles.loss, roles.seed, roles.group):
        return
    steps = table.columns[step]
    for run in run_columns(table):
        cells = table.columns[run]
        if run in (roles.size, roles.value, roles.group) or len(set(cells)) > len(cells) / 1.5:
            continue
        rows_of: dict[str, list[int]] = defaultdict(list)
        for row, cell in enumerate(cells):
            rows_of[cell_text(cell)].append(row)
        if all(
            _one_run(table, roles, rows) and len({steps[row] for row in rows}) == len(rows) for rows in rows_of.values()
        ):
            name, rows = next(iter(rows_of.items()))
            raise UsageError(
                "a table of results must have one row per run",
                received=f"{run} {name}: {len(rows)} rows, {step} {cell_text(steps[rows[0]])} to "
                f"{cell_text(steps[rows[-1]])}",
                hint=f"`--run-column {quote(run)}` takes the last row of each run",
                place=table.place(rows[0]),
                code="results/history",
            )


def _one_run(table: ResultTable, roles: TableColumns, rows: Sequence[int]) -> bool:
    return all(
        len({cell_text(table.columns[column][row]) for row in rows}) == 1
        for column in (roles.size, roles.value, roles.seed)
        if column is not None
    )
