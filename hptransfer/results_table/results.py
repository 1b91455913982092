"""From a table to runs by size: what is counted, what is left out and why, and what must not be mixed."""

from __future__ import annotations

import math
import shlex
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from hptransfer.errors import Place, UsageError
from hptransfer.results_table.cells import ResultTable, cell_text, column_numbers
from hptransfer.results_table.column_names import normalized_column_name
from hptransfer.results_table.columns import TableColumns, is_training_loss
from hptransfer.results_table.compute import compute_by_size
from hptransfer.results_table.mixture_hints import refuse_mixture
from hptransfer.results_table.objective import check_shape, says_lower
from hptransfer.results_table.repeats import resolved, with_all_seeds, without_copies
from hptransfer.results_table.row_columns import SAME_LENGTH, Rows, longest_of_size
from hptransfer.results_table.rows import Run, finished_runs, select_rows
from hptransfer.results_table.rules import RowRules
from hptransfer.results_table.settings import find_mixtures
from hptransfer.sizes import size_text
from hptransfer.statistics.seed_means import Point

#: more sizes than this are a column that is no size
_MOST_SIZES = 64
#: sizes that differ by less, relative, are one size that was counted in two ways
_CLOSEST = 0.02


@dataclass(frozen=True, slots=True)
class Group:
    """The runs that are judged together.

    Attributes:
        name: value of the group column; None where all rows are one group.
        points: size -> its runs, sizes increasing; a size may be a fraction.
        limits: what these runs cannot show because of how they were made, one sentence each.
        unread: size -> log2 of values at which rows without a result stand: no loss, unfinished, or too short.
        compute: size -> mean compute of its runs, up to a factor; None where the table does not say it.
    """

    name: str | None
    points: Mapping[float, tuple[Point, ...]]
    limits: tuple[str, ...]
    unread: Mapping[float, tuple[float, ...]] = field(default_factory=dict)
    compute: Mapping[float, float] | None = None


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


def runs_from_table(
    table: ResultTable, roles: TableColumns, where: Mapping[str, str] | None = None, rules: RowRules | None = None
) -> Results:
    """Sort a table's rows into runs by size.

    Args:
        table: the table as it was read, one row per run.
        roles: which column means what.
        where: keep the rows whose columns have these values.
        rules: what the user said about rows and columns; None for nothing.

    Raises:
        UsageError: a cell cannot be what its column means, rows mix what must be judged apart, or nothing is left.
    """
    rules = rules or RowRules()
    for column in (*rules.ignored, *([] if rules.complete is None else [rules.complete])):
        _require_column(table, column)
    _require_lengths(rules.complete, roles)
    kept = select_rows(table, where or {}, rules.within)
    dropped: Counter[str] = Counter()
    notes: list[str] = []
    runs, unread = finished_runs(kept, roles, rules, dropped, notes)
    names = [None] * len(kept) if roles.group is None else [cell_text(cell) for cell in kept.columns[roles.group]]
    by_group: dict[str | None, list[Run]] = defaultdict(list)
    if roles.group is None and runs:
        by_group[None] = runs
    for run in runs if roles.group is not None else ():
        by_group[names[run.row]].append(run)
    if not runs:
        listed = ", ".join(f"{count} {reason}" for reason, count in dropped.items())
        raise UsageError(
            "some row must be a finished run", received=f"{len(table)} rows: {listed}", place=Place(table.name)
        )
    reading = _Reading(kept, roles, rules, dropped, notes)
    groups = tuple(
        reading.group(name, found, [run for run in unread if names[run.row] == name])
        for name, found in by_group.items()
    )
    points = [point for group in groups for found in group.points.values() for point in found]
    return Results(
        groups=groups,
        rows=len(table),
        used=len(points),
        diverged=sum(point.diverged for point in points),
        dropped=dict(dropped),
        notes=tuple(dict.fromkeys(notes)),
    )


def _require_lengths(column: str | None, roles: TableColumns) -> None:
    if column is not None and column in (roles.size, roles.value, roles.loss, roles.seed, *roles.searched):
        raise UsageError(
            "`--complete` takes a column of steps, epochs or tokens: how long runs trained",
            received=f"{column}, which is the size, the value, the loss or the seed",
            hint="name the column of steps, or leave the option out",
            code="results/complete",
        )


def _require_column(table: ResultTable, column: str) -> None:
    if column not in table.columns:
        raise UsageError(
            "`--ignore-column` and `--complete` must name a column of the table",
            received=column,
            hint=f"its columns are {', '.join(table.columns)}"[:400],
            place=Place(table.name, 1),
            code="results/no-column",
        )


