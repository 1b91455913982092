"""From a table to runs by size: what is counted, what is left out and why, and what must not be mixed."""

from __future__ import annotations

import math
import zlib
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from hptransfer.errors import Place, UsageError
from hptransfer.results_table.cells import DIVERGED, Cell, ResultTable, cell_text, column_numbers, distinct, is_missing
from hptransfer.results_table.columns import TableColumns, is_training_loss, setting_columns
from hptransfer.sizes import size_text
from hptransfer.statistics.seed_means import Point

#: how runs end, as W&B, Optuna and Slurm say it; a word that is not listed counts as finished
_UNFINISHED = {
    "crashed",
    "failed",
    "fail",
    "killed",
    "running",
    "pending",
    "preempted",
    "preempting",
    "pruned",
    "waiting",
    "timeout",
}
#: a loss this many times the best of its size, at a larger value, is a divergence however it was written down
_BLOWN = 1e3
#: more sizes than this are a column that is no size
_MOST_SIZES = 64


@dataclass(frozen=True, slots=True)
class Group:
    """The runs that are judged together.

    Attributes:
        name: value of the group column; None where all rows are one group.
        points: size -> its runs, sizes increasing; a size may be a fraction.
        limits: what these runs cannot show because of how they were made, one sentence each.
    """

    name: str | None
    points: Mapping[float, tuple[Point, ...]]
    limits: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Results:
    """A table as evidence.

    Attributes:
        groups: the runs by group, in order of appearance.
        rows: number of rows in the table, those that do not count included.
        used: runs that count, diverged ones included.
        diverged: runs that count as diverged.
        dropped: rows left out, by reason.
        notes: what was decided about the rows, one sentence each.
    """

    groups: tuple[Group, ...]
    rows: int
    used: int
    diverged: int
    dropped: Mapping[str, int]
    notes: tuple[str, ...]


class _Run(NamedTuple):
    """One row that counts; infinite loss is divergence."""

    row: int
    size: float
    value: float
    loss: float
    seed: Hashable


def runs_from_table(table: ResultTable, roles: TableColumns, where: Mapping[str, str] | None = None) -> Results:
    """Sort a table's rows into runs by size.

    Args:
        table: the table as it was read, one row per run.
        roles: which column means what.
        where: keep the rows whose columns have these values.

    Raises:
        UsageError: a cell cannot be what its column means, rows mix what must be judged apart, or nothing is left.
    """
    kept = select_rows(table, where or {})
    dropped: Counter[str] = Counter()
    notes: list[str] = []
    runs = _runs(kept, roles, dropped, notes)
    names = [None] * len(kept) if roles.group is None else [cell_text(cell) for cell in kept.columns[roles.group]]
    by_group: dict[str | None, list[_Run]] = defaultdict(list)
    for run in runs:
        by_group[names[run.row]].append(run)
    if not runs:
        listed = ", ".join(f"{count} {reason}" for reason, count in dropped.items())
        raise UsageError(
            "some row must be a finished run", received=f"{len(table)} rows: {listed}", place=Place(table.name)
        )
    groups = tuple(_group(kept, roles, name, found, dropped, notes) for name, found in by_group.items())
    points = [point for group in groups for found in group.points.values() for point in found]
    return Results(
        groups=groups,
        rows=len(table),
        used=len(points),
        diverged=sum(point.diverged for point in points),
        dropped=dict(dropped),
        notes=tuple(dict.fromkeys(notes)),
    )


def select_rows(table: ResultTable, where: Mapping[str, str]) -> ResultTable:
    """The rows that have the wanted values; numbers are compared as numbers.

    Args:
        table: the table as it was read.
        where: name of a column -> the value that a row must have there.
    """
    for column, wanted in where.items():
        if column not in table.columns:
            raise UsageError(
                "`--where COLUMN=VALUE` must name a column of the table",
                received=column,
                hint=f"its columns are {', '.join(table.columns)}"[:400],
                place=Place(table.name, 1),
            )
        rows = [row for row, cell in enumerate(table.columns[column]) if _equal(cell, wanted)]
        if not rows:
            seen = ", ".join(cell_text(cell) for cell in distinct(table.columns[column])[:12])
            raise UsageError(
                "`--where` must leave some rows", received=f"{column}={wanted}", hint=f"{column} is {seen}"[:400]
            )
        table = table.take(rows)
    return table


