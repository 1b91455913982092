"""Costs at a hidden largest size against their truth: `python -m benchmarks.cost_backtest [--ladders 60]`.

Ladders of `verdict_laws` with 3 to 5 sizes, three seeds and a true cost of 0, a quarter, half or twice the bound at the
hidden size and before it. Printed are the share of 95% intervals that hold the true cost at the hidden size, how often
the target was covered, how often wrongly, and the median half width in doublings.
"""

from __future__ import annotations

import argparse
from concurrent.futures import ProcessPoolExecutor
from typing import NamedTuple

import numpy as np

from benchmarks.verdict_calibration import BOUND, judged
from benchmarks.verdict_laws import LAWS, Setting, draw
from hptransfer.transfer.axis_facts import axis_facts_from_report
from hptransfer.transfer.target import Checked, judge_target

#: ladders of other benchmarks have smaller numbers
FIRST = 700_000


class Found(NamedTuple):
    """What was said of one hidden size."""

    held: bool
    covered: bool
    wrong: bool
    half_width: float


def found(task: tuple[str, int]) -> Found | None:
    """Judge the sizes but the largest, and ask about that; None where no cost was given in doublings."""
    law, number = task
    rng = np.random.default_rng([number, 14])
    multiple, noise = float(rng.choice([0.0, 0.25, 0.5, 2.0])), float(rng.choice([0.1, 0.3, 0.8]))
    drawn = draw(Setting(law, multiple, noise, 3, int(rng.integers(4, 7)), number % 3), FIRST + number, BOUND)
    *seen, hidden = drawn.groups
    report = judged(drawn, hidden=1)
    checked = Checked("learning_rate", drawn.transferred, [axis_facts_from_report(report)])
    target = judge_target([checked], proxy={"width": seen[0]}, target={"width": hidden})
    truth = float(drawn.costs[-1])
    if target.cost is None or not report.unit.known:
        return None
    held = target.cost.low - 1e-4 <= truth <= target.cost.high + 1e-4
    return Found(held, target.covered, target.covered and truth > BOUND, (target.cost.high - target.cost.low) / 2)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--ladders", type=int, default=60, help="of every law")
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args()
    print("| law | costs given | held | covered | wrongly | half width |")
    print("|---|--:|--:|--:|--:|--:|")
    with ProcessPoolExecutor(options.processes) as pool:
        everything: list[Found] = []
        for law in [law.name for law in LAWS] + ["all"]:
            if law == "all":
                own = everything
            else:
                tasks = [(law, number) for number in range(options.ladders)]
                own = [each for each in pool.map(found, tasks, chunksize=10) if each is not None]
                everything += own
            print(
                f"| {law} | {len(own)} | {np.mean([each.held for each in own]):.1%} "
                f"| {np.mean([each.covered for each in own]):.0%} | {sum(each.wrong for each in own)} "
                f"| {np.median([each.half_width for each in own]):.2f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
