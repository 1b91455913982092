"""How often verdicts, and the intervals of optimum, drift and cost, are right: ladders whose truth is known.

    python -m benchmarks.verdict_calibration [--repeats 6] [--processes 2] [--part coverage power seeds bounds]

Settings come from an orthogonal array that leaves nothing to choose. With the law as the outer factor, setting (i, j),
0 <= i, j <= 4, has noise i, seeds j, sizes i + j, grid i + 2j, true cost i + 3j, all modulo 5: four mutually orthogonal
Latin squares of order 5 (Bose 1938), of which every pair of columns holds each pair of levels once. Ladders are
numbered from 100,000 on; smaller numbers were looked at while the judge was made.

Truth is the largest true cost over the sizes against the bound. A TRANSFERS where it is above the bound is false, and
so is a DRIFTS where it is below.
"""

from __future__ import annotations

import argparse
import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import NamedTuple

import numpy as np

from benchmarks.verdict_laws import GRIDS, LAWS, Drawn, Setting, draw
from hptransfer.transfer.criteria import TransferCriteria
from hptransfer.transfer.judge import AxisReport, judge_ladder
from hptransfer.verdict import Verdict

#: ladders with smaller numbers were looked at while the judge was made
FIRST = 100_000
BOUND = TransferCriteria().cost or math.nan
#: deviations of one run over what a doubling of compute buys at the largest size: tests/data/ladders have 0.3 to 1.3
NOISES = (0.1, 0.3, 0.5, 0.8, 1.3)
SEEDS = (1, 2, 3, 4, 5)
SIZES = (3, 4, 5, 6, 7)
#: of the bound
MULTIPLES = (0.0, 0.25, 0.5, 2.0, 4.0)
#: what the ladders that ship have, in the middle: noise of one run in the same unit, and what an octave costs
#: (benchmarks/every_ladder.py; the quickstart has 1.1 and 3.7)
OWN_NOISE, OWN_OCTAVE = 0.8, 3.0
#: the smallest errors that count: 1e-4 octaves and doublings
_ROUNDING = 1e-4


class Outcome(NamedTuple):
    """How one ladder came out."""

    setting: Setting
    bent: bool
    optima: tuple[bool, ...]
    drift: bool
    costs: tuple[bool, ...]
    known: bool
    verdict: Verdict
    truth: float
    optimum_width: float
    cost_width: float


def judged(drawn: Drawn, bound: float | None = None, *, hidden: int = 0) -> AxisReport:
    """The report that a user would get.

    Args:
        drawn: the ladder with its runs, and its truth.
        bound: doublings that are allowed; None for the default.
        hidden: how many of the largest sizes are left out.
    """
    sizes = list(drawn.groups)[: len(drawn.groups) - hidden]
    return judge_ladder(
        {size: drawn.groups[size] for size in sizes},
        axis="width",
        hyperparameter="learning_rate",
        transferred=drawn.transferred,
        reference=sizes[0],
        criteria=None if bound is None else TransferCriteria(cost=bound),
    )


def outcome(task: tuple[Setting, int]) -> Outcome:
    """Judge one ladder and compare with the truth."""
    setting, number = task
    drawn = draw(setting, number, BOUND)
    report = judged(drawn)
    optima = [
        size.optimum.low - _ROUNDING <= truth <= size.optimum.high + _ROUNDING
        for size, truth in zip(report.sizes, drawn.optima, strict=True)
    ]
    known = report.unit.known
    costs = [
        size.cost.low - _ROUNDING <= truth <= size.cost.high + _ROUNDING
        for size, truth in zip(report.sizes, drawn.costs, strict=True)
    ]
    widths = [(size.optimum.high - size.optimum.low) / 2 for size in report.sizes]
    law = next(law for law in LAWS if law.name == setting.law)
    return Outcome(
        setting,
        law.bent,
        tuple(optima),
        report.drift.low - _ROUNDING <= drawn.slope <= report.drift.high + _ROUNDING,
        tuple(costs) if known else (),
        known,
        report.verdict,
        float(drawn.costs.max()),
        float(np.median(widths)),
        report.cost.high - report.cost.low if known else math.nan,
    )


def design(law: str) -> list[Setting]:
    """The 25 settings of one law."""
    return [
        Setting(
            law,
            MULTIPLES[(i + 3 * j) % 5],
            NOISES[i],
            SEEDS[j],
            SIZES[(i + j) % 5],
            (i + 2 * j) % 5,
        )
        for i in range(5)
        for j in range(5)
    ]


def false(found: Outcome) -> bool:
    """Whether the verdict contradicts the truth."""
    if found.truth > BOUND:
        return found.verdict is Verdict.TRANSFERS
    return found.verdict is Verdict.DRIFTS


def share(values: Iterable[bool]) -> str:
    """A share with its count."""
    listed = list(values)
    return f"{100 * sum(listed) / len(listed):.1f}%" if listed else "-"


