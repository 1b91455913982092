"""The judgement of a ladder in the terminal (the table per size, the curves, drift and verdict), and diagnostics."""

from __future__ import annotations

import math
import sys
import textwrap
from collections.abc import Sequence

from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from hptransfer.checking.adaptive import Round
from hptransfer.diagnostics.base import Columns, Diagnosed, Line
from hptransfer.report.costs import describe_costs
from hptransfer.report.curves import UNICODE, Glyphs, colour_of, draw_curves, glyphs_of, legend_of, marker_of
from hptransfer.sizes import size_text, size_word
from hptransfer.transfer.cost_text import amount
from hptransfer.transfer.criteria import SizeEvidence
from hptransfer.transfer.judge import AxisReport, TransferReport
from hptransfer.transfer.mechanics import fixed_values
from hptransfer.transfer.speed import describe_speed
from hptransfer.transfer.verdict_text import describe_growth
from hptransfer.verdict import Verdict

_STYLE = {Verdict.TRANSFERS: "bold green", Verdict.DRIFTS: "bold red", Verdict.INCONCLUSIVE: "bold yellow"}


def print_transfer(report: TransferReport, console: Console) -> None:
    """Print every axis and the verdict; plain ASCII where the console's encoding is not UTF-8."""
    console.print(render_transfer(report, width=console.width, glyphs=glyphs_of(console)))


def render_transfer(report: TransferReport, *, width: int = 80, glyphs: Glyphs = UNICODE) -> Group:
    """The report as rich renderables.

    Args:
        report: the judgement over all axes.
        width: of the terminal, in columns.
        glyphs: characters to draw with, `curves.UNICODE` or `curves.ASCII`.
    """
    parts = [render_axis(axis, width=width, glyphs=glyphs) for axis in report.axes]
    if len(report.axes) > 1:
        parts.append(Group(_verdict_line(report.verdict, report.sentence)))
    return Group(*parts)


def render_axis(axis: AxisReport, *, width: int = 80, glyphs: Glyphs = UNICODE) -> Group:
    """One axis: table per size, curves, drift, regret, limits and the verdict with its sentence."""
    lines: list[Table | Text] = [
        Text(f"{axis.hyperparameter} {axis.transferred:.4g}, tuned at {axis.axis} {size_text(axis.reference)}", "bold"),
        _table(axis, glyphs),
        Text(f"loss at the optimum, in the unit of the runs; cost in {axis.unit.name}", "dim"),
        Text(""),
        Text(
            f"loss above each {size_word(axis.axis)}'s best, and below the optimum with its 95% interval",
            "dim",
        ),
        draw_curves(axis.sizes, axis.transferred, width=width, glyphs=glyphs),
        Text(legend_of(axis.sizes, glyphs), "dim"),
        Text(""),
        *(Text(line) for line in describe_costs(axis)),
    ]
    if axis.rho is not None:
        ratio = f"{axis.rho.estimate:.2g} ({axis.rho.low:.2g} to {axis.rho.high:.2g})"
        speed = describe_speed(axis.rho, affordable=axis.affordable)
        lines.append(Text(f"regret / gain from {axis.axis}: {ratio}, {speed}"))
    lines += _size_effects(axis)
    if (fixed := fixed_values(axis)) is not None:
        lines.append(Text(fixed.sentence))
    lines += [Text(f"limit: {limit}", "dim") for limit in axis.limits]
    lines.append(_verdict_line(axis.verdict, axis.sentence))
    if axis.would_decide:
        lines.append(Text(f"to decide it: {axis.would_decide}"))
    return Group(*lines, Text(""))


def _size_effects(axis: AxisReport) -> list[Text]:
    """Whether size helps at each size's own optimum, and whether it makes a wrong value dearer."""
    answer = {True: "yes", False: "NO", None: "undecided"}[axis.wider_is_not_worse]
    said = f"at its own optimum no larger {size_word(axis.axis)} is worse: {answer}"
    found = [Text(said)] if len(axis.sizes) > 1 else []
    known = [size for size in axis.sizes if math.isfinite(size.octave_off.estimate)]
    if axis.sensitivity_growth is not None and known:
        ends = ", ".join(f"{size.octave_off.estimate:.2g} at {size.label}" for size in (*known[:1], *known[1:][-1:]))
        growth = describe_growth(axis.sensitivity_growth)
        found.append(Text(f"being an octave off adds to the loss: {ends}; {growth}"))
    return found


