"""The tables of docs/benchmarks.md from what `efficiency.py` wrote.

Usage: python -m benchmarks.efficiency_table FILE [FILE ...]

First, per landscape: whether auto after 16 trials is at least where the best of the others is after 32, and what `tune`
would have forecast for it. Then, per landscape and method, after so many trials: share of seeds whose recommendation
truly loses at most 0.25% of the loss, and in brackets the median error of log2 learning rate; for auto also how often
its 95% interval held the truth. A row counts the seeds of its cells, and marks cells of fewer.
"""

from __future__ import annotations

import csv
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean, median

from benchmarks.efficiency import PEERS
from benchmarks.landscapes import AXES
from hptransfer.search.rounds import expected_power
from hptransfer.search.space import Space

GOAL = 0.0025
Row = tuple[float, float, str]  # excess, octaves, covered


def main(paths: Sequence[Path]) -> None:
    """Markdown on stdout."""
    found: dict[tuple[str, str, str, str, int], list[Row]] = defaultdict(list)
    for path in paths:
        with path.open(encoding="utf-8") as file:
            for case, noise, off_centre, method, _, trials, excess, octaves, covered, _ in csv.reader(file):
                key = (case, noise, off_centre, method, int(trials))
                found[key].append((float(excess), float(octaves), covered))
    places = sorted({key[:3] for key in found})
    print("| landscape | auto, 16 trials | best of the others, 32 trials | reached | forecast for auto |")
    print("|---|--:|---|---|--:|")
    for place in places:
        print(f"| {named(*place)} | " + " | ".join(goal(found, place)) + " |")
    print()
    budgets = sorted({key[4] for key in found})
    print("| landscape | method | " + " | ".join(f"{n} trials" for n in budgets) + " | seeds |")
    print("|---|---|" + "--:|" * (len(budgets) + 1))
    for place in places:
        for method in ("auto", *PEERS):
            rows = {n: found.get((*place, method, n), []) for n in budgets}
            seeds = max((len(row) for row in rows.values()), default=0)
            if seeds:
                print(
                    f"| {named(*place)} | {method} | "
                    + " | ".join(cell(rows[n], seeds) for n in budgets)
                    + f" | {seeds} |"
                )


def goal(
    found: Mapping[tuple[str, str, str, str, int], Sequence[Row]], place: tuple[str, str, str]
) -> tuple[str, str, str, str]:
    """Auto's share at 16 trials, the best other one at 32, whether the first is no less, and what was forecast."""
    case, noise, _ = place
    own = found.get((*place, "auto", 16), [])
    others = {method: share(rows) for method in PEERS if (rows := found.get((*place, method, 32), []))}
    missing = [method for method in PEERS if method not in others]
    best = max(others, key=lambda method: others[method], default="")
    text = f"{others[best]:.0%}, {best}" if best else ""
    if missing:
        text += f" ({', '.join(missing)} not run)"
    reached = "" if not own or not best else ("yes" if share(own) >= others[best] else "no")
    forecast = (
        "" if case == "proxy" else f"{expected_power(Space(AXES[: int(case)]), 16, GOAL, float(noise)).chance:.0%}"
    )
    return f"{share(own):.0%}" if own else "", text, reached, forecast


def share(rows: Sequence[Row]) -> float:
    """Of seeds whose recommendation reached the goal."""
    return fmean(excess <= GOAL for excess, _, _ in rows)


def named(case: str, noise: str, off_centre: str) -> str:
    """A landscape in words."""
    if case == "proxy":
        return "quickstart proxy"
    return f"{case}-D, {float(noise):.1%}, {'off-centre' if off_centre == '1' else 'centred'}"


def cell(rows: Sequence[Row], seeds: int) -> str:
    """One cell of a row of so many seeds; empty where nothing was run."""
    if not rows:
        return ""
    text = f"{share(rows):.0%} ({median(octaves for _, octaves, _ in rows):.2f})"
    covered = [row[2] == "1" for row in rows if row[2]]
    text += f" [{fmean(covered):.0%}]" if covered else ""
    return text if len(rows) == seeds else f"{text} ({len(rows)} seeds)"


if __name__ == "__main__":
    main([Path(argument) for argument in sys.argv[1:]])
