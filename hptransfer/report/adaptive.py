"""What the rounds of an adaptive check bought, in the terminal."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from rich.table import Table
from rich.text import Text

from hptransfer.statistics.interval import Interval
from hptransfer.transfer.verdict import Verdict

if TYPE_CHECKING:
    from rich.console import Console


class AxisLook(Protocol):
    """One axis after a round."""

    @property
    def axis(self) -> str:
        """Its name."""

    @property
    def drift(self) -> Interval:
        """Octaves per doubling."""

    @property
    def regret(self) -> Interval:
        """Relative, at the largest size."""

    @property
    def verdict(self) -> Verdict:
        """At that time."""


class TrialRound(Protocol):
    """A round of trials."""

    @property
    def trials(self) -> int:
        """Finished so far."""

    @property
    def bought(self) -> Sequence[str]:
        """What the round was spent on."""

    @property
    def looks(self) -> Sequence[AxisLook]:
        """Per axis, after the round."""


def print_rounds(rounds: Sequence[TrialRound], ended: str, console: Console) -> None:
    """Print one line per round and axis, then why the check ended."""
    console.print(rounds_table(rounds))
    console.print(Text(f"no more trials: {ended}\n"))


def rounds_table(rounds: Sequence[TrialRound]) -> Table:
    """Trials so far, the deciding intervals after each round, and what it was spent on."""
    table = Table(box=None, pad_edge=False, header_style="bold", title_justify="left")
    for name in ("trials", "axis", "drift", "regret up to", "verdict", "spent on"):
        table.add_column(name, justify="right" if name in ("trials", "regret up to") else "left")
    for each in rounds:
        for place, look in enumerate(each.looks):
            high = look.regret.high
            table.add_row(
                "" if place else str(each.trials),
                look.axis,
                f"{_end(look.drift.low)} to {_end(look.drift.high)}",
                "open" if math.isinf(high) else f"{high:.2%}",
                look.verdict.value,
                "" if place else _brief(each.bought),
            )
    return table


def _end(value: float) -> str:
    return "open" if math.isinf(value) else f"{value:+.2f}"


def _brief(bought: Sequence[str]) -> str:
    return ", ".join(dict.fromkeys(bought))
