"""How many trials a search needs: `tune`'s own search against Optuna's samplers used plainly.

Usage: python -m benchmarks.efficiency [--seeds 50] [--first 0] [--cases 1,2,3,4,proxy] [--jobs 2] [--out FILE]

Every method searches the same landscapes (`landscapes.py`, one per seed, so methods are paired) and is judged after 8,
16, 32 and 64 trials by the true loss of what it recommends, which it never sees. Optuna's samplers run one trial at a
time with their default arguments and recommend the best trial observed; a divergence counts as slightly worse than the
worst finite loss, which suits them better than failing the trial. `auto` is what `tune` does with that many trials:
rounds, further seeds and the fitted mean included; `tune-gp` is the same with `tune.sampler: gp`, and so for every
sampler of the package.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import math
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import optuna
from optuna.distributions import BaseDistribution, FloatDistribution

from benchmarks.landscapes import Bowl, Landscape, ProxyLine
from hptransfer.search.recommendation import recommend
from hptransfer.search.rounds import Decision, Rounds
from hptransfer.sizes import Size
from hptransfer.trials.trial import Trial, TrialState

BUDGETS = (8, 16, 32, 64)
NOISES = (0.001, 0.005, 0.01)
PEERS: Mapping[str, Callable[[int], optuna.samplers.BaseSampler]] = {
    "random": lambda seed: optuna.samplers.RandomSampler(seed=seed),
    "tpe": lambda seed: optuna.samplers.TPESampler(seed=seed),
    "gp": lambda seed: optuna.samplers.GPSampler(seed=seed),
    "cmaes": lambda seed: optuna.samplers.CmaEsSampler(seed=seed),
}


@dataclass(frozen=True)
class Cell:
    """One search: which landscape, which method, which seed."""

    case: str
    noise: float
    off_centre: bool
    method: str
    seed: int

    def landscape(self) -> Landscape:
        """What is searched; the same for every method."""
        return (
            ProxyLine(self.seed)
            if self.case == "proxy"
            else Bowl.of(int(self.case), self.noise, self.off_centre, self.seed)
        )


@dataclass(frozen=True)
class Outcome:
    """What was recommended after so many trials."""

    trials: int
    excess: float
    octaves: float
    covered: bool | None
    seconds: float


def search(cell: Cell, budgets: Sequence[int]) -> list[Outcome]:
    """Run one cell."""
    landscape = cell.landscape()
    sampler = "auto" if cell.method == "auto" else cell.method.removeprefix("tune-")
    if cell.method != sampler or sampler == "auto":
        return [tuned(landscape, cell.seed, budget, sampler) for budget in budgets]
    return list(plain(landscape, cell.method, cell.seed, budgets))


def tuned(landscape: Landscape, seed: int, budget: int, sampler: str) -> Outcome:
    """What `tune` recommends after so many trials with this `tune.sampler`."""
    started = time.process_time()
    space = landscape.space
    first = 0 if not isinstance(landscape, Bowl) else seed
    rounds = Rounds(space, budget, first_seed=first, sampler=sampler)
    asked: list[Decision] = []
    finished: list[Trial] = []
    while len(finished) < budget:
        decided = rounds.decide(asked, finished, min(rounds.round_size, budget - len(finished)))
        if not decided:
            break
        asked += decided
        finished += [run(landscape, decision) for decision in decided]
    found = recommend(space, finished)
    if found is None:
        return Outcome(budget, math.inf, math.inf, None, time.process_time() - started)
    low, high = found.intervals["learning_rate"]
    truth = math.exp2(landscape.optimum)
    covered = (low is None or low <= truth) and (high is None or truth <= high)
    error = abs(math.log2(found.values["learning_rate"]) - landscape.optimum)
    return Outcome(budget, landscape.excess(found.values), error, covered, time.process_time() - started)


def run(landscape: Landscape, decision: Decision) -> Trial:
    """One trial."""
    loss = landscape.loss(decision.values, decision.seed)
    state = TrialState.COMPLETE if math.isfinite(loss) else TrialState.DIVERGED
    key = f"{sorted(decision.values.items())}:{decision.seed}"
    return Trial(
        key, Size(64, 2, 64, 1000), decision.values, decision.seed, state, loss if math.isfinite(loss) else math.inf
    )


def plain(landscape: Landscape, method: str, seed: int, budgets: Sequence[int]) -> Iterator[Outcome]:
    """An Optuna study with this sampler, one trial at a time, best observed."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.simplefilter("ignore")
    started = time.process_time()
    study = optuna.create_study(sampler=PEERS[method](seed))
    distributions: dict[str, BaseDistribution] = {
        axis.name: FloatDistribution(axis.low, axis.high, log=True) for axis in landscape.space
    }
    losses: list[float] = []
    values: list[Mapping[str, float]] = []
    for number in range(1, max(budgets) + 1):
        trial = study.ask(fixed_distributions=distributions)
        loss = landscape.loss(trial.params, seed if isinstance(landscape, Bowl) else 0)
        finite = [other for other in losses if math.isfinite(other)]
        study.tell(trial, loss if math.isfinite(loss) else max(finite, default=10.0) + 0.05)
        losses.append(loss)
        values.append(trial.params)
        if number in budgets:
            best = min(range(number), key=losses.__getitem__)
            error = abs(math.log2(values[best]["learning_rate"]) - landscape.optimum)
            yield Outcome(number, landscape.excess(values[best]), error, None, time.process_time() - started)


def cells(
    cases: Sequence[str], methods: Sequence[str], noises: Sequence[float], seeds: Sequence[int]
) -> Iterator[Cell]:
    """All of them, cheap ones first within a case."""
    for case, method in itertools.product(cases, methods):
        if case == "proxy":
            yield from (Cell(case, math.nan, False, method, seed) for seed in seeds)
        else:
            for noise, off_centre, seed in itertools.product(noises, (False, True), seeds):
                yield Cell(case, noise, off_centre, method, seed)


def _task(task: tuple[Cell, tuple[int, ...]]) -> tuple[Cell, list[Outcome]]:
    return task[0], search(*task)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=50)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--cases", default="1,2,3,4,proxy")
    parser.add_argument("--methods", default="auto,random,tpe,cmaes,gp")
    parser.add_argument("--noises", default=",".join(str(noise) for noise in NOISES))
    parser.add_argument("--budgets", default=",".join(str(budget) for budget in BUDGETS))
    parser.add_argument("--gp-most", type=int, default=64, help="trials of the GP sampler at most: it takes seconds")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path("efficiency.csv"))
    options = parser.parse_args()
    seeds = range(options.first, options.first + options.seeds)
    budgets = tuple(int(budget) for budget in options.budgets.split(","))
    noises = [float(noise) for noise in options.noises.split(",")]
    wanted = [
        (cell, tuple(budget for budget in budgets if cell.method != "gp" or budget <= options.gp_most))
        for cell in cells(options.cases.split(","), options.methods.split(","), noises, seeds)
    ]
    with ProcessPoolExecutor(options.jobs) as pool, options.out.open("a", newline="", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        for cell, outcomes in pool.map(_task, wanted, chunksize=4):
            for o in outcomes:
                row = [cell.case, cell.noise, int(cell.off_centre), cell.method, cell.seed, o.trials]
                covered = "" if o.covered is None else int(o.covered)
                table.writerow([*row, f"{o.excess:.6f}", f"{o.octaves:.4f}", covered, f"{o.seconds:.2f}"])
            file.flush()


if __name__ == "__main__":
    main()
