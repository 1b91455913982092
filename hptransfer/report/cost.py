"""What the journey costs, as a table of shares and a table of memory, or as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.text import Text

from hptransfer.artifacts.json_data import to_document
from hptransfer.artifacts.spent import percent
from hptransfer.costing.estimate import CostEstimate, CostRow
from hptransfer.report.progress import duration
from hptransfer.trials.run_cost import RunCost

#: what stands where a number is not known
UNKNOWN = "-"


def show_cost(found: CostEstimate, *, as_json: bool) -> int:
    """Prints the costs to stdout as a command does; the exit status 0.

    Args:
        found: what the journey costs.
        as_json: print JSON instead of tables and sentences.
    """
    if as_json:
        print(json.dumps(cost_document(found), indent=2, allow_nan=False))
    else:
        print_cost(found, Console(highlight=False))
    return 0


def cost_document(found: CostEstimate) -> dict[str, Any]:
    """The costs as JSON-able data, with the memory of each size in all."""
    document: dict[str, Any] = to_document(found)
    for size, cost in zip(document["sizes"], found.sizes, strict=True):
        size["memory"] = cost.memory
    return document


def print_cost(found: CostEstimate, console: Console) -> None:
    """Prints the costs to a console; a table wider than the console is not cropped.

    Args:
        found: what the journey costs.
        console: where it is printed, at any width.
    """
    console.print(Text(found.recipe))
    _print_shares(found, console)
    if not found.flops_known:
        text = "FLOPs are not known: the trainer builds the model; shares are of predicted positions (tokens)"
        console.print(text, soft_wrap=True)
    elif found.rows[0].seconds is None:
        hint = "`--flops-per-second 4e14` gives times"
        console.print(f"time is not known: {found.throughput}; {hint}", soft_wrap=True)
    else:
        console.print(f"time: one run after the other, {found.throughput}", soft_wrap=True)
    if any(size.weights is not None for size in found.sizes):
        console.print()
        _print_memory(found, console)
        examples = " or ".join(dict.fromkeys(f"{size.examples:,}" for size in found.sizes))
        noun = "example" if examples == "1" else "examples"
        text = f"activations: what autograd keeps of {examples} {noun}; an estimate, a step needs more for moments"
        console.print(text, soft_wrap=True)
    for note in found.notes:
        console.print(note, soft_wrap=True, markup=False)


def print_whole(header: Sequence[tuple[str, str]], rows: Sequence[Sequence[str]], console: Console) -> None:
    """Prints a table at its own width, which no console crops; a narrower terminal breaks its lines.

    Args:
        header: two lines for each column; a line of empty ones is left out.
        rows: cells of as many columns, the first aligned to the left, the others to the right.
        console: where it is printed, at any width.
    """
    above = [line for line in zip(*header, strict=True) if any(line)]
    lines = [*above, *rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for index, cells in enumerate(lines):
        padded = [
            cell.rjust(width) if at else cell.ljust(width)
            for at, (cell, width) in enumerate(zip(cells, widths, strict=True))
        ]
        console.print(Text("  ".join(padded).rstrip(), "bold" if index < len(above) else ""), soft_wrap=True)


def _print_shares(found: CostEstimate, console: Console) -> None:
    amount = "FLOPs" if found.flops_known else "tokens"
    shares = ("share of", "target"), ("share of", "tuning there")
    header = (("", ""), ("", "trials"), ("", amount), *shares, ("", "memory"), ("", "time"))
    print_whole(header, [_cells_of(row) for row in found.rows], console)


def _cells_of(row: CostRow) -> tuple[str, ...]:
    amount = f"{row.tokens if row.flops is None else row.flops:.3g}"
    shares = percent(row.of_target), percent(row.of_tuning_there)
    time = UNKNOWN if row.seconds is None else time_text(row.seconds)
    return row.name, str(row.trials), amount, *shares, size_text(row.memory), time


def _print_memory(found: CostEstimate, console: Console) -> None:
    names = ("memory of one run", "parameters", "weights", "gradients", "optimizer", "activations")
    print_whole([("", name) for name in names], _memory_of(found.sizes), console)


def _memory_of(sizes: Sequence[RunCost]) -> list[tuple[str, ...]]:
    """One row for each shape and batch: tokens take no memory."""
    rows = {}
    for cost in sizes:
        size = cost.size
        batch = "" if size.batch_size == sizes[0].size.batch_size else f"-b{size.batch_size}"
        parameters = UNKNOWN if cost.parameters is None else f"{cost.parameters:.3g}"
        parts = (cost.weights, cost.gradients, cost.optimizer, cost.activations)
        rows[size.label + batch] = (size.label + batch, parameters, *map(size_text, parts))
    return list(rows.values())


def size_text(size: float | None) -> str:
    """Bytes as people read them: 1.2 MB, 54 GB; a dash where they are not known.

    Args:
        size: number of bytes, or None.
    """
    if size is None:
        return UNKNOWN
    for unit, scale in (("kB", 1e3), ("MB", 1e6), ("GB", 1e9)):
        if size < 999.5 * scale:
            return f"{size / scale:.3g} {unit}"
    return f"{size / 1e12:.3g} TB" if size < 999.5e12 else f"{size / 1e15:.3g} PB"


def time_text(seconds: float) -> str:
    """A time as people read it, in seconds with decimals up to days.

    Args:
        seconds: any time, at least 0.
    """
    if seconds < 60:
        return f"{seconds:.2g} s"
    return duration(seconds) if seconds < 48 * 3600 else f"{seconds / 86400:,.0f} d"
