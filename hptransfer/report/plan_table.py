"""A plan in the terminal and as JSON: every parameter group with its values, the rule behind them and its source."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path

from rich.console import Console, Group
from rich.measure import Measurement
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from hptransfer.hyperparameters import identifying
from hptransfer.parameterization.groups import ParameterGroup, group_rows, plan_markdown, readable
from hptransfer.parameterization.plan import Plan
from hptransfer.sizes import AXES, rule_name

#: quantity -> its short name in the column of rules
_SHORT = {"init_std": "init", "multiplier": "forward", "learning_rate": "lr", "weight_decay": "decay", "eps": "eps"}

#: columns that no table needs, to measure one
_UNBOUNDED = 10_000
#: columns below which a rule would be broken into pieces
_RULES = 30


def plan_document(plan: Plan, *, full: bool = False) -> dict[str, object]:
    """The plan as plain data.

    Args:
        plan: what is shown, in any gauge.
        full: one row per parameter, where layers repeat too.
    """
    return {
        "parameterization": plan.parameterization,
        "gauge": plan.gauge,
        "optimizer": plan.optimizer,
        "base": asdict(plan.base),
        "size": asdict(plan.size),
        "hyperparameters": identifying(plan.hyperparameters),
        "notes": list(plan.notes),
        "parameters": [group.as_mapping() for group in group_rows(plan.rows, collapse=not full)],
    }


def plan_as_markdown(plan: Plan, *, full: bool = False) -> str:
    """The plan for a document or a pull request: heading, table, sources, notes.

    Args:
        plan: what is shown, in any gauge.
        full: one row per parameter, where layers repeat too.
    """
    heading = _heading(plan).plain.replace("\n", "  \n")
    return f"{heading}\n\n{plan_markdown(group_rows(plan.rows, collapse=not full), plan.notes)}"


def print_plan(plan: Plan, console: Console, *, full: bool = False) -> None:
    """Prints the plan as a table, its sources and its notes.

    Args:
        plan: what is shown, in any gauge.
        console: where to print; where its width cannot hold the table's numbers, each group gets lines of its own.
        full: one row per parameter, where layers repeat too.
    """
    groups = group_rows(plan.rows, collapse=not full)
    sources = _numbered(source for group in groups for source in _shown_sources(group))
    shown: Table | Group = _table(plan, groups, sources)
    if Measurement.get(console, console.options.update(width=_UNBOUNDED), shown).minimum > console.width:
        shown = _blocks(plan, groups, sources)
    console.print(_heading(plan), shown, _legend(sources, plan.notes), sep="\n", soft_wrap=False)


def _heading(plan: Plan) -> Text:
    base, size = plan.base, plan.size
    ends = ((rule_name(axis), getattr(base, axis), getattr(size, axis)) for axis in AXES)
    axes = "  ".join(f"{name} {low} -> {high} (x{high / low:g})" for name, low, high in ends)
    values = "  ".join(f"{name} {value:g}" for name, value in identifying(plan.hyperparameters).items())
    return Text(f"{plan.parameterization}, {plan.optimizer}, gauge {plan.gauge}\n{axes}\nbase values: {values}")


def _table(plan: Plan, groups: Sequence[ParameterGroup], sources: dict[str, int]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 1), header_style="bold")
    longest = max((len(readable(group.pattern)) for group in groups), default=0)
    table.add_column("parameter", overflow="fold", min_width=min(longest, 48))
    for name in ("n", "shape"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("role")
    columns = _columns(groups)
    for name in columns:
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("rule [source]", overflow="fold", min_width=_RULES)
    for group in groups:
        cell = _cells(plan, group)
        numbers = [cell[name] for name in columns]
        shape = "x".join(map(str, group.shape))
        cells = (readable(group.pattern), str(group.count), shape, group.role, *numbers, _rules(group, sources))
        table.add_row(*map(Text, cells))
    return table


def _cells(plan: Plan, group: ParameterGroup) -> dict[str, str]:
    return {
        "init std": _init(group),
        "lr": f"{group.learning_rate:.4g}",
        "decay": f"{group.weight_decay:.4g}",
        "eps": "" if group.eps is None else f"{group.eps:.3g}",
        "forward": f"{group.multiplier:.4g}",
        "optimizer": group.optimizer or plan.optimizer,
    }


def _blocks(plan: Plan, groups: Sequence[ParameterGroup], sources: dict[str, int]) -> Group:
    """What the table holds, for a terminal that is too narrow for it: a name and two lines per group."""
    columns = _columns(groups)
    parts: list[Text | Padding] = []
    for group in groups:
        cell = _cells(plan, group)
        many = f"{group.count} of " if group.count > 1 else ""
        numbers = "   ".join(f"{name} {cell[name]}" for name in columns if cell[name])
        parts += [
            Text(f"{readable(group.pattern)}   {many}{'x'.join(map(str, group.shape))}   {group.role}", "bold"),
            Padding(Text(numbers), (0, 0, 0, 2), expand=False),
            Padding(Text(_rules(group, sources)), (0, 0, 0, 2), expand=False),
        ]
    return Group(*parts)


def _columns(groups: Sequence[ParameterGroup]) -> list[str]:
    """Values worth a column: eps where one has it, multipliers that `forward` must apply, optimizers where two."""
    columns = ["init std", "lr", "decay"]
    columns += ["eps"] * any(group.eps is not None for group in groups)
    columns += ["forward"] * any(group.multiplier != 1 for group in groups)
    columns += ["optimizer"] * (len({group.optimizer for group in groups}) > 1)
    return columns


def _init(group: ParameterGroup) -> str:
    return group.init if group.init_std is None else f"{group.init_std:.4g}"


def _shown_sources(group: ParameterGroup) -> list[str]:
    return [group.sources[quantity] for quantity in _SHORT if group.rules.get(quantity, "1") != "1"]


def _rules(group: ParameterGroup, sources: dict[str, int]) -> str:
    parts = [
        f"{short} {group.rules[quantity]} [{sources[group.sources[quantity]]}]"
        for quantity, short in _SHORT.items()
        if group.rules.get(quantity, "1") != "1"
    ]
    return ", ".join(parts) or "unscaled"


def _numbered(sources: Iterable[str]) -> dict[str, int]:
    return {source: number for number, source in enumerate(dict.fromkeys(sources), 1)}


def _legend(sources: dict[str, int], notes: Sequence[str]) -> Group:
    symbols = (
        "m_in, m_out, m_max: growth of a parameter's fan-in, fan-out and larger fan since the base size; "
        "m_N, m_L, m_B, m_D: of width, depth, batch and tokens"
    )
    lines = [Text(symbols, style="dim")]
    lines += [Text(f"[{number}] {source}", style="dim") for source, number in sources.items()]
    return Group(*lines, *(Text(f"note: {note}") for note in notes))


def describe_tuned(tuned: Path, recipe: str, given: Sequence[str]) -> str:
    """That tuned values exist which a plan does not use, and what plans with them.

    Args:
        tuned: the file that has them.
        recipe: what the user called it.
        given: options of `scale` that name the size that was planned.
    """
    command = shlex.join(["hptransfer", "scale", recipe, *given])
    return (
        f"tuned values lie in {tuned}; this plan has the values of the recipe's `training` section, and `{command}` "
        "plans with the tuned ones"
    )
