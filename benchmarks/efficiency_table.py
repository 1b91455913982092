"""The table of docs/benchmarks.md from what `efficiency.py` wrote.

Usage: python benchmarks/efficiency_table.py FILE [FILE ...]

Per landscape and method, after so many trials: share of seeds whose recommendation truly loses at most 0.25% of the
loss, and in brackets the median error of log2 learning rate; for auto also how often its 95% interval held the truth.
"""

from __future__ import annotations

import csv
import sys
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean, median

from efficiency import PEERS

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
    budgets = sorted({key[4] for key in found})
    print("| landscape | method | " + " | ".join(f"{n} trials" for n in budgets) + " | seeds |")
    print("|---|---|" + "--:|" * (len(budgets) + 1))
    for place in places:
        for method in ("auto", *PEERS):
            rows = {n: found.get((*place, method, n), []) for n in budgets}
            seeds = max((len(row) for row in rows.values()), default=0)
            if seeds:
                print(f"| {named(*place)} | {method} | " + " | ".join(cell(rows[n]) for n in budgets) + f" | {seeds} |")


def named(case: str, noise: str, off_centre: str) -> str:
    """A landscape in words."""
    if case == "proxy":
        return "quickstart proxy"
    return f"{case}-D, {float(noise):.1%}, {'off-centre' if off_centre == '1' else 'centred'}"


def cell(rows: Sequence[Row]) -> str:
    """One cell; empty where nothing was run."""
    if not rows:
        return ""
    share = fmean(excess <= GOAL for excess, _, _ in rows)
    text = f"{share:.0%} ({median(octaves for _, octaves, _ in rows):.2f})"
    covered = [row[2] == "1" for row in rows if row[2]]
    return text + (f" [{fmean(covered):.0%}]" if covered else "")


if __name__ == "__main__":
    main([Path(argument) for argument in sys.argv[1:]])
