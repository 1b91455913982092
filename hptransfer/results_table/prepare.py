"""From files to one table with a row per run: read, reshaped, joined, and the last row of each run taken."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from shlex import quote

from hptransfer.errors import UsageError
from hptransfer.results_table.cells import ResultTable
from hptransfer.results_table.column_names import is_size_name
from hptransfer.results_table.columns import NamedColumns, infer_columns, infer_step, run_columns
from hptransfer.results_table.history import last_rows, refuse_history
from hptransfer.results_table.readers import read_table
from hptransfer.results_table.rows import select_rows
from hptransfer.results_table.rules import RowRules
from hptransfer.results_table.sources import combined
from hptransfer.results_table.wide import long_form
from hptransfer.results_table.written import merge_within


@dataclass(frozen=True, slots=True)
class TableForm:
    """How files become one table, where they do not say it themselves.

    Attributes:
        run: column that names the run of each row; the last row of each run counts. None: rows are runs.
        wide: what the names of columns that are called by a number mean; None is to be inferred.
        name_pattern: what names of runs or columns mean, such as `w{width}-lr{lr}`; None is to be inferred.
        studies: names of the studies of an Optuna database that are judged together; none is the only one there is.
        mark: what separates decimals; None is to be inferred.
    """

    run: str | None = None
    wide: str | None = None
    name_pattern: str | None = None
    studies: tuple[str, ...] = ()
    mark: str | None = None

    def __post_init__(self) -> None:
        if self.mark not in (None, ".", ","):
            raise UsageError("`--decimal` takes . or ,", received=self.mark, hint="--decimal .")


def prepared_table(
    paths: Sequence[Path],
    form: TableForm,
    named: NamedColumns,
    values: Sequence[str],
    where: Mapping[str, str],
    rules: RowRules,
) -> ResultTable:
    """One table with a row per run.

    Args:
        paths: of the files, as the user named them; one that is named twice counts once.
        form: what the user said about the form of the files.
        named: columns that the user named.
        values: columns of hyperparameters that the user named.
        where: name of a column -> the value that a row must have there.
        rules: what the user said about rows and columns.

    Raises:
        UsageError: a file cannot be read or understood.
    """
    named = replace(named, value=values[0] if values else None)

    def is_size(name: str) -> bool:
        return name == named.size or (named.size is None and is_size_name(name))

    def reshaped(table: ResultTable) -> ResultTable:
        _refuse_coordinates(table)
        return long_form(table, form.wide, form.name_pattern)

    tables = [
        read_table(path, studies=form.studies, mark=form.mark, reshape=reshaped, is_size=is_size)
        for path in dict.fromkeys(paths)
    ]
    twice = [f"{path} is named twice and counts once" for path, count in Counter(paths).items() if count > 1]
    tables[0] = replace(tables[0], notes=(*twice, *tables[0].notes))
    table = merge_within(combined(tables, named), rules.within)
    run = form.run or table.run
    if run is None and len(values) < 2:
        selected = select_rows(table, where, rules.within)
        if infer_step(selected) and run_columns(selected):
            refuse_history(selected, infer_columns(selected, named, maximize=rules.maximize))
        return table
    table = select_rows(table, where, rules.within)
    return table if run is None else last_rows(table, run, infer_columns(table, named, maximize=rules.maximize), values)


def _refuse_coordinates(table: ResultTable) -> None:
    if {"width", "module", "t"} <= set(table.columns) or {"format", "run", "probe"} <= set(table.columns):
        raise UsageError(
            "a table of finished runs must have a row per run",
            received=f"{table.name}: a coordinate check",
            hint=f"hptransfer judge --coordinates {quote(table.name)}",
        )
