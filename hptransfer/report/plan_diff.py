"""What changes between two plans of one model: two parameterizations, side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from hptransfer.errors import UsageError
from hptransfer.parameterization.groups import layer_template
from hptransfer.parameterization.plan import Plan, PlannedParameter

if TYPE_CHECKING:
    from rich.console import Console

#: quantity of a row -> how it is headed
_QUANTITIES = {
    "init_std": "init std",
    "learning_rate": "learning rate",
    "weight_decay": "weight decay",
    "eps": "eps",
    "multiplier": "forward",
}
#: two values that differ by less are one value that was computed in two ways
_SAME = 1e-9


@dataclass(frozen=True, slots=True)
class QuantityChange:
    """One quantity of a group of parameters in two plans; `ratio` is after / before, None where that has no meaning."""

    quantity: str
    before: float | None
    after: float | None
    ratio: float | None


@dataclass(frozen=True, slots=True)
class Difference:
    """Parameters that change alike.

    Attributes:
        name: of the parameter, with * for the indices of layers that repeat.
        count: how many parameters have this name.
        role: value of their `Role`, for example "hidden weight".
        changes: what differs; empty where nothing does.
    """

    name: str
    count: int
    role: str
    changes: tuple[QuantityChange, ...]


def diff_plans(before: Plan, after: Plan) -> tuple[Difference, ...]:
    """Compare two plans row by row; equal rows of layers that repeat become one difference.

    Args:
        before: a plan of some model.
        after: another plan of the same model at the same size.

    Returns:
        In the model's order, unchanged parameters included.

    Raises:
        UsageError: the plans are of different parameters.
    """
    names = [[row.parameter.name for row in plan.rows] for plan in (before, after)]
    if names[0] != names[1]:
        raise UsageError("only plans of the same parameters can be compared", received=f"{before.size}, {after.size}")
    counts: dict[tuple[str, str, tuple[QuantityChange, ...]], int] = {}
    for old, new in zip(before.rows, after.rows, strict=True):
        key = (layer_template(old.parameter.name), old.parameter.role.value, _changes(old, new))
        counts[key] = counts.get(key, 0) + 1
    return tuple(Difference(name, count, role, changes) for (name, role, changes), count in counts.items())


def _changes(old: PlannedParameter, new: PlannedParameter) -> tuple[QuantityChange, ...]:
    pairs = [(quantity, getattr(old, quantity), getattr(new, quantity)) for quantity in _QUANTITIES]
    return tuple(
        QuantityChange(quantity, before, after, None if not before or after is None else after / before)
        for quantity, before, after in pairs
        if not _equal(before, after)
    )


def _equal(before: float | None, after: float | None) -> bool:
    if before is None or after is None:
        return before is after
    return abs(after - before) <= _SAME * max(abs(before), abs(after))


def diff_document(before: Plan, after: Plan) -> dict[str, object]:
    """The comparison as plain data, changed parameters only.

    Args:
        before: a plan of some model.
        after: another plan of the same model at the same size.
    """
    differences = diff_plans(before, after)
    return {
        "before": before.parameterization,
        "after": after.parameterization,
        "gauge": before.gauge,
        "optimizer": before.optimizer,
        "size": {"width": before.size.width, "depth": before.size.depth},
        "unchanged": sum(difference.count for difference in differences if not difference.changes),
        "changes": [
            {
                "name": difference.name,
                "count": difference.count,
                "role": difference.role,
                "quantities": {
                    change.quantity: {"before": change.before, "after": change.after, "ratio": change.ratio}
                    for change in difference.changes
                },
            }
            for difference in differences
            if difference.changes
        ],
        "notes": new_notes(before, after),
    }


def new_notes(before: Plan, after: Plan) -> list[str]:
    """Notes that the second plan has and the first has not.

    Args:
        before: a plan of some model.
        after: another plan of the same model at the same size.
    """
    return [note for note in after.notes if note not in before.notes]


def diff_markdown(before: Plan, after: Plan) -> str:
    """The comparison as a Markdown table.

    Args:
        before: a plan of some model.
        after: another plan of the same model at the same size.
    """
    headings, rows, unchanged = _cells(before, after)
    lines = [f"`{before.parameterization}` -> `{after.parameterization}`, {before.optimizer}, gauge {before.gauge}", ""]
    lines += [_line(headings), _line(["---"] * len(headings)), *map(_line, rows), "", unchanged]
    return "\n".join(lines + [f"\nNote: {note}" for note in new_notes(before, after)]) + "\n"


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |"


def print_diff(before: Plan, after: Plan, console: Console) -> None:
    """Prints the comparison: changed parameters, how many are unchanged, new notes.

    Args:
        before: a plan of some model.
        after: another plan of the same model at the same size.
        console: where to print; its width decides how cells are folded.
    """
    headings, rows, unchanged = _cells(before, after)
    table = Table(box=None, pad_edge=False, padding=(0, 1), header_style="bold")
    for index, heading in enumerate(headings):
        table.add_column(heading, justify="left" if index in (0, 2) else "right", overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row))
    size = before.size
    heading = f"{before.parameterization} -> {after.parameterization}, {before.optimizer}, gauge {before.gauge}"
    console.print(Text(f"{heading}, width {size.width}, depth {size.depth}"))
    if rows:
        console.print(table)
    console.print(Text(unchanged))
    for note in new_notes(before, after):
        console.print(Text(f"note: {note}"))


def _cells(before: Plan, after: Plan) -> tuple[list[str], list[list[str]], str]:
    """Headings (of what changes anywhere), one row per changed group, and a sentence on the others."""
    differences = diff_plans(before, after)
    changed = [difference for difference in differences if difference.changes]
    used = {change.quantity for difference in changed for change in difference.changes}
    quantities = [quantity for quantity in _QUANTITIES if quantity in used]
    rows = []
    for difference in changed:
        by_quantity = {change.quantity: change for change in difference.changes}
        cells = [_text(by_quantity.get(quantity)) for quantity in quantities]
        rows.append([difference.name, str(difference.count), difference.role, *cells])
    rest = sum(difference.count for difference in differences if not difference.changes)
    noun = "parameter does" if rest == 1 else "parameters do"
    headings = ["parameter", "n", "role", *(_QUANTITIES[quantity] for quantity in quantities)]
    return headings, rows, f"{rest} {noun} not change"


def _text(change: QuantityChange | None) -> str:
    if change is None:
        return ""
    ratio = "" if change.ratio is None else f" (x{change.ratio:.4g})"
    return f"{_number(change.before)} -> {_number(change.after)}{ratio}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"
