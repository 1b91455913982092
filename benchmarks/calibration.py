"""How often the intervals and verdicts of `judge` are right, on ladders whose optima are known exactly.

    python -m benchmarks.calibration [--tables 200] [--processes 2] [--part settings laws]

A table of runs is a ladder of four sizes, 8x in all, on one grid with a random offset: half octaves over +-2, or
octaves over +-3. Its losses follow one of the laws of `calibration_laws`, moved by a drift of 0, 0.1 or 0.3 octaves
per doubling. Every seed has an effect of its own, 0.3% of the loss at all values of a size alike; every run has noise.

Two tables: the share of 95% intervals that hold the exact optimum, and the exact drift, per setting (noise, seeds,
grid, with and without a cliff, equal and unequal noise), all laws of a kind taking turns; and the same for every law
by itself. How often verdicts are right is counted by `verdict_calibration`.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from dataclasses import dataclass
from itertools import product
from typing import NamedTuple

import numpy as np

from benchmarks.calibration_laws import LAWS, RUNGS, Law
from hptransfer.sizes import Size
from hptransfer.transfer.judge import AxisReport, judge_axis
from hptransfer.trials.trial import Trial, TrialState

#: ladders with smaller numbers were looked at while the estimator was made
FIRST = 10_000
#: noise of one run as a fraction of its loss
NOISES = (0.001, 0.003, 0.01)
SEEDS = (1, 2, 5)
#: (noise, seeds) at which every law is looked at by itself
LAW_BY_LAW = ((0.003, 2), (0.01, 5))
SPACINGS = (0.5, 1.0)
SEED_EFFECT = 0.003
#: standard deviation of a search's recommendation about the proxy's optimum, octaves (docs/benchmarks.md: the median
#: error of a search with the default recipe's proxy is 0.08 to 0.10)
TUNED_WITHIN = 0.13
#: every size trains to a loss this fraction lower than the one before
GAIN = 0.03
BY_NAME = {law.name: law for law in LAWS}
SMOOTH = tuple(law.name for law in LAWS if not law.cliff)
CLIFF = tuple(law.name for law in LAWS if law.cliff)
EQUAL = (1.0,) * RUNGS
UNEQUAL = (1.0, 3.0, 0.5, 2.0)


@dataclass(frozen=True)
class Setting:
    """What is drawn at random tables from.

    Attributes:
        laws: names of the laws, which take turns.
        spacing: of the grid, octaves.
        noise: of one run, a fraction of its loss.
        seeds: number of runs for each value.
        levels: factors on the noise, per rung.
        drifts: one is drawn per table, octaves per doubling; laws with optima of their own have none.
        tuned: the grid is laid about a value tuned at the smallest size, as `check` does; otherwise at random about the
            middle of all optima.
    """

    laws: tuple[str, ...]
    spacing: float
    noise: float
    seeds: int
    levels: tuple[float, ...] = EQUAL
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
    law: Law = BY_NAME[setting.laws[number % len(setting.laws)]]
    rng = np.random.default_rng([number, 7])
    moved = float(rng.choice(setting.drifts)) if law.moves else 0.0
    rungs = len(setting.levels)
    middle = 0.0 if setting.tuned else (rungs - 1) / 2
    shifts = [moved * (rung - middle) for rung in range(rungs)]
    optima = tuple(law.optimum(min(rung, RUNGS - 1)) + shifts[rung] for rung in range(rungs))
    about = optima[0] if setting.tuned else (min(optima) + max(optima)) / 2
    steps = round((2 if setting.spacing < 1 else 3) / setting.spacing)
    off = TUNED_WITHIN * rng.standard_normal() if setting.tuned else setting.spacing * rng.uniform(-0.5, 0.5)
    xs = np.asarray(about + off + setting.spacing * np.arange(-steps, steps + 1), dtype=np.float64)
    trials = []
    for rung, shift in enumerate(shifts):
        for seed in range(setting.seeds):
            expected = law.losses(xs - shift, min(rung, RUNGS - 1), 1_000 * number + seed)
            seed_effect = SEED_EFFECT * rng.standard_normal()
            noise = setting.noise * setting.levels[rung] * rng.standard_normal(len(xs))
            losses = np.where(np.isfinite(expected), expected, 0.0) * (1 - GAIN * rung) * (1 + seed_effect + noise)
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
    tasks = [(setting, number) for number in range(FIRST, FIRST + tables)]
    return list(map(outcome, tasks) if pool is None else pool.map(outcome, tasks, chunksize=5))


def _cell(setting: Setting, tables: int, pool: Executor) -> tuple[str, Coverage]:
    found = coverage(run(setting, tables, pool))
    return f"{100 * found.optimum:.0f}/{100 * found.drift:.0f}", found


def print_settings(tables: int, pool: Executor) -> None:
    """Shares that hold the truth, per setting, and how many settings are as they should be."""
    runs = list(product(NOISES, SEEDS))
    print("| laws | grid | noise of the sizes | " + " | ".join(f"{n:.1%}, {s}" for n, s in runs) + " |")
    print("|---|--:|---|" + "--:|" * len(runs))
    found = []
    for (kind, laws), spacing, levels in product((("smooth", SMOOTH), ("cliff", CLIFF)), SPACINGS, (EQUAL, UNEQUAL)):
        cells = [_cell(Setting(laws, spacing, noise, seeds, levels), tables, pool) for noise, seeds in runs]
        found += [c for _, c in cells]
        noise = "alike" if levels == EQUAL else ":".join(f"{level:g}" for level in levels)
        print(f"| {kind} | {spacing:g} | {noise} | " + " | ".join(text for text, _ in cells) + " |", flush=True)
    for what in ("optimum", "drift"):
        shares = np.array([getattr(c, what) for c in found])
        print(
            f"{what}: {shares.mean():.1%} on average, {np.mean((shares >= 0.9) & (shares <= 0.99)):.0%} of settings "
            f"within 90 to 99%, lowest {shares.min():.1%}, highest {shares.max():.1%}"
        )


def print_laws(tables: int, pool: Executor, names: Sequence[str]) -> None:
    """The same for every law by itself."""
    columns = list(product(SPACINGS, LAW_BY_LAW))
    print("\n| law | " + " | ".join(f"grid {g:g}: {n:.1%}, {s}" for g, (n, s) in columns) + " | half widths |")
    print("|---|" + "--:|" * (len(columns) + 1))
    for name in names:
        cells = [_cell(Setting((name,), spacing, *what), tables, pool) for spacing, what in columns]
        wide = f"{cells[0][1].optimum_half_width:.2f}/{cells[0][1].drift_half_width:.2f}"
        print(f"| {name} | " + " | ".join(text for text, _ in cells) + f" | {wide} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tables", type=int, default=200, help="ladders per setting")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--part", nargs="+", choices=("settings", "laws"), help="default: all")
    parser.add_argument("--law", help="laws by themselves: only those with this in their name")
    options = parser.parse_args()
    names = [law.name for law in LAWS if (options.law or "") in law.name]
    parts = options.part or ("settings", "laws")
    with ProcessPoolExecutor(options.processes) as pool:
        if "settings" in parts:
            print_settings(options.tables, pool)
        if "laws" in parts:
            print_laws(options.tables, pool, names)


if __name__ == "__main__":
    main()
