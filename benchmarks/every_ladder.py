"""The verdict of every ladder that ships, under each bound: `python -m benchmarks.every_ladder`.

Printed with it is what a bound is made of at the largest size: how much one run differs (noise), what an octave beside
the optimum costs, both over what a doubling gains there, and how well that gain is known.
"""

from __future__ import annotations

import csv
import json
import math
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from hptransfer.statistics.seed_means import Point
from hptransfer.transfer.criteria import TransferCriteria
from hptransfer.transfer.judge import AxisReport, judge_ladder
from hptransfer.verdict import Verdict

_DATA = Path(__file__).parent.parent / "tests" / "data" / "ladders"
BOUNDS = (0.1, 0.25, 0.5, 1.0)


class Stored(NamedTuple):
    """One ladder that ships: its runs by size, and the value that was carried."""

    name: str
    axis: str
    groups: dict[float, list[Point]]
    hyperparameter: str
    transferred: float
    reference: float


def stored_ladders() -> Iterator[Stored]:
    """Every ladder under tests/data/ladders, axis by axis."""
    index = json.loads((_DATA / "index.json").read_text(encoding="utf-8"))
    for name, known in index.items():
        with (_DATA / f"{name}.csv").open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        for axis, facts in known["axes"].items():
            groups: dict[float, list[Point]] = defaultdict(list)
            for row in rows:
                if row["axis"] == axis:
                    diverged = row["loss"] == "diverged"
                    loss = math.nan if diverged else float(row["loss"])
                    x = math.log2(float(row[facts["hyperparameter"]]))
                    groups[float(row["size"])].append(Point(x, int(row["seed"]), loss, diverged, float(row["flops"])))
            ordered = {size: groups[size] for size in sorted(groups)}
            yield Stored(name, axis, ordered, facts["hyperparameter"], facts["transferred"], float(facts["reference"]))


def judged(ladder: Stored, bound: float) -> AxisReport:
    """The report under a bound, in doublings."""
    return judge_ladder(
        ladder.groups,
        axis=ladder.axis,
        hyperparameter=ladder.hyperparameter,
        transferred=ladder.transferred,
        reference=ladder.reference,
        criteria=TransferCriteria(cost=bound),
    )


def main() -> None:
    """Print the table."""
    print("| ladder | sizes | seeds | noise | an octave | gain known to | cost where dearest | " + _heads() + " |")
    print("|---|---|--:|--:|--:|--:|---|" + "---|" * len(BOUNDS))
    for ladder in stored_ladders():
        reports = [judged(ladder, bound) for bound in BOUNDS]
        report, largest = reports[0], reports[0].sizes[-1]
        gain = report.unit.gain
        # over a gain that may be nothing, nothing can be said
        shares = ["-"] * 3
        if gain is not None and report.unit.known:
            known_to = (gain.high - gain.low) / 2 / gain.estimate
            shares = [
                f"{largest.optimum.noise / gain.estimate:.2g}",
                f"{largest.optimum.curvature / gain.estimate:.2g}",
                f"±{known_to:.0%}",
            ]
        cost = report.cost
        said = f"{cost.estimate:.2f} ({cost.low:.2f} to {cost.high:.2f}) at {report.dearest:g}"
        if not report.unit.known:
            said += f", {report.unit.name}"
        verdicts = " | ".join(_short(each.verdict) for each in reports)
        sizes = f"{ladder.axis} {min(ladder.groups):g} to {max(ladder.groups):g}"
        print(f"| {ladder.name} | {sizes} | {largest.optimum.n_seeds} | {' | '.join(shares)} | {said} | {verdicts} |")


def _heads() -> str:
    return " | ".join(f"{bound:g}" for bound in BOUNDS)


def _short(verdict: Verdict) -> str:
    return "open" if verdict is Verdict.INCONCLUSIVE else verdict.value


if __name__ == "__main__":
    main()