def print_coverage(found: Sequence[Outcome]) -> None:
    """Coverage law by law, and false verdicts per class of truth."""
    by_law: dict[str, list[Outcome]] = defaultdict(list)
    for each in found:
        by_law[each.setting.law].append(each)
    print("| law | optimum | drift | cost | rate known | TRANSFERS / DRIFTS / open | false |")
    print("|---|--:|--:|--:|--:|--:|--:|")
    for name, own in [*by_law.items(), ("all", list(found))]:
        verdicts = Counter(each.verdict for each in own)
        said = " / ".join(str(verdicts[verdict]) for verdict in Verdict)
        print(
            f"| {name} | {share(hit for each in own for hit in each.optima)} | {share(each.drift for each in own)} "
            f"| {share(hit for each in own for hit in each.costs)} | {share(each.known for each in own)} "
            f"| {said} | {sum(map(false, own))} |"
        )
    print("\n| truth | ladders | TRANSFERS | DRIFTS | open | false |")
    print("|---|--:|--:|--:|--:|--:|")
    classes = {
        "at most half of the bound": [e for e in found if not e.bent and e.truth <= 0.55 * BOUND],
        "at least twice the bound": [e for e in found if not e.bent and e.truth >= 1.9 * BOUND],
        "on a bent path": [e for e in found if e.bent],
    }
    for name, own in classes.items():
        counted = Counter(each.verdict for each in own)
        wrong = sum(map(false, own))
        print(
            f"| {name} | {len(own)} | {counted[Verdict.TRANSFERS]} | {counted[Verdict.DRIFTS]} "
            f"| {counted[Verdict.INCONCLUSIVE]} | {wrong} ({100 * wrong / max(1, len(own)):.2f}%) |"
        )
    for label in ("seeds", "sizes", "noise", "grid"):
        levels = sorted({float(getattr(each.setting, label)) for each in found})
        for level in levels:
            own = [each for each in found if getattr(each.setting, label) == level]
            name = GRIDS[int(level)][0] if label == "grid" else f"{level:g}"
            print(
                f"{label} {name}: optimum {share(h for e in own for h in e.optima)}, "
                f"drift {share(e.drift for e in own)}, "
                f"cost {share(h for e in own for h in e.costs)}, false {sum(map(false, own))} of {len(own)}"
            )


def print_power(run: Run, tables: int) -> None:
    """How often the verdict is clear at five sizes over 16x or so, at the quickstart's own noise."""
    print("\n| seeds | true cost, of the bound | TRANSFERS | DRIFTS | open |")
    print("|--:|--:|--:|--:|--:|")
    for seeds in (1, 2, 3, 4):
        for multiple in (0.0, 0.25, 0.5, 2.0, 4.0):
            found = run([Setting("parabola", multiple, OWN_NOISE, seeds, 5, 0, OWN_OCTAVE)], tables)
            counted = Counter(each.verdict for each in found)
            cells = " | ".join(
                f"{100 * counted[v] / len(found):.0f}%"
                for v in (Verdict.TRANSFERS, Verdict.DRIFTS, Verdict.INCONCLUSIVE)
            )
            print(f"| {seeds} | {multiple:g} | {cells} |", flush=True)


class Run:
    """Judges ladders in several processes."""

    def __init__(self, pool: ProcessPoolExecutor) -> None:
        """Keep the pool."""
        self.pool = pool

    def __call__(self, settings: Sequence[Setting], repeats: int) -> list[Outcome]:
        """Every setting `repeats` times, each time another ladder."""
        tasks = [
            (setting, FIRST + index * 1000 + repeat)
            for index, setting in enumerate(settings)
            for repeat in range(repeats)
        ]
        return list(self.pool.map(outcome, tasks, chunksize=20))


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=6, help="ladders per law and setting; bent paths have 14")
    parser.add_argument("--tables", type=int, default=200, help="ladders per row of power")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--part", nargs="+", choices=("coverage", "power"), default=("coverage", "power"))
    parser.add_argument("--law", default="", help="only laws with this in their name")
    options = parser.parse_args()
    with ProcessPoolExecutor(options.processes) as pool:
        run = Run(pool)
        if "coverage" in options.part:
            laws = [law for law in LAWS if options.law in law.name]
            found: list[Outcome] = []
            for index, law in enumerate(laws):
                repeats = options.repeats * 14 // 6 if law.bent else options.repeats
                tasks = [
                    (setting, FIRST + 100_000 * index + 1000 * number + repeat)
                    for number, setting in enumerate(design(law.name))
                    for repeat in range(repeats)
                ]
                found += pool.map(outcome, tasks, chunksize=20)
            print_coverage(found)
        if "power" in options.part:
            print_power(run, options.tables)


if __name__ == "__main__":
    main()
