"""The table that mup's `get_coord_data` gives: width, module, t, and sizes of activations.

It has a row per forward pass and module: `t` counts passes from 1, so that the first is before any step. Its rows name
no seed: passes of the same width, module and `t` are those of one seed after the other.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hptransfer.errors import Place, UsageError
from hptransfer.results_table.cells import ResultTable, cell_text, column_numbers

#: statistics of mup that are sizes, the first that a table has is judged
SIZES = ("l1", "l2")
#: what a readout is called, where the table does not have the model's own output
_READOUT = re.compile(r"(.*\.)?(lm_head|readout|logits|head|output|embed_out|unembed(ding)?|fc_out|out)")
#: of a module's tensors only what it returns is judged
_OUTPUT = re.compile(r"(?P<module>[^:]*)(:out(?P<part>(\[[^\]]*\])+))?")


#: (width, seed, steps taken, layer, value) of each
Rows = tuple[tuple[int, int, int, str, float], ...]


@dataclass(frozen=True, slots=True)
class CoordinateTable:
    """Sizes of activations.

    Attributes:
        rows: (width, seed, steps taken, layer, value) of each, `t` - 1 steps; nan where the value is not finite.
        logits: names of layers that are logits.
        notes: what was inferred and left out, a sentence each.
    """

    rows: Rows
    logits: tuple[str, ...]
    notes: tuple[str, ...]


def read_coordinate_table(table: ResultTable) -> CoordinateTable:
    """Understand the rows of a table.

    Args:
        table: with columns `width`, `module`, `t` and `l1` or `l2`; `seed` where it has one.

    Raises:
        UsageError: a column is missing, or a cell cannot be used; the line is named.
    """
    statistic = next((name for name in SIZES if name in table.columns), None)
    missing = [name for name in ("width", "module", "t") if name not in table.columns]
    if missing or statistic is None:
        raise UsageError(
            "a table of coordinates must have the columns width, module, t and l1 or l2",
            received=", ".join(map(cell_text, table.columns))[:200],
            hint="write what mup's get_coord_data returns: df.to_csv('coord.csv')",
            place=Place(table.name, 1),
            code="coordinates/columns",
        )
    _require_one_training(table)
    widths, times = (_whole(table, name) for name in ("width", "t"))
    seeds = _whole(table, "seed", least=0) if "seed" in table.columns else None
    values, empty = column_numbers(table, statistic)
    values = np.where(np.isfinite(values) & ~empty, values, math.nan)
    negative = np.flatnonzero(values < 0)
    if len(negative):
        row = int(negative[0])
        _refuse(table, row, f"`{statistic}` is a size, at least 0", str(values[row]))
    names = [_layer(cell_text(cell)) if cell is not None else None for cell in table.columns["module"]]
    kept = [row for row, name in enumerate(names) if name is not None]
    notes = [f"judged {statistic} of what modules return; t = 1 is before the first step"]
    if len(kept) < len(names):
        notes.append(f"left out: {len(names) - len(kept)} rows of losses, inputs and parameters")
    keys = [(widths[row], None if seeds is None else seeds[row], times[row], str(names[row])) for row in kept]
    numbered = _numbered(keys)
    rows = tuple(
        (width, seed, time - 1, layer, float(values[row]))
        for row, (width, seed, time, layer) in zip(kept, numbered, strict=True)
    )
    if seeds is None:
        count = len({seed for _, seed, _, _, _ in rows})
        notes.append(f"no column `seed`: rows of the same width, module and t are {count} seeds, in their order")
    rows, logits, said = _logits(rows)
    return CoordinateTable(rows, logits, (*notes, *said))


def _require_one_training(table: ResultTable) -> None:
    for name in ("optimizer", "lr"):
        found = sorted({cell_text(cell) for cell in table.columns.get(name, ()) if cell is not None})
        if len(found) > 1:
            raise UsageError(
                f"all rows of a table of coordinates must be of one training: one `{name}`",
                received=", ".join(found)[:80],
                hint="judge each part apart",
                place=Place(table.name),
                code="coordinates/mixed",
            )


def _whole(table: ResultTable, column: str, *, least: int = 1) -> list[int]:
    values, _ = column_numbers(table, column)
    for row, value in enumerate(values):
        if not (math.isfinite(value) and value == int(value) and least <= value < 2**53):
            _refuse(table, row, f"`{column}` must be a whole number, at least {least}", str(value))
    return [int(value) for value in values]


def _refuse(table: ResultTable, row: int, rule: str, received: str) -> None:
    raise UsageError(rule, received=received, place=Place(table.name, table.lines[row]), code="coordinates/cell")


def _layer(name: str) -> str | None:
    """The module, with which of its outputs; None for a loss, an input or a parameter."""
    match = _OUTPUT.fullmatch(name)
    if match is None or "loss" in (match["part"] or "") or name.rpartition(".")[2] == "loss":
        return None
    return f"{match['module'] or 'model'}{match['part'] or ''}"


def _numbered(keys: Sequence[tuple[int, int | None, int, str]]) -> list[tuple[int, int, int, str]]:
    """Every row with its seed and, where a module is called several times in a pass, the number of the call.

    mup trains one seed after the other, so of k rows per seed the first k are the first seed's.
    """
    counts = Counter(keys)
    per_seed = 1 if keys and keys[0][1] is not None else 0
    seeds = min(counts.values()) if not per_seed else 1
    seen: Counter[tuple[int, int | None, int, str]] = Counter()
    numbered = []
    for key in keys:
        width, given, time, layer = key
        calls = max(1, counts[key] // seeds)
        seed, call = divmod(seen[key], calls)
        seen[key] += 1
        name = layer if call == 0 else f"{layer}#{call + 1}"
        numbered.append((width, seed if given is None else given, time, name))
    return numbered


def _logits(rows: Rows) -> tuple[Rows, tuple[str, ...], list[str]]:
    """Which layers are logits: the model's output and the module that computes it, else by name, else the last."""
    columns: dict[str, list[float]] = {}
    for *_, layer, value in rows:
        columns.setdefault(layer, []).append(value)
    outputs = [name for name in columns if name == "model" or name.startswith("model[")]
    output = next((name for name in outputs if "logits" in name), outputs[0] if outputs else None)
    if output is not None:
        same = [
            name
            for name in columns
            if name not in outputs and np.array_equal(columns[name], columns[output], equal_nan=True)
        ]
        left = tuple(row for row in rows if row[3] not in outputs) if same else rows
        found = tuple(same) or (output,)
        return left, found, [f"logits: {', '.join(found)}, which is the model's output"]
    named = tuple(name for name in columns if _READOUT.fullmatch(name))
    if named:
        return rows, named, [f"logits: {', '.join(named)}, by name"]
    last = list(columns)[-1] if columns else ""
    return rows, (last,), [f"logits: {last}, the last module"]
