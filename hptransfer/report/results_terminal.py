"""The judgement of a table of finished runs in the terminal: tables, curves and the verdict per group."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from hptransfer.checking.judge_mechanics import table_mechanics
from hptransfer.checking.judge_table import JudgedSlice, TableJudgement
from hptransfer.checking.table_group import JudgedGroup
from hptransfer.errors import printable
from hptransfer.report.prediction import describe_forecast
from hptransfer.report.results import at_their_best
from hptransfer.report.terminal import print_long, print_transfer
from hptransfer.transfer.judge import TransferReport

if TYPE_CHECKING:
    from rich.console import Console


def print_table_judgement(judgement: TableJudgement, console: Console) -> None:
    """Print each slice's groups with their tables and verdicts, then the overall verdict where there are several.

    Args:
        judgement: of every slice and group of the table.
        console: where tables and sentences are printed.
    """
    several = len(judgement.slices) > 1
    for each in judgement.slices:
        if several:
            held = ", ".join(f"{name} {value}" for name, value in each.part.held.items())
            title = f"{each.roles.hyperparameter}, with {held or at_their_best(each.part)}"
            console.print(Text(printable(title), "bold underline"))
        _print_slice(each, console)
    for name, together in judgement.together.items():
        decide = [] if together.would_decide is None else [f"to decide it: {together.would_decide}"]
        for sentence in (together.sentence, *together.interactions, together.judgement, *decide):
            print_long(printable(sentence if name is None else f"{name}: {sentence}"), console)
    if several:
        console.print(Text(f"overall: {judgement.verdict}"))


def _print_slice(each: JudgedSlice, console: Console) -> None:
    for group in each.groups:
        if group.name is not None:
            console.print(Text(printable(f"{each.roles.group} {group.name}"), "bold underline"))
        report = group.report
        print_transfer(TransferReport((report,), report.verdict, report.sentence), console)
    if len(each.groups) > 1:
        for group in each.groups:
            console.print(Text(printable(f"{group.name}: {group.report.verdict}")))
        console.print(Text(printable(f"overall: {each.verdict}"), "bold"))
    for group in each.groups:
        if group.exponents is not None:
            print_long(f"\nmeasured{_of(group)} {group.exponents.sentence}", console)
    for sentence in table_mechanics(each).sentences:
        print_long(f"\n{printable(sentence)}", console)
    for group in each.groups:
        if group.target is not None:
            whose = "" if group.name is None else f"{printable(group.name)}: "
            print_long(f"\n{whose}prediction {describe_forecast(group.target.prediction)}", console)
            print_long(f"\n{whose}{group.target.scope.sentence}", console)


def _of(group: JudgedGroup) -> str:
    return ":" if group.name is None else f", {printable(group.name)}:"
