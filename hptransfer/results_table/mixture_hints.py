"""What to type where rows are mixed: every hint can be pasted, and none makes a mixture pass for one ladder."""

from __future__ import annotations

import math
import shlex
from collections.abc import Sequence
from typing import NoReturn

import numpy as np

from hptransfer.errors import Place, UsageError
from hptransfer.results_table.cells import cell_text
from hptransfer.results_table.column_kinds import ColumnKind
from hptransfer.results_table.column_names import hyperparameter_name, size_name
from hptransfer.results_table.columns import run_columns
from hptransfer.results_table.names_of_runs import NamePart
from hptransfer.results_table.row_columns import SAME_LENGTH, Column, Rows, longest_of_size
from hptransfer.results_table.settings import Mixed

#: tolerances that are offered, percent; what differs by more is another setting
_OFFERED = (0.1, 0.2, 0.5, 1, 2, 5)
#: values that a hyperparameter must have to be judged on its own
_FEWEST_VALUES = 3
_SHOWN = 6


def refuse_mixture(rows: Rows, mixed: Sequence[Mixed]) -> NoReturn:
    """Name the columns in which rows differ, and say what to type.

    Args:
        rows: the rows of one group that is judged.
        mixed: the columns, at least one; the first ones explain most.

    Raises:
        UsageError: always.
    """
    roles = rows.roles
    among = [roles.size, roles.value] + ([roles.seed] if roles.seed else [])
    raise UsageError(
        f"rows that are judged together may differ in {', '.join(among[:-1])} and {among[-1]} only",
        received=f"they differ in {', '.join(_described(each) for each in mixed)} too{_details(mixed)}",
        hint="; or ".join(_hints(rows, mixed)),
        place=Place(rows.table.name),
        code="results/mixture",
    )


def _described(each: Mixed) -> str:
    texts = each.column.texts()
    if each.column.numbers is not None and len(texts) > _SHOWN:
        values = each.column.numbers.values[np.isfinite(each.column.numbers.values)]
        shown = f"{len(texts)} values from {np.min(values):.6g} to {np.max(values):.6g}"
    else:
        shown = ", ".join(texts[:_SHOWN]) + (", ..." if len(texts) > _SHOWN else "")
    return f"{each.column.name} ({shown})"


def _details(mixed: Sequence[Mixed]) -> str:
    found = [
        f"{each.early} rows ended before the longest of their size by {each.column.name}"
        for each in mixed
        if each.early
    ]
    found += [
        f"{', '.join(each.explained[:_SHOWN])} follows from {each.column.name}" for each in mixed if each.explained
    ]
    return "".join(f"; {each}" for each in found)


def _hints(rows: Rows, mixed: Sequence[Mixed]) -> list[str]:
    """Ways out, the likeliest first."""
    first = mixed[0].column
    lengths = [each for each in mixed if each.column.kind in (ColumnKind.PROGRESS, ColumnKind.COMPUTE)]
    if lengths and lengths[0] is mixed[0]:
        return _of_lengths(rows, lengths[0])
    if mixed[0].part is not None:
        return _of_names(rows, mixed[0], mixed[0].part)
    hints = []
    if (both := _searched(rows, mixed)) is not None:
        hints.append(f"judge each on its own: {both}")
    if (near := _nearly_equal(rows, mixed)) is not None:
        return [f"if these are one value, `{near}`", *hints]
    chosen = [_chosen(each.column, rows) for each in mixed]
    if _leaves_a_ladder(mixed, chosen, rows):
        wheres = [
            _where(each.column, cell_text(each.column.values[code])) for each, code in zip(mixed, chosen, strict=True)
        ]
        if not _is_searched(first.name) or not hints:
            apart = " ".join([f"--group-column {shlex.quote(first.name)}", *wheres[1:]])
            hints.append(f"judge each apart with `{apart}`")
        hints.append(f"select with `{' '.join(wheres)}`")
    if rows.roles.seed is None and first.kind is ColumnKind.UNKNOWN and _tells_repeats_apart(first, rows):
        hints.append(f"if it is the seed, `--seed-column {shlex.quote(first.name)}`")
    if first.kind is ColumnKind.UNKNOWN and not first.logical:
        ignored = " ".join(f"--ignore-column {shlex.quote(name)}" for name in (first.name, *mixed[0].explained))
        hints.append(f"if it has no effect on training, `{ignored}`")
    return hints or [f"leave out the rows in which {first.name} differs"]


def _of_names(rows: Rows, each: Mixed, part: NamePart) -> list[str]:
    """What a name says besides makes a column, or none."""
    name = each.column.name
    apart = "write what it says into a column of its own"
    if part.pattern is not None and "part" not in rows.table.columns and run_columns(rows.table)[:1] == [name]:
        apart = f"judge each apart with `--name-pattern {shlex.quote(part.pattern)} --group-column part`"
    return [apart, f"if it has no effect on training, `--ignore-column {shlex.quote(name)}`"]


def _where(column: Column, text: str) -> str:
    return f"--where {shlex.quote(f'{column.name}={text}')}"