def _equal(cell: Cell, wanted: str) -> bool:
    if is_missing(cell):
        return False
    try:
        return math.isclose(float(cell or 0), float(wanted), rel_tol=1e-9)
    except ValueError:
        return cell_text(cell) == wanted.strip()


def _runs(table: ResultTable, roles: TableColumns, dropped: Counter[str], notes: list[str]) -> list[_Run]:
    """The rows that are finished runs at a positive value of the hyperparameter."""
    size, no_size = column_numbers(table, roles.size, sizes=True)
    value, no_value = column_numbers(table, roles.value)
    if roles.base is not None:
        value = np.power(roles.base, value)
    if roles.size_base is not None:
        # logarithms are rounded, and 2^5.9999999 is no other width than 64
        size = np.array([float(f"{each:.9g}") for each in np.power(roles.size_base, size).tolist()])
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
    _refuse_row(table, roles.loss, loss, keep & ~blown & (loss <= 0), "must be positive: a loss, lower is better")
    seeds: Sequence[Hashable] = [None] * len(table)
    if roles.seed is not None:
        seeds = ["" if is_missing(cell) else cell_text(cell) for cell in table.columns[roles.seed]]
    columns = zip(size.tolist(), value.tolist(), np.where(blown, math.inf, loss).tolist(), seeds, strict=True)
    kept = keep.tolist()
    runs = [_Run(row, s, v, y, seed) for row, (s, v, y, seed) in enumerate(columns) if kept[row]]
    _advise_on_blanks(runs, list(zip(size[blank].tolist(), value[blank].tolist(), strict=True)), roles, notes)
    return runs


def _advise_on_blanks(
    runs: Sequence[_Run], blanks: Sequence[tuple[float, float]], roles: TableColumns, notes: list[str]
) -> None:
    """Say how to write divergences where rows without a loss resemble them; nothing is assumed."""
    best = _best(runs)
    if blanks and all(size in best and value > best[size].value for size, value in blanks):
        notes.append(
            f"the rows without a {roles.loss} lie above the best {roles.value} of their {roles.size}: "
            f"if these runs diverged, write nan there and they bound the optimum"
        )


def _best(runs: Iterable[_Run]) -> dict[float, _Run]:
    """The run with the lowest loss of each size."""
    best: dict[float, _Run] = {}
    for run in runs:
        if run.loss < best.setdefault(run.size, run).loss:
            best[run.size] = run
    return best


#: sizes that count something, and up to where a fraction may be a ratio of such counts: width 0.25 to 4
_COUNTS = ("width", "depth", "batch_size")
_LARGEST_RATIO = 16
_WHOLE = f"must be a whole number, or a ratio of at most {_LARGEST_RATIO}"


def _refuse_logarithms(table: ResultTable, roles: TableColumns, values: np.ndarray) -> None:
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


def _states(table: ResultTable, column: str | None) -> tuple[np.ndarray, np.ndarray]:
    """(diverged, unfinished) by what the state column says."""
    words = [""] * len(table) if column is None else [str(cell).strip().lower() for cell in table.columns[column]]
    return np.array([w in DIVERGED for w in words]), np.array([w in _UNFINISHED for w in words])


def _refuse_row(table: ResultTable, column: str, values: np.ndarray, bad: np.ndarray, rule: str) -> None:
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        raise UsageError(
            f"`{column}` {rule}",
            received=f"{values[row]:g} ({int(bad.sum())} such rows)",
            hint=f"correct these rows, or name another column than `{column}`",
            place=table.place(row),
            code="results/value",
        )


