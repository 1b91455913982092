"""How often the intervals and verdicts of `judge` are right, on ladders whose optima are known exactly.

    python -m benchmarks.calibration [--tables 200] [--processes 2] [--law NAME]

A table of runs is a ladder of four sizes, 8x in all, on one grid with a random offset: half octaves over +-2, or
octaves over +-3. Its losses follow one of the laws of `calibration_laws`, moved by a drift of 0, 0.1 or 0.3 octaves
per doubling. Every seed has luck of its own, 0.3% of the loss at all values of a size alike; every run has noise.

Printed per law and grid: the share of 95% intervals that hold the exact optimum, and the exact drift, for each noise
and number of seeds. Then how often each verdict falls at the budget of the default recipe, for drifts of 0 and 0.5.
"""

from __future__ import annotations

import argparse
import math
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from dataclasses import dataclass
from itertools import product
from typing import NamedTuple

import numpy as np

from benchmarks.calibration_laws import LAWS, RUNGS, Law
from hptransfer.evidence.transfer import AxisReport, judge_axis
from hptransfer.evidence.trial import Trial, TrialState
from hptransfer.sizes import Size

#: (noise of one run as a fraction of its loss, seeds)
RUNS = ((0.001, 2), (0.003, 1), (0.003, 2), (0.003, 5), (0.01, 5))
SPACINGS = (0.5, 1.0)
LUCK = 0.003
#: every size trains to a loss this fraction lower than the one before
GAIN = 0.03
BY_NAME = {law.name: law for law in LAWS}


@dataclass(frozen=True)
class Setting:
    """What is drawn at random tables from.

    Attributes:
        law: name of the law.
        spacing: of the grid, octaves.
        noise: of one run, a fraction of its loss.
        seeds: per value.
        levels: factors on the noise, per rung.
        drifts: one is drawn per table, octaves per doubling; laws with optima of their own have none.
        tuned: the grid is laid about the optimum of the smallest size, as `check` does; otherwise about the middle.
    """

    law: str
    spacing: float
    noise: float
    seeds: int
    levels: tuple[float, ...] = (1.0,) * RUNGS
    drifts: tuple[float, ...] = (0.0, 0.1, 0.3)
    tuned: bool = False


class Table(NamedTuple):
    """One random ladder: its runs, the tuned value, and the truth."""

    trials: list[Trial]
    transferred: float
    optima: tuple[float, ...]
    drift: float


def table(setting: Setting, number: int) -> Table:
    """The ladder with this number; widths begin at 64."""
    law: Law = BY_NAME[setting.law]
    rng = np.random.default_rng([number, 7])
    moved = float(rng.choice(setting.drifts)) if law.moves else 0.0
    rungs = len(setting.levels)
    middle = 0.0 if setting.tuned else (rungs - 1) / 2
    shifts = [moved * (rung - middle) for rung in range(rungs)]
    optima = tuple(law.optimum(min(rung, RUNGS - 1)) + shifts[rung] for rung in range(rungs))
    about = optima[0] if setting.tuned else (min(optima) + max(optima)) / 2
    steps = round((2 if setting.spacing < 1 else 3) / setting.spacing)
    xs = about + setting.spacing * (np.arange(-steps, steps + 1) + rng.uniform(-0.5, 0.5))
    trials = []
    for rung, shift in enumerate(shifts):
        for seed in range(setting.seeds):
            expected = law.losses(xs - shift, min(rung, RUNGS - 1), 1_000 * number + seed)
            luck = LUCK * rng.standard_normal()
            noise = setting.noise * setting.levels[rung] * rng.standard_normal(len(xs))
            losses = np.where(np.isfinite(expected), expected, 0.0) * (1 - GAIN * rung) * (1 + luck + noise)
            for x, expectation, loss in zip(xs, expected, losses, strict=True):
                state = TrialState.COMPLETE if math.isfinite(expectation) else TrialState.DIVERGED
                final = float(loss) if state is TrialState.COMPLETE else math.inf
                size = Size(64 * 2**rung, 2, 64, 64_000)
                trials.append(Trial("", size, {"learning_rate": 2.0 ** float(x)}, seed, state, final))
    slope = float(np.polyfit(np.arange(rungs), optima, 1)[0]) if rungs > 1 else 0.0
    return Table(trials, 2.0 ** float(xs[steps]), optima, slope)


def judged(table: Table) -> AxisReport:
    """The report that a user would get."""
    return judge_axis(
        table.trials, axis="width", hyperparameter="learning_rate", transferred=table.transferred, reference=64
    )


class Outcome(NamedTuple):
    """How one table came out."""

    optima: int
    rungs: int
    drift: bool
    optimum_half_width: float
    drift_half_width: float
    verdict: str


