"""The rows of a table that are finished runs, and why the others are not."""

from __future__ import annotations

import math
import re
import shlex
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from hptransfer.errors import Place, UsageError
from hptransfer.hyperparameters import AVERAGES
from hptransfer.results_table.cells import (
    DIVERGED,
    Cell,
    ResultTable,
    cell_text,
    column_numbers,
    distinct,
    is_missing,
    texts_of,
)
from hptransfer.results_table.column_names import hyperparameter_name, normalized_column_name, words_of
from hptransfer.results_table.columns import TableColumns
from hptransfer.results_table.rules import RowRules
from hptransfer.results_table.written import one_value

#: how runs end, as W&B, Optuna, MLflow, Ray and Slurm say it
_UNFINISHED = words_of(
    "crashed failed fail failure killed running pending preempted preempting pruned waiting timeout timed_out stopped "
    "canceled cancelled aborted interrupted incomplete unfinished error errored scheduled queued suspended paused "
    "early_stopped earlystopped out_of_memory oom node_fail boot_fail deadline revoked terminated_early started"
)
_FINISHED = words_of(
    "finished complete completed success succeeded successful done ok terminated ended stopped_normally"
)
#: names of columns of true and false -> what true says of a run; after "not " what false says
_FLAGS = {
    **dict.fromkeys(
        ("diverged", "is_diverged", "did_diverge", "has_diverged", "exploded", "has_nan", "is_nan"), "diverged"
    ),
    **dict.fromkeys(("crashed", "failed", "killed", "preempted", "pruned", "early_stopped"), "unfinished"),
    **dict.fromkeys(("finished", "completed", "is_finished", "done"), "not unfinished"),
}
#: what 32-bit numbers overflow to when they are squared and summed: no curve is laid through it
_OVERFLOW = 1e30
#: sizes that count something, and up to where a fraction may be a ratio of such counts: width 0.25 to 4
_COUNTS = ("width", "depth", "batch_size")
_LARGEST_RATIO = 16
#: times the distance of a size's good losses from its best
_BEYOND = 1e6
_WHOLE = f"must be a whole number, or a ratio of at most {_LARGEST_RATIO}"


class Run(NamedTuple):
    """One row that counts; infinite loss is divergence."""

    row: int
    size: float
    value: float
    loss: float
    seed: Hashable


def select_rows(table: ResultTable, where: Mapping[str, str], within: Mapping[str, float] | None = None) -> ResultTable:
    """The rows that have the wanted values; numbers are compared as numbers.

    Args:
        table: the table as it was read.
        where: name of a column -> the value that a row must have there.
        within: name of a column -> relative tolerance to which its values are equal.
    """
    for column, wanted in where.items():
        if column not in table.columns:
            raise UsageError(
                "`--where COLUMN=VALUE` must name a column of the table",
                received=column,
                hint=f"its columns are {', '.join(table.columns)}"[:400],
                place=Place(table.name, 1),
            )
        tolerance = (within or {}).get(column, 1e-9)
        rows = [row for row, cell in enumerate(table.columns[column]) if _equal(cell, wanted, tolerance)]
        if not rows:
            seen = ", ".join(cell_text(cell) for cell in distinct(table.columns[column])[:12])
            raise UsageError(
                "`--where` must leave some rows", received=f"{column}={wanted}", hint=f"{column} is {seen}"[:400]
            )
        table = table.take(rows)
    return table


def _equal(cell: Cell, wanted: str, tolerance: float) -> bool:
    if is_missing(cell) or not wanted:
        return is_missing(cell) and not wanted
    try:
        return math.isclose(float(cell or 0), float(wanted), rel_tol=tolerance)
    except ValueError:
        text = cell_text(cell)
        return (text.lower() == wanted.strip().lower()) if isinstance(cell, bool) else (text == wanted.strip())