def _chosen(column: Column, rows: Rows) -> int:
    """The value to select: of a hyperparameter that of the smallest size's best run, else the most frequent one."""
    if _is_searched(column.name):
        losses = np.array([run.loss for run in rows.runs])
        candidates = np.flatnonzero((rows.size == 0) & rows.finite & (column.codes >= 0))
        if len(candidates):
            return int(column.codes[candidates[np.argmin(losses[candidates])]])
    return int(np.argmax(column.counts()))


def _leaves_a_ladder(mixed: Sequence[Mixed], chosen: Sequence[int], rows: Rows) -> bool:
    """Whether the selected rows have several values at several sizes."""
    kept = np.all([each.column.codes == code for each, code in zip(mixed, chosen, strict=True)], axis=0)
    values = [len(np.unique(rows.value[kept & (rows.size == size)])) for size in np.unique(rows.size[kept])]
    return sum(count >= _FEWEST_VALUES for count in values) >= min(2, int(rows.size.max()) + 1)


def _of_lengths(rows: Rows, each: Mixed) -> list[str]:
    """Keep the runs that are as long as the longest of their size."""
    column = each.column
    if column.numbers is None:
        return [f"select with `{_where(column, cell_text(column.values[_chosen(column, rows)]))}`"]
    lengths = np.where(rows.finite, column.numbers.values, math.nan)
    longest = longest_of_size(lengths, rows.size)
    full = np.unique(longest[np.isfinite(longest)])
    # a selection must not leave out runs that are as long but for a step
    exact = not np.any((lengths < longest) & (lengths >= longest * (1 - SAME_LENGTH)))
    hints = []
    if _has_ladders(column, rows):
        hints.append(f"judge each length apart with `--group-column {shlex.quote(column.name)}`")
    spread = 1 - float(np.nanmin(lengths / longest))
    if (offered := _tolerance(spread)) is not None:
        hints.append(f"if these runs are equally long, `--within {shlex.quote(f'{column.name}={offered:g}%')}`")
    if len(full) == 1 and exact:
        hints.append(f"keep the full-length runs with `{_where(column, _text_of(column, float(full[0])))}`")
    elif not _checkpoints(column, rows):
        hints.append(f"keep the longest runs of each size with `--complete {shlex.quote(column.name)}`")
    else:
        hints.append(f"keep the last row of each run with `--complete {shlex.quote(column.name)}`")
    if each.early and not _checkpoints(column, rows) and not _has_ladders(column, rows):
        hints.append(f"if they stopped because they diverged, write nan as their {rows.roles.loss}")
    return hints


def _has_ladders(column: Column, rows: Rows) -> bool:
    """Whether sizes and values were run at several lengths each, not once by runs of which some ended early."""
    lengths: dict[int, set[int]] = {}
    for cell, code in zip(rows.cell[rows.finite].tolist(), column.codes[rows.finite].tolist(), strict=True):
        lengths.setdefault(cell, set()).add(code)
    return 2 * sum(len(found) > 1 for found in lengths.values()) >= len(lengths)


def _text_of(column: Column, number: float) -> str:
    """A number as the table writes it."""
    values = np.array([math.nan]) if column.numbers is None else column.numbers.values
    rows = np.flatnonzero(values == number)
    return cell_text(number if column.numbers is None or not len(rows) else column.numbers.cells[int(rows[0])])


def _checkpoints(column: Column, rows: Rows) -> bool:
    """Whether several rows are one run at several steps."""
    runs = {(run.size, run.value, run.seed) for run in rows.runs}
    return rows.seeded and len(runs) < len(rows.runs)


def _searched(rows: Rows, mixed: Sequence[Mixed]) -> str | None:
    """Options that judge further hyperparameters on slices or surfaces of their own."""
    further = [
        each.column.name
        for each in mixed
        if _is_searched(each.column.name)
        and each.column.numbers is not None
        and len(each.column.values) >= _FEWEST_VALUES
    ]
    if not further or len(further) < len(mixed):
        return None
    names = (*(rows.roles.searched or (rows.roles.value,)), *further)
    return f"`{' '.join(f'--value-column {shlex.quote(name)}' for name in names)}`"


def _is_searched(name: str) -> bool:
    """Whether a column is tuned beside learning rates: another hyperparameter, or the batch."""
    return hyperparameter_name(name) is not None or size_name(name) == "batch_size"


def _nearly_equal(rows: Rows, mixed: Sequence[Mixed]) -> str | None:
    """`--within` for columns whose values differ by little within each size."""
    options = []
    for each in mixed:
        if each.column.numbers is None:
            return None
        values = each.column.numbers.values
        longest = longest_of_size(values, rows.size)
        if not np.nanmin(values) > 0 or (offered := _tolerance(float(np.nanmax(longest / values)) - 1)) is None:
            return None
        options.append(f"--within {shlex.quote(f'{each.column.name}={offered:g}%')}")
    return " ".join(options)


def _tolerance(spread: float) -> float | None:
    return next((offered for offered in _OFFERED if spread <= offered / 100), None)


def _tells_repeats_apart(column: Column, rows: Rows) -> bool:
    """Whether rows of one size and value all differ in the column, as seeds do."""
    pairs = set(zip(rows.cell.tolist(), column.codes.tolist(), strict=True))
    return len(pairs) == len(rows.runs) and len(np.unique(rows.cell)) < len(rows.runs)