def _table(axis: AxisReport, glyphs: Glyphs) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("", axis.axis, "optimum", "95% interval", "edge", "loss", "cost here"):
        table.add_column(name, justify="left" if name in ("", "edge") else "right", no_wrap=True)
    for index, size in enumerate(axis.sizes):
        optimum = size.optimum
        table.add_row(
            Text(marker_of(index, glyphs), colour_of(index)),
            size.label,
            f"{optimum.value:.3g}",
            f"{_power(optimum.low)} to {_power(optimum.high)}",
            optimum.edge or "",
            f"{optimum.loss.estimate:.4f}",
            _cost_here(size),
        )
    return table


def _power(log2_value: float) -> str:
    """An end of an interval in the hyperparameter's unit; an open end is said, not left out."""
    return "open" if math.isinf(log2_value) else f"{2.0**log2_value:.3g}"


def _cost_here(size: SizeEvidence) -> str:
    if math.isinf(size.regret.low):
        return "diverges"
    if math.isinf(size.regret.estimate):
        return "not sampled"
    estimate = "open" if math.isinf(size.cost.estimate) else amount(size.cost.estimate)
    return f"{estimate} (to {amount(size.cost.high)})"


def print_long(text: str, console: Console) -> None:
    """Print prose: wrapped between words in a terminal, and a line for each line where a program reads it.

    Args:
        text: one line or several; words are never broken or cropped, paths among them.
        console: where the text is printed; its width is that of the terminal.
    """
    if console.is_terminal:  # which would break a line in the middle of a number
        lines = text.split("\n")
        text = "\n".join(
            part
            for line in lines
            for part in textwrap.wrap(line, console.width, break_long_words=False, break_on_hyphens=False) or [""]
        )
    console.print(Text(text), soft_wrap=True)


def _verdict_line(verdict: Verdict, sentence: str) -> Text:
    return Text.assemble((verdict.value, _STYLE[verdict]), ": ", sentence)


def rounds_table(rounds: Sequence[Round]) -> Table:
    """Trials so far, drift and cost after each round (in the unit of its axis), and what it was spent on.

    Args:
        rounds: of an adaptive check, in their order.
    """
    table = Table(box=None, pad_edge=False, header_style="bold", title_justify="left")
    for name in ("trials", "axis", "drift", "cost up to", "verdict", "spent on"):
        table.add_column(name, justify="right" if name in ("trials", "cost up to") else "left")
    for each in rounds:
        for place, axis in enumerate(each.axes):
            table.add_row(
                "" if place else str(each.trials),
                axis.axis,
                f"{_end(axis.drift.low)} to {_end(axis.drift.high)}",
                amount(axis.cost.high),
                axis.verdict.value,
                "" if place else ", ".join(dict.fromkeys(each.spent_on)),
            )
    return table


def _end(value: float) -> str:
    return "open" if math.isinf(value) else f"{value:+.2f}"


# What diagnostics found.


def print_diagnosed(diagnosed: Diagnosed, console: Console) -> None:
    """Print lines and tables of one diagnostic; nothing where it had too little to judge.

    Args:
        diagnosed: lines and tables of one diagnostic.
        console: where to print; plain ASCII where its encoding is not UTF-8.
    """
    plus_minus = glyphs_of(console).plus_minus
    for shown in diagnosed.shown:
        if isinstance(shown, Line):
            console.print(Text(shown.text.replace("±", plus_minus), shown.style), soft_wrap=not shown.wraps)
        else:
            console.print(_diagnostics_table(shown, plus_minus))


def _diagnostics_table(columns: Columns, plus_minus: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for index, name in enumerate(columns.header):
        table.add_column(name, justify="left" if index < columns.left else "right")
    for row in columns.rows:
        table.add_row(*(Text(cell.replace("±", plus_minus)) for cell in row))
    return table


def asked_at_terminal(question: str, choices: Sequence[str]) -> str:
    """One of several choices, by whoever sits at the terminal; the first where nothing is typed.

    Args:
        question: what is asked, one line.
        choices: at least one, the likeliest first.
    """
    print(question, file=sys.stderr)
    for number, choice in enumerate(choices, 1):
        print(f"  {number}  {choice}", file=sys.stderr)
    while True:
        print(f"1 to {len(choices)} [1]: ", end="", file=sys.stderr, flush=True)
        typed = sys.stdin.readline()
        if not typed.strip():
            return choices[0]
        if typed.strip() in choices:
            return typed.strip()
        if typed.strip().isdecimal() and 1 <= int(typed) <= len(choices):
            return choices[int(typed) - 1]