@dataclass(frozen=True, slots=True)
class _Reading:
    """One table on its way to runs by size.

    Attributes:
        table: the rows that were selected.
        roles: which column means what.
        rules: what the user said about rows and columns.
        dropped: rows left out so far, by reason.
        notes: what was decided so far.
    """

    table: ResultTable
    roles: TableColumns
    rules: RowRules
    dropped: Counter[str]
    notes: list[str]

    def group(self, name: str | None, runs: list[Run], unread: list[Run]) -> Group:
        """One group's runs, its repeated rows resolved and mixtures refused."""
        table, roles, notes = self.table, self.roles, self.notes
        sizes = {run.size for run in runs}
        if len(sizes) > _MOST_SIZES:
            raise UsageError(
                f"a ladder has at most {_MOST_SIZES} sizes",
                received=f"{len(sizes)} values of {roles.size}",
                hint="name the size's column with --size-column",
            )
        self._refuse_close_sizes(sorted(sizes))
        self._refuse_peaks(runs)
        whole = self._complete(runs)
        kept = {run.row for run in whole}
        unread = [*unread, *(run for run in runs if run.row not in kept)]
        runs = without_copies(table, roles, with_all_seeds(table, roles, whole, notes), self.dropped)
        rows = Rows(table, roles, runs)
        found = find_mixtures(rows, self.rules)
        if found.mixed:
            refuse_mixture(rows, found.mixed)
        notes.extend(found.notes)
        limits = list(found.limits)
        if is_training_loss(roles.loss):
            limits.append(
                f"{roles.loss} is of training data: where those are memorised, held-out losses say something else."
            )
        counted = resolved(table, roles, self.rules, runs, notes)
        compute = compute_by_size(table, roles, counted)
        return Group(name, _by_size(counted), tuple(limits), _values_by_size(unread), compute)

    def _refuse_peaks(self, runs: Sequence[Run]) -> None:
        """Refuse an objective without a direction that looks like something of which more is better."""
        loss = self.roles.loss
        known = self.rules.maximize is not None or self.roles.maximize or self.table.trials
        if known or self.roles.searched or says_lower(normalized_column_name(loss)):
            return
        sizes: dict[float, dict[float, list[float]]] = defaultdict(lambda: defaultdict(list))
        for run in runs:
            if math.isfinite(run.loss):
                sizes[run.size][run.value].append(run.loss)
        check_shape(self.table.name, loss, sizes.values())

    def _refuse_close_sizes(self, sizes: list[float]) -> None:
        """Refuse sizes that differ as 124,439,808 and 124,440,576 parameters do: each has a part of one size's runs."""
        for low, high in pairwise(sizes):
            if high < low * (1 + _CLOSEST):
                option = shlex.quote(f"{self.roles.size}={100 * _CLOSEST:g}%")
                raise UsageError(
                    f"sizes of a ladder must be at least {_CLOSEST:.0%} apart",
                    received=f"{self.roles.size} {size_text(low)} and {size_text(high)}",
                    hint=f"if these are one size, `--within {option}`",
                    place=Place(self.table.name),
                    code="results/close-sizes",
                )

    def _complete(self, runs: list[Run]) -> list[Run]:
        """The runs that are as long as the longest of their size; diverged ones end when they do."""
        if self.rules.complete is None or not runs:
            return runs
        column = self.rules.complete
        numbers, _ = column_numbers(self.table, column, sizes=True)
        size = np.unique([run.size for run in runs], return_inverse=True)[1]
        finite = np.isfinite([run.loss for run in runs])
        lengths = np.where(finite, numbers[[run.row for run in runs]], math.nan)
        full = ~finite | (lengths >= longest_of_size(lengths, size) * (1 - SAME_LENGTH))
        if gone := int((~full).sum()):
            self.dropped[f"that ended before the longest of their {self.roles.size} by {column}"] += gone
        return [run for run, keep in zip(runs, full.tolist(), strict=True) if keep]


def _by_size(runs: list[Run]) -> dict[float, tuple[Point, ...]]:
    ordered = sorted({str(seed) for seed in {run.seed for run in runs}}, key=_by_number)
    ids = {seed: index for index, seed in enumerate(ordered)}
    x = {value: math.log2(value) for value in {run.value for run in runs}}
    points: dict[float, list[Point]] = {size: [] for size in sorted({run.size for run in runs})}
    for _, size, value, loss, seed in runs:
        points[size].append(Point(x[value], ids[str(seed)], loss, not math.isfinite(loss)))
    return {int(size) if size.is_integer() else size: tuple(found) for size, found in points.items()}


def _values_by_size(runs: list[Run]) -> dict[float, tuple[float, ...]]:
    values: dict[float, set[float]] = defaultdict(set)
    for run in runs:
        values[run.size].add(math.log2(run.value))
    return {int(size) if size.is_integer() else size: tuple(sorted(found)) for size, found in values.items()}


def _by_number(seed: str) -> tuple[int, str]:
    return (int(seed), "") if seed.isdecimal() else (2**63, seed)
