"""The verdict of every ladder that ships, under each bound: `python -m benchmarks.every_ladder [--anew | --ratios]`.

With `--anew` it is the verdict under the default bound, with drift and cost, beside the verdict of the check when it
ran, by the criteria of then (0.15 octaves per doubling and 0.25% of the loss). With `--ratios` it is how what half an
octave off loses, what a doubling gains, and their ratio change per doubling of the size.

Printed with it is what a bound is made of at the largest size: how much one run differs (noise), what an octave beside
the optimum costs, both over what a doubling gains there, and how well that gain is known.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from hptransfer.hyperparameters import NEGLIGIBLE_DOUBLINGS
from hptransfer.statistics.seed_means import Point
from hptransfer.transfer.axis_facts import axis_facts_from_report, half_octave_off
from hptransfer.transfer.cost import DEVIATIONS
from hptransfer.transfer.criteria import TransferCriteria
from hptransfer.transfer.judge import AxisReport, judge_ladder
from hptransfer.verdict import Verdict

_DATA = Path(__file__).parent.parent / "tests" / "data" / "ladders"
BOUNDS = (0.1, 0.25, 0.5, 1.0)


class Stored(NamedTuple):
    """One ladder that ships: its runs by size, the value that was carried, and the verdict of then."""

    name: str
    axis: str
    groups: dict[float, list[Point]]
    hyperparameter: str
    transferred: float
    reference: float
    before: str


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
            before = facts.get("before", {}).get("verdict", "-")
            yield Stored(
                name, axis, ordered, facts["hyperparameter"], facts["transferred"], float(facts["reference"]), before
            )


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


def print_anew() -> None:
    """Drift, cost and verdict under the default bound, and the verdict of then."""
    print("| ladder | sizes | seeds | drift, octaves per doubling | cost where dearest, doublings | verdict | before |")
    print("|---|---|--:|---|---|---|---|")
    for ladder in stored_ladders():
        report = judged(ladder, NEGLIGIBLE_DOUBLINGS)
        cost, drift, name = report.cost, report.drift, report.unit.name.removeprefix("doublings ")
        said = f"{cost.estimate:.2f} ({cost.low:.2f} to {cost.high:.2f}) {name}".replace("to inf", "or more")
        said = f"{'diverges' if math.isinf(cost.low) else said} at {report.dearest:g}"
        sizes = f"{ladder.axis} {min(ladder.groups):g} to {max(ladder.groups):g}"
        moved = f"{drift.estimate:+.2f} ({drift.low:+.2f} to {drift.high:+.2f})"
        seeds = report.sizes[-1].optimum.n_seeds
        print(f"| {ladder.name} | {sizes} | {seeds} | {moved} | {said} | {report.verdict.value} | {ladder.before} |")


def print_ratios() -> None:
    """Change per doubling of the size, medians; and how far the ratio's log2 scatters about its line."""
    print("| ladder | half an octave off | a doubling's gain | their ratio | scatter, log2 |")
    print("|---|--:|--:|--:|--:|")
    for ladder in stored_ladders():
        facts = axis_facts_from_report(judged(ladder, NEGLIGIBLE_DOUBLINGS))
        if not facts.prices or facts.prices[0].unit == DEVIATIONS or len(facts.curves) < len(facts.rungs):
            continue
        at = np.array([log2 for log2, _ in facts.curves])
        lost = np.median([np.log2(half_octave_off(draws)) for _, draws in facts.curves], axis=1)
        gain = np.median(np.log2(facts.prices[0].one), axis=1)
        slopes = [float(np.polyfit(at, each, 1)[0]) for each in (lost, gain, lost - gain)]
        left = lost - gain - np.polyval(np.polyfit(at, lost - gain, 1), at)
        cells = " | ".join(f"{2**slope - 1:+.0%}" for slope in slopes)
        print(f"| {ladder.name} {ladder.axis} | {cells} | {np.sqrt((left**2).sum() / (len(at) - 2)):.2f} |")


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--anew", action="store_true", help="under the default bound, beside the verdict of then")
    parser.add_argument("--ratios", action="store_true", help="how a wrong value's loss over the gain changes")
    asked = parser.parse_args()
    if asked.anew:
        print_anew()
    elif asked.ratios:
        print_ratios()
    else:
        print_bounds()


def print_bounds() -> None:
    """The verdict under each bound, and what a bound is made of."""
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