def finished_runs(
    table: ResultTable, roles: TableColumns, rules: RowRules, dropped: Counter[str], notes: list[str]
) -> tuple[list[Run], list[Run]]:
    """The rows that are finished runs at a positive value of the hyperparameter, and those that have no result yet.

    Args:
        table: the rows that were selected.
        roles: which column means what.
        rules: what the user said about the rows.
        dropped: takes the number of rows left out, by reason.
        notes: takes what was decided about rows, a sentence each.

    Raises:
        UsageError: a cell cannot be what its column means.
    """
    size, no_size = column_numbers(table, roles.size, sizes=True)
    value, no_value = column_numbers(table, roles.value)
    if roles.base is not None:
        value = np.power(roles.base, value)
    if roles.size_base is not None:
        # logarithms are rounded, and 2^5.9999999 is no other width than 64
        size = np.array([float(f"{each:.9g}") for each in np.power(roles.size_base, size).tolist()])
    average = hyperparameter_name(roles.value) if roles.base is None else None
    if average in AVERAGES:
        _refuse_row(table, roles.value, value, (value < 0) | (value >= 1), "must be at least 0 and below 1")
        notes.append(f"{roles.value} is judged as its horizon in steps, {roles.hyperparameter}")
        value = 1 / (1 - value)
    loss, no_loss = column_numbers(table, roles.loss, infinite=DIVERGED)
    blown, unfinished = _states(table, roles.state)
    unfinished &= np.isfinite(loss)  # a run that ended on NaN did not crash: it diverged
    reasons = {
        f"without a {roles.size}": no_size | np.isnan(size),
        f"without a {roles.value}": no_value | np.isnan(value),
        f"with {roles.value} 0, which has no place on a log scale": value == 0,
        f"without a {roles.loss}": no_loss & ~blown,
        "not finished": unfinished & ~blown,
    }
    blank = no_loss & ~blown & (size > 0) & (value > 0)
    open_rows = np.flatnonzero((no_loss | unfinished) & ~blown & (size > 0) & (value > 0)).tolist()
    keep = np.ones(len(table), dtype=bool)
    for reason, rows in reasons.items():
        if count := int((rows & keep).sum()):
            dropped[reason] += count
        keep &= ~rows
    _refuse_row(table, roles.size, size, keep & ~(np.isfinite(size) & (size > 0)), "must be positive and finite")
    if roles.axis in _COUNTS:
        _refuse_row(table, roles.size, size, keep & (size != np.round(size)) & (size > _LARGEST_RATIO), _WHOLE)
    _refuse_logarithms(table, roles, value[keep])
    _refuse_row(table, roles.value, value, keep & ~(np.isfinite(value) & (value > 0)), "must be positive and finite")
    blown |= ~np.isfinite(loss)
    if huge := int((keep & ~blown & (np.abs(np.where(blown, 0, loss)) >= _OVERFLOW)).sum()):
        notes.append(f"{huge} values of {roles.loss} of {_OVERFLOW:g} or more are overflows and count as diverged")
        blown |= np.abs(loss) >= _OVERFLOW
    if roles.maximize:
        notes.append(f"{roles.loss} is maximised: what the report calls loss is -{roles.loss}")
        loss = -loss
    else:
        _refuse_placeholders(table, roles.loss, loss, keep & ~blown)
    seeds: Sequence[Hashable] = [None] * len(table)
    if roles.seed is not None:
        seeds = texts_of(table.columns[roles.seed])
    columns = zip(size.tolist(), value.tolist(), np.where(blown, math.inf, loss).tolist(), seeds, strict=True)
    numbered = zip(range(len(table)), columns, keep.tolist(), strict=True)
    runs = [Run(row, s, v, y, seed) for row, (s, v, y, seed), kept in numbered if kept]
    runs = _far_beyond(_joined_values(table, roles, runs, notes), roles, notes)
    _advise_on_blanks(runs, list(zip(size[blank].tolist(), value[blank].tolist(), strict=True)), roles, notes)
    return runs, [Run(row, float(size[row]), float(value[row]), math.nan, seeds[row]) for row in open_rows]


def _far_beyond(runs: list[Run], roles: TableColumns, notes: list[str]) -> list[Run]:
    """Losses so far above a size's good ones, at larger values, that no arithmetic keeps both: divergences.

    Both ends are differences of losses, so it does not matter how losses are written. What blew up by less is
    recognised where curves are fitted.
    """
    losses: dict[float, list[float]] = defaultdict(list)
    for run in runs:
        if math.isfinite(run.loss):
            losses[run.size].append(run.loss)
    scale = max((float(np.quantile(found, 0.25)) - min(found) for found in losses.values()), default=0.0)
    best = best_of_size(runs)
    gone = {
        run.row
        for run in runs
        if math.isfinite(run.loss)
        and run.value > best[run.size].value
        and run.loss - best[run.size].loss > _BEYOND * scale > 0
    }
    if gone:
        far = f"{len(gone)} values of {roles.loss} lie {_BEYOND:g} times as far from the best as good ones"
        notes.append(f"{far} and count as diverged")
    return [run._replace(loss=math.inf) if run.row in gone else run for run in runs] if gone else runs


def _joined_values(table: ResultTable, roles: TableColumns, runs: list[Run], notes: list[str]) -> list[Run]:
    """Runs whose values were written with different digits, at one value."""
    if hyperparameter_name(roles.value) in AVERAGES:
        return runs  # digits of 0.999 say little of 1000
    group = [""] * len(table) if roles.group is None else table.columns[roles.group]
    cells = table.columns[roles.value]
    same = one_value(
        np.array([run.value for run in runs]),
        (cells[run.row] for run in runs),
        ((run.size, run.seed, group[run.row]) for run in runs),
    )
    if not same:
        return runs
    listed = [f"{value:.6g} is {kept:.6g}" for value, kept in sorted(same.items())]
    notes.append(
        f"values of {roles.value} that are equal to the digits written are one: {', '.join(listed[:4])}"
        + (f", and {len(listed) - 4} more" if len(listed) > 4 else "")
    )
    return [run._replace(value=same.get(run.value, run.value)) for run in runs]


