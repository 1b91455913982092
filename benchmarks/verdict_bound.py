"""Which bound on the cost runs can resolve: `python -m benchmarks.verdict_bound [--tables 200] [--processes 2]`.

Ladders of five sizes and three seeds with the noise and the bends that the ladders in tests/data/ladders have, under
each bound: how often a value that costs a quarter of it is said to transfer, and one that costs four times it to
drift. Beside it stands an observer who knows what no judge can know: that curves are parabolas and the path a line, how
much they bend, how noisy runs are, how far seeds displace optima, and what growing gains. No test of the same error
has more power, so a bound that this observer cannot resolve is none that runs like these can settle.
"""

from __future__ import annotations

import argparse
from concurrent.futures import ProcessPoolExecutor
from typing import NamedTuple

import numpy as np

from benchmarks.verdict_calibration import judged
from benchmarks.verdict_laws import BEND, BY_NAME, GRIDS, Setting, World, draw
from hptransfer.verdict import Verdict

BOUNDS = (0.1, 0.25, 0.5, 1.0)
#: noise of one run and cost of an octave, over what a doubling gains at the largest size (benchmarks/every_ladder.py)
MEASURED = {
    "in the middle": (0.8, 3.0),
    "quickstart": (1.1, 3.7),
    "gpt, width": (0.6, 2.9),
    "llama, depth": (0.35, 1.0),
    "tabular": (0.8, 0.8),
}
#: true cost, of the bound
INSIDE, OUTSIDE = 0.25, 4.0
SEEDS, SIZES = 3, 5
#: two-sided 95%
_NORMAL = 1.96
#: ladders of other benchmarks have smaller numbers
_FIRST = 400_000


class Task(NamedTuple):
    """One ladder under one bound."""

    setting: Setting
    bound: float
    number: int


def said(task: Task) -> Verdict:
    """The verdict on the ladder's runs."""
    return judged(draw(task.setting, task.number, task.bound), task.bound).verdict


def known_best(task: Task) -> Verdict:
    """The verdict of an observer who knows everything but where the line of optima lies."""
    rng = np.random.default_rng([task.number, 13])
    world = World(task.setting, rng, task.bound)
    x, law = GRIDS[task.setting.grid][1], BY_NAME[task.setting.law]
    optima = world.optima(world.amplitude)
    away = optima - (optima[0] + world.missed)
    # a run's noise over the slope of the curve's derivative: what the optimum is known to from one seed
    own = (task.setting.noise * world.gain / (2 * world.unit * BEND)) ** 2 / float(((x - x.mean()) ** 2).sum())
    sizes = len(optima)
    tilts = law.tilt**2 * (0.5 + 0.5 * np.eye(sizes))
    error = (own * np.eye(sizes) + tilts) / task.setting.seeds
    seen = rng.multivariate_normal(away, error)
    line = np.stack([np.ones(sizes), world.share], axis=1)
    inverse = np.linalg.inv(error)
    spread = np.linalg.inv(line.T @ inverse @ line)
    middle = line @ (spread @ line.T @ inverse @ seen)
    reach = _NORMAL * np.sqrt(np.einsum("ki,ij,kj->k", line, spread, line))

    def cost(rung: int, octaves: float) -> float:
        return world.cost(rung, float(world.above(rung, np.array([octaves]))[0]))

    if all(cost(k, abs(middle[k]) + reach[k]) <= task.bound for k in range(sizes)):
        return Verdict.TRANSFERS
    beyond = (cost(k, max(0.0, abs(middle[k]) - reach[k])) > task.bound for k in range(1, sizes))
    return Verdict.DRIFTS if any(beyond) else Verdict.INCONCLUSIVE


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tables", type=int, default=200, help="ladders per cell")
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args()
    print("Said of a value that costs a quarter of the bound: TRANSFERS; of one that costs four times it: DRIFTS.\n")
    print("| noise, an octave | " + " | ".join(f"{bound:g}: judged, known best" for bound in BOUNDS) + " |")
    print("|---|" + "---|" * len(BOUNDS))
    with ProcessPoolExecutor(options.processes) as pool:
        for name, (noise, octave) in MEASURED.items():
            cells = []
            for bound in BOUNDS:
                inside, outside = (
                    [
                        Task(Setting("parabola", multiple, noise, SEEDS, SIZES, 0, octave), bound, _FIRST + number)
                        for number in range(options.tables)
                    ]
                    for multiple in (INSIDE, OUTSIDE)
                )
                shares = [
                    100 * sum(verdict is wanted for verdict in pool.map(how, tasks, chunksize=10)) / len(tasks)
                    for how in (said, known_best)
                    for tasks, wanted in ((inside, Verdict.TRANSFERS), (outside, Verdict.DRIFTS))
                ]
                cells.append("{:.0f}% and {:.0f}%, {:.0f}% and {:.0f}%".format(*shares))
            print(f"| {name}: {noise:g}, {octave:g} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