def _group(
    table: ResultTable,
    roles: TableColumns,
    name: str | None,
    runs: list[_Run],
    dropped: Counter[str],
    notes: list[str],
) -> Group:
    """One group's runs, its repeated rows resolved and mixtures refused."""
    sizes = {run.size for run in runs}
    if len(sizes) > _MOST_SIZES:
        raise UsageError(
            f"a ladder has at most {_MOST_SIZES} sizes",
            received=f"{len(sizes)} values of {roles.size}",
            hint="name the size's column with --size-column",
        )
    limits = _mixtures(table, roles, runs, notes)
    if is_training_loss(roles.loss):
        limits.append(
            f"{roles.loss} is of training data: where those are memorised, held-out losses say something else."
        )
    runs = _blown_up(runs, notes)
    unique = list({_identity(run): run for run in reversed(runs)}.values())[::-1]
    if len(unique) < len(runs):
        dropped["that repeat another row"] += len(runs) - len(unique)
    resolved = unique
    if len({(run.size, run.value, run.seed) for run in unique}) < len(unique):
        _refuse_unnamed_axis(table, roles, unique)
        resolved = _averaged(unique, notes) if roles.seed is not None else _numbered(unique, roles, notes)
    ids = {seed: index for index, seed in enumerate(sorted({str(run.seed) for run in resolved}, key=_by_number))}
    points: dict[float, list[Point]] = {float(size): [] for size in sorted(sizes)}
    for run in resolved:
        diverged = not math.isfinite(run.loss)
        points[run.size].append(Point(math.log2(run.value), ids[str(run.seed)], run.loss, diverged))
    by_size = {int(size) if size.is_integer() else size: tuple(found) for size, found in points.items()}
    return Group(name, by_size, tuple(limits))


def _blown_up(runs: list[_Run], notes: list[str]) -> list[_Run]:
    """Losses such as 1e9 mean a divergence, and no curve may be laid through them."""
    best = _best(runs)
    gone = [
        math.isfinite(run.loss) and run.value > best[run.size].value and run.loss >= _BLOWN * best[run.size].loss
        for run in runs
    ]
    if any(gone):
        notes.append(f"{sum(gone)} losses of {_BLOWN:g} times the best of their size or more count as diverged")
    return [run._replace(loss=math.inf) if blown else run for run, blown in zip(runs, gone, strict=True)]


def _identity(run: _Run) -> Hashable:
    """What makes two rows the same run; divergences without a seed are different runs, equal finite losses are not."""
    nameless = run.seed is None and math.isinf(run.loss)
    return (run.size, run.value, run.row if nameless else run.seed, run.loss)


def _by_number(seed: str) -> tuple[int, str]:
    return (int(seed), "") if seed.isdecimal() else (2**63, seed)


def _averaged(runs: list[_Run], notes: list[str]) -> list[_Run]:
    """With named seeds, rows that differ in loss only are one run measured several times."""
    cells: dict[tuple[float, float, Hashable], list[_Run]] = defaultdict(list)
    for run in runs:
        cells[run.size, run.value, run.seed].append(run)
    repeats = sum(len(same) > 1 for same in cells.values())
    notes.append(f"{repeats} runs of the same size, value and seed occur with several losses: their mean counts")
    return [
        _Run(same[0].row, same[0].size, same[0].value, math.fsum(run.loss for run in same) / len(same), same[0].seed)
        for same in cells.values()
    ]


def _numbered(runs: list[_Run], roles: TableColumns, notes: list[str]) -> list[_Run]:
    """Without a seed column, rows of the same size and value are different seeds.

    They are numbered in an order that neither the file nor the loss decides: sorted losses would pass for seeds with an
    effect of their own, and noise would look small.
    """
    cells: dict[tuple[float, float], list[_Run]] = defaultdict(list)
    for run in runs:
        cells[run.size, run.value].append(run)
    notes.append(f"no seed column: rows of the same {roles.size} and {roles.value} count as different seeds")
    return [
        _Run(run.row, run.size, run.value, run.loss, seed)
        for same in cells.values()
        for seed, run in enumerate(sorted(same, key=lambda run: (zlib.crc32(repr(run.loss).encode()), run.loss)))
    ]