def outcome(task: tuple[Setting, int]) -> Outcome:
    """Judge one table and compare with the truth, to a ten-thousandth of an octave."""
    drawn = table(*task)
    report = judged(drawn)
    hits = [
        size.optimum.low - 1e-4 <= truth <= size.optimum.high + 1e-4
        for size, truth in zip(report.sizes, drawn.optima, strict=True)
    ]
    return Outcome(
        sum(hits),
        len(hits),
        report.drift.low - 1e-4 <= drawn.drift <= report.drift.high + 1e-4,
        float(np.median([(size.optimum.high - size.optimum.low) / 2 for size in report.sizes])),
        (report.drift.high - report.drift.low) / 2,
        str(report.verdict),
    )


class Coverage(NamedTuple):
    """Shares that hold the truth, and median half widths in octaves."""

    optimum: float
    drift: float
    optimum_half_width: float
    drift_half_width: float


def coverage(outcomes: Sequence[Outcome]) -> Coverage:
    """Summarise the tables of one setting."""
    return Coverage(
        sum(o.optima for o in outcomes) / sum(o.rungs for o in outcomes),
        sum(o.drift for o in outcomes) / len(outcomes),
        float(np.median([o.optimum_half_width for o in outcomes])),
        float(np.median([o.drift_half_width for o in outcomes])),
    )


def run(setting: Setting, tables: int, pool: Executor | None = None) -> list[Outcome]:
    """Judge the first tables of a setting."""
    tasks = [(setting, number) for number in range(tables)]
    return list(map(outcome, tasks) if pool is None else pool.map(outcome, tasks, chunksize=5))


def verdict_settings() -> list[Setting]:
    """The default recipe's ladder (5 widths over 16x, half octaves, +-2 octaves), with 4 seeds as there and with 2."""
    laws = (
        "parabola",
        "steeper right",
        "4x bend right of the optimum",
        "diverges at +1.2",
        "jumps to 7.8 at +0.4",
        "O2 SGD regression",
    )
    return [
        Setting(law, 0.5, noise, seeds, (1.0,) * 5, (drift,), tuned=True)
        for law, seeds, noise, drift in product(laws, (4, 2), (0.001, 0.003), (0.0, 0.5))
    ]


def print_coverage(settings: Sequence[Setting], tables: int, pool: Executor) -> list[Coverage]:
    """One line per law, grid and noise levels, one column per noise and number of seeds."""
    lines: dict[tuple[str, float, tuple[float, ...]], list[Coverage]] = {}
    for setting in settings:
        key = setting.law, setting.spacing, setting.levels
        lines.setdefault(key, []).append(coverage(run(setting, tables, pool)))
        if len(lines[key]) == len(RUNS):
            levels = "" if len(set(setting.levels)) == 1 else ", noise 1:3:0.5:2"
            cells = " | ".join(f"{100 * c.optimum:.0f}/{100 * c.drift:.0f}" for c in lines[key])
            wide = f"{lines[key][2].optimum_half_width:.2f}/{lines[key][2].drift_half_width:.2f}"
            print(f"| {setting.law}{levels} | {setting.spacing:g} | {cells} | {wide} |", flush=True)
    return [found for line in lines.values() for found in line]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tables", type=int, default=200, help="ladders per setting")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--law", help="only laws with this in their name")
    options = parser.parse_args()
    names = [law.name for law in LAWS if (options.law or "") in law.name]
    settings = [
        Setting(law, spacing, noise, seeds) for law, spacing, (noise, seeds) in product(names, SPACINGS, RUNS)
    ] + [
        Setting(law, spacing, noise, seeds, (1.0, 3.0, 0.5, 2.0))
        for law, spacing, (noise, seeds) in product(("parabola", "diverges at +1.2"), SPACINGS, RUNS)
        if law in names
    ]
    with ProcessPoolExecutor(options.processes) as pool:
        print("| law | grid | " + " | ".join(f"{noise:.1%} x{seeds}" for noise, seeds in RUNS) + " | half widths |")
        print("|---|--:|" + "--:|" * (len(RUNS) + 1))
        found = print_coverage(settings, options.tables, pool)
        for what in ("optimum", "drift"):
            shares = np.array([getattr(c, what) for c in found])
            inside = np.mean((shares >= 0.9) & (shares <= 0.99))
            print(
                f"{what}: {shares.mean():.1%} on average, {inside:.0%} of settings within 90 to 99%, "
                f"lowest {shares.min():.1%}, highest {shares.max():.1%}"
            )
        print("\n| law | seeds | noise | drift 0: TRANSFERS, DRIFTS | drift 0.5: TRANSFERS, DRIFTS |")
        print("|---|--:|--:|--:|--:|")
        cells: dict[tuple[str, int, float], list[str]] = {}
        for setting in (s for s in verdict_settings() if s.law in names):
            counts = Counter(o.verdict for o in run(setting, options.tables, pool))
            shares = [f"{100 * counts[name] / options.tables:.1f}" for name in ("TRANSFERS", "DRIFTS")]
            key = setting.law, setting.seeds, setting.noise
            cells.setdefault(key, []).append(", ".join(shares))
            if len(cells[key]) == 2:
                print(f"| {key[0]} | {key[1]} | {key[2]:.1%} | " + " | ".join(cells[key]) + " |", flush=True)


if __name__ == "__main__":
    main()
