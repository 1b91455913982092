"""Several files as one table: columns that mean the same become one column, and every row remembers its file."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from hptransfer.errors import UsageError
from hptransfer.results_table.cells import Cell, ResultTable, column_numbers
from hptransfer.results_table.column_names import normalized_column_name
from hptransfer.results_table.columns import NamedColumns, TableColumns, infer_columns

#: the column that says from which file a row is
SOURCE = "source"


def combined(tables: Sequence[ResultTable], named: NamedColumns) -> ResultTable:
    """One table of the rows of several, with a column `source`; a single table stays as it is.

    Columns are those of the first table. Another table's size, value, loss, seed, group and state take their names;
    its other columns take the name that is the same without prefixes and capitals, or keep theirs.

    Args:
        tables: of one file each, in the user's order.
        named: columns that the user named, as the first table calls them.

    Raises:
        UsageError: a table cannot be understood, or its size or value is another one.
    """
    if len(tables) == 1:
        return tables[0]
    if named.group == SOURCE:
        named = replace(named, group=None)
    first = infer_columns(tables[0], named)
    merged = [_named_alike(table, _own(table, named), tables[0], first) for table in tables]
    names = dict.fromkeys(name for table in merged for name in table.columns)
    lengths = [len(table) for table in merged]
    columns: dict[str, list[Cell]] = {
        name: [cell for table in merged for cell in table.columns.get(name, [None] * len(table))] for name in names
    }
    source = SOURCE
    while source in columns:
        source += "_file"
    columns[source] = [table.name for table, length in zip(merged, lengths, strict=True) for _ in range(length)]
    notes = [f"{table.name}: {note}" for table in merged for note in table.notes]
    for name in names:
        without = [table.name for table in merged if name not in table.columns]
        if without:
            notes.append(f"column {name} is not in {', '.join(without)}")
    starts = np.cumsum([0, *lengths[:-1]]).tolist()
    return ResultTable(
        name=", ".join(table.name for table in merged),
        columns=columns,
        lines=[line for table in merged for line in table.lines],
        files=[table.name for table, length in zip(merged, lengths, strict=True) for _ in range(length)],
        doubts={
            name: replace(doubt, row=doubt.row + start)
            for table, start in zip(merged, starts, strict=True)
            for name, doubt in table.doubts.items()
        },
        notes=tuple(notes),
        limits=tuple(dict.fromkeys(limit for table in merged for limit in table.limits)),
        maximized=tuple(dict.fromkeys(name for table in merged for name in table.maximized)),
        run=next((table.run for table in merged if table.run is not None), None),
        trials=all(table.trials for table in merged),
    )


def _own(table: ResultTable, named: NamedColumns) -> TableColumns:
    """The roles in one of the tables: columns that the user named where it has them, inferred ones elsewhere."""
    return infer_columns(
        table,
        replace(
            named,
            **{
                role: column if (column := getattr(named, role)) in table.columns else None
                for role in ("size", "value", "loss", "seed", "group", "compute")
            },
        ),
    )


def _named_alike(table: ResultTable, own: TableColumns, model: ResultTable, roles: TableColumns) -> ResultTable:
    """A table whose columns are called as in the first one."""
    for what, ours, theirs in (("size", own.axis, roles.axis), ("value", own.hyperparameter, roles.hyperparameter)):
        if ours != theirs:
            raise UsageError(
                f"tables that are judged together must have the same {what}",
                received=f"{table.name}: {ours}; {model.name}: {theirs}",
                hint=f"name the column that both have: --{what}-column NAME",
                code="results/sources",
            )
    columns = dict(table.columns)
    if own.base != roles.base:
        columns[own.value] = _converted(table, own.value, own.base, roles.base)
    if own.size_base != roles.size_base:
        columns[own.size] = _converted(table, own.size, own.size_base, roles.size_base)
    to: dict[str, str] = {}
    for role in ("size", "value", "loss", "seed", "group", "state", "compute", "parameters", "tokens"):
        here, there = getattr(own, role), getattr(roles, role)
        if here is not None and there is not None:
            to.setdefault(here, there)
    taken = set(to.values())
    by_bare: dict[str, list[str]] = {}
    for name in model.columns:
        by_bare.setdefault(normalized_column_name(name), []).append(name)
    for name in columns:
        if name in to:
            continue
        alike = [name] if name in model.columns else by_bare.get(normalized_column_name(name), [])
        target = alike[0] if len(alike) == 1 and alike[0] not in taken else name
        while target in taken:
            target += f" ({table.name})"
        to[name] = target
        taken.add(target)
    renamed = [f"{name} is {new}" for name, new in to.items() if name != new]
    notes = (*table.notes, f"columns: {', '.join(renamed)}") if renamed else table.notes
    return replace(
        table,
        columns={to[name]: cells for name, cells in columns.items()},
        doubts={to[name]: doubt for name, doubt in table.doubts.items()},
        maximized=tuple(to[name] for name in table.maximized if name in to),
        notes=notes,
    )


def _converted(table: ResultTable, column: str, base: float | None, wanted: float | None) -> Sequence[Cell]:
    """A column of logarithms, or of values, as the logarithms or values that the first table has."""
    numbers, missing = column_numbers(table, column)
    plain = numbers if base is None else np.power(base, numbers)
    if wanted is not None:
        with np.errstate(divide="ignore", invalid="ignore"):
            plain = np.log(plain) / math.log(wanted)
    return [
        None if absent else float(f"{value:.12g}")
        for value, absent in zip(plain.tolist(), missing.tolist(), strict=True)
    ]