def _advise_on_blanks(
    runs: Sequence[Run], blanks: Sequence[tuple[float, float]], roles: TableColumns, notes: list[str]
) -> None:
    """Say how to write divergences where rows without a loss resemble them; nothing is assumed."""
    best = best_of_size(runs)
    if blanks and all(size in best and value > best[size].value for size, value in blanks):
        notes.append(
            f"the rows without a {roles.loss} lie above the best {roles.value} of their {roles.size}: "
            f"if these runs diverged, write nan there and they bound the optimum"
        )


def _refuse_logarithms(table: ResultTable, roles: TableColumns, values: npt.NDArray[np.float64]) -> None:
    """Values of which none is positive, and most are negative, are no values of a hyperparameter but logarithms."""
    found = values[~np.isnan(values)]
    if roles.base is None and len(found) and found.max() <= 0 and np.median(found) < 0:
        raise UsageError(
            f"`{roles.value}` must be positive: these values look like logarithms",
            received=f"{found.min():g} to {found.max():g}",
            hint="say their base: `--log-base 10`, `--log-base 2` or `--log-base e`",
            place=table.place(0),
            code="results/log-base",
        )


def best_of_size(runs: Iterable[Run]) -> dict[float, Run]:
    """The run with the lowest loss of each size.

    Args:
        runs: finished runs of any sizes.
    """
    best: dict[float, Run] = {}
    for run in runs:
        if run.loss < best.setdefault(run.size, run).loss:
            best[run.size] = run
    return best


def flag_columns(table: ResultTable) -> dict[str, str]:
    """Columns of true and false that say how a run ended -> the state that true means, or false after "not ".

    Args:
        table: the table as it was read.
    """
    return {
        name: _FLAGS[normalized_column_name(name)]
        for name, cells in table.columns.items()
        if normalized_column_name(name) in _FLAGS
        and all(is_missing(cell) or _truth(cell) is not None for cell in cells)
    }


def _truth(cell: Cell) -> bool | None:
    """What a cell of a flag says; None where it says nothing."""
    return {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}.get(cell_text(cell).lower())


def _states(table: ResultTable, column: str | None) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """(diverged, unfinished) by what the state column and flags say."""
    blown, unfinished = np.zeros(len(table), dtype=bool), np.zeros(len(table), dtype=bool)
    if column is not None:
        words = [re.sub(r"[\s-]+", "_", str(cell).strip().lower()) for cell in table.columns[column]]
        _refuse_unknown_states(table, column, words)
        diverged = {word.replace(" ", "_") for word in DIVERGED}
        blown, unfinished = np.array([w in diverged for w in words]), np.array([w in _UNFINISHED for w in words])
    for name, state in flag_columns(table).items():
        wanted = not state.startswith("not ")
        found = np.array([_truth(cell) is wanted for cell in table.columns[name]])
        if state == "diverged":
            blown |= found
        else:
            unfinished |= found
    return blown, unfinished


def _refuse_unknown_states(table: ResultTable, column: str, words: Sequence[str]) -> None:
    """Refuse words of which nobody knows whether such runs are finished, where others say how theirs ended."""
    known = {*_FINISHED, *_UNFINISHED, *(word.replace(" ", "_") for word in DIVERGED)}
    cells = [cell for cell in table.columns[column] if not is_missing(cell)]
    strange = [cell for cell, word in zip(table.columns[column], words, strict=True) if word not in known]
    strange = [cell for cell in strange if not is_missing(cell)]
    if not strange or len(distinct(cells)) < 2:
        return
    finished = [cell for cell, word in zip(table.columns[column], words, strict=True) if word in _FINISHED]
    most = Counter(map(cell_text, finished or strange)).most_common(1)[0][0]
    raise UsageError(
        f"`{column}` must say how runs ended in words that are known",
        received=f"{', '.join(map(cell_text, distinct(strange)[:4]))} ({len(strange)} such rows)",
        hint=f"{'keep the finished runs' if finished else 'select'} with "
        f"`--where {shlex.quote(f'{column}={most}')}`; or write finished, failed or diverged there",
        place=Place(table.name),
        code="results/state",
    )


def _refuse_placeholders(
    table: ResultTable, column: str, loss: npt.NDArray[np.float64], counts: npt.NDArray[np.bool_]
) -> None:
    """Refuse a 0, -1 or -999 far below losses that are no whole numbers: it would pass for the best run."""
    found = loss[counts]
    if not len(found) or (lowest := float(np.min(found))) > 0 or lowest != round(lowest):
        return
    others = found[found != lowest]
    if (
        len(others)
        and np.all(others != np.round(others))
        and np.min(others) - lowest > np.median(others) - np.min(others)
    ):
        rule = "must be a loss: a whole number far below all others is what programs write where there is none"
        _refuse_row(table, column, loss, counts & (loss == lowest), rule)


def _refuse_row(
    table: ResultTable, column: str, values: npt.NDArray[np.float64], bad: npt.NDArray[np.bool_], rule: str
) -> None:
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        raise UsageError(
            f"`{column}` {rule}",
            received=f"{values[row]:g} ({int(bad.sum())} such rows)",
            hint=f"correct these rows, or name another column than `{column}`",
            place=table.place(row),
            code="results/value",
        )