def _mixtures(table: ResultTable, roles: TableColumns, runs: list[_Run], notes: list[str]) -> list[str]:
    """Settings that vary besides size and value: refused unless the size (or size and value) determines them.

    Returns:
        Limits: the settings that change along with the size.
    """
    used = {roles.size, roles.value, roles.loss, roles.seed, roles.group, roles.state}
    limits, mixed = [], []
    for column in setting_columns(table):
        cells = table.columns[column]
        if column in used or len(distinct([cells[run.row] for run in runs])) < 2:
            continue
        if _determined(cells, [(run.size, run) for run in runs]):
            pairs = sorted({(run.size, cell_text(cells[run.row])) for run in runs})
            path = ", ".join(f"{column} {text} at {size_text(size)}" for size, text in pairs[:6])
            limits.append(
                f"{column} changes along with {roles.axis} ({path}): these runs cannot show which of the two moves "
                "the optimum."
            )
        elif _determined(cells, [((run.size, run.value), run) for run in runs]):
            notes.append(f"{column} follows from {roles.size} and {roles.value}")
        else:
            mixed.append(column)
    if mixed:
        _refuse_mixture(table, roles, mixed, runs)
    return limits


def _determined(cells: Sequence[Cell], keyed: Sequence[tuple[Hashable, _Run]]) -> bool:
    """Whether every key goes with one value of the column."""
    seen: dict[Hashable, str] = {}
    return all(
        seen.setdefault(key, cell_text(cells[run.row])) == cell_text(cells[run.row])
        for key, run in keyed
        if not is_missing(cells[run.row])
    )


def _refuse_unnamed_axis(table: ResultTable, roles: TableColumns, runs: list[_Run]) -> None:
    """Refuse rows that repeat size, value and seed and differ in a numeric column with few values.

    That is what several checkpoints of each run, or a setting with an unusual name, are in a table.
    """
    cells: dict[tuple[float, float, Hashable], list[int]] = defaultdict(list)
    for run in runs:
        cells[run.size, run.value, run.seed].append(run.row)
    repeated = [rows for rows in cells.values() if len(rows) > 1]
    used = {roles.size, roles.value, roles.loss, roles.seed, roles.group, roles.state}
    for column, found in table.columns.items():
        if column in used or not all(len({found[row] for row in rows}) == len(rows) for rows in repeated):
            continue
        values = {found[run.row] for run in runs}
        if len(values) <= len(runs) // 2 and all(_is_number(cell) for cell in values):
            _refuse_mixture(table, roles, [column], runs)


def _is_number(cell: Cell) -> bool:
    try:
        return not is_missing(cell) and math.isfinite(float(cell or 0))
    except ValueError:
        return False


def _refuse_mixture(table: ResultTable, roles: TableColumns, columns: Sequence[str], runs: list[_Run]) -> None:
    found = []
    for column in columns:
        values = distinct([table.columns[column][run.row] for run in runs])
        found.append(
            f"{column} ({', '.join(cell_text(cell) for cell in values[:6])}{', ...' if len(values) > 6 else ''})"
        )
    first = columns[0]
    value = cell_text(distinct([table.columns[first][run.row] for run in runs])[-1])
    raise UsageError(
        f"rows that are judged together may differ in {roles.size}, {roles.value} and seed only",
        received=f"they differ in {', '.join(found)} too",
        hint=f"select with `--where {first}={value}`, judge each apart with `--group-column {first}`, "
        f"or, if it is the seed, say `--seed-column {first}`",
        place=Place(table.name),
        code="results/mixture",
    )
