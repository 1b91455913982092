"""What `tune.early_stopping` saves, and how far it moves the recommended learning rate.

Usage: python -m benchmarks.early_stopping asha     (trains 84 proxies, about a minute of one core)
       python -m benchmarks.early_stopping seeds    (trains nothing, about five minutes of one core)

`asha`: the quickstart proxy is trained at every half octave with four seeds; searches then look trials and their curves
up (between lattice values: linearly), with and without stopping, beginning with each of the four seeds.

`seeds`: searches with eight seeds at the values around the optimum, on the proxy's table (data/, 24 first seeds) and
on bowls with a known optimum, each in three ways: with all seeds, sparing them, and with fewer seeds from the
beginning, for about as many trials as sparing left.
"""

from __future__ import annotations

import math
import statistics
import sys
from pathlib import Path

from benchmarks.landscapes import Bowl, Landscape, ProxyLine
from hptransfer.recipe.load import load_recipe
from hptransfer.search.asha import loss_at, rungs
from hptransfer.search.recommendation import recommend
from hptransfer.search.rounds import STEADIED_VALUES, Decision, Rounds
from hptransfer.search.space import Axis, Space
from hptransfer.sizes import Size
from hptransfer.trainers._torch_runs import train_trial
from hptransfer.trials.messages import TrialMessage
from hptransfer.trials.spec import TrialSpec
from hptransfer.trials.trial import Trial, TrialState

_SEEDS = 4
_SPACE = Space((Axis("learning_rate", 2.0**-12, 2.0**-2, True),))
_RECIPE = Path(__file__).resolve().parent.parent / "recipes" / "quickstart.yaml"

Table = dict[tuple[float, int], Trial]


#: trials and seeds of the searches that spare seeds
_TRIALS, _MANY_SEEDS = 51, 8


def main() -> None:
    """What the argument names."""
    if sys.argv[1:] not in (["asha"], ["seeds"]):
        sys.exit("give one argument: asha or seeds")
    (stop_trials if sys.argv[1] == "asha" else spare_seeds)()


def spare_seeds() -> None:
    """One line per kind of landscape and way: errors of the recommended log2 learning rate, and what moved it."""
    bowls: dict[str, list[Landscape]] = {
        f"bowl, noise {noise:.1%}": [Bowl.of(1, noise, seed % 2 == 1, seed) for seed in range(24)]
        for noise in (0.001, 0.003, 0.01)
    }
    print("landscape          ways          trials  mean error  median |error|  largest |error|  moved (mean, its se)")
    proxies: dict[str, list[Landscape]] = {"quickstart proxy": [ProxyLine(seed) for seed in range(24)]}
    for name, landscapes in (proxies | bowls).items():
        whole = [spared_search(landscape, _TRIALS, _MANY_SEEDS, sparing=False) for landscape in landscapes]
        spared = [spared_search(landscape, _TRIALS, _MANY_SEEDS, sparing=True) for landscape in landscapes]
        fewer = []
        for landscape, (_, trials) in zip(landscapes, spared, strict=True):
            seeds = _MANY_SEEDS - round((_TRIALS - trials) / STEADIED_VALUES)
            fewer.append(spared_search(landscape, trials, seeds, sparing=False))
        for way, found in (("all seeds", whole), ("sparing", spared), ("fewer seeds", fewer)):
            errors = [error for error, _ in found]
            moved = [error - before for error, (before, _) in zip(errors, whole, strict=True)]
            print(
                f"{name:18} {way:12} {statistics.fmean(trials for _, trials in found):7.1f} "
                f"{statistics.fmean(errors):+11.3f} {statistics.median(map(abs, errors)):15.3f} "
                f"{max(map(abs, errors)):16.3f} {statistics.fmean(moved):+11.3f} "
                f"{statistics.stdev(moved) / len(moved) ** 0.5:.3f}",
                flush=True,
            )


def spared_search(landscape: Landscape, trials: int, seeds: int, *, sparing: bool) -> tuple[float, int]:
    """Error of the recommended log2 learning rate, octaves, and trials that were trained."""
    rounds = Rounds(landscape.space, trials, wanted_seeds=seeds, sparing=sparing)
    asked: list[Decision] = []
    finished: list[Trial] = []
    while (left := trials - len(asked)) > 0 and (decided := rounds.decide(asked, finished, min(4, left))):
        asked += decided
        for decision in decided:
            if not decision.spared:
                loss = landscape.loss(decision.values, decision.seed)
                state = TrialState.COMPLETE if math.isfinite(loss) else TrialState.DIVERGED
                key = f"{decision.values}:{decision.seed}"
                finished.append(Trial(key, Size(64, 2, 32, 1000), decision.values, decision.seed, state, loss))
    found = recommend(landscape.space, finished)
    value = math.nan if found is None else math.log2(found.values["learning_rate"])
    return value - landscape.optimum, len(finished)


def stop_trials() -> None:
    """One line per search: how it was without and with stopping."""
    loaded = load_recipe(_RECIPE)
    recipe, root = loaded.recipe, loaded.path.parent.absolute()
    size, steps = recipe.size(64, 2), recipe.steps(recipe.size(64, 2))
    table = {
        (index / 2, seed): train_trial(
            TrialMessage.of(TrialSpec(recipe, root, size, {"learning_rate": 2.0 ** (index / 2)}, seed), "")
        ).finished()
        for index in range(-24, -3)
        for seed in range(_SEEDS)
    }
    print("trials  seeds  first  log2 rate  stopping  stopped  compute")
    for trials, seeds in ((16, 1), (16, 2), (24, 3)):
        for first in range(_SEEDS):
            rounds = Rounds(_SPACE, trials, wanted_seeds=seeds)
            plain, _, _ = search(table, rounds, first, steps, stopping=False)
            found, stopped, share = search(table, rounds, first, steps, stopping=True)
            print(f"{trials:6} {seeds:6} {first:6} {plain:10.2f} {found:9.2f} {stopped:8} {share:8.0%}")


def search(table: Table, rounds: Rounds, first: int, steps: int, *, stopping: bool) -> tuple[float, int, float]:
    """Recommended log2 learning rate, trials stopped, and the share of the steps that were taken."""
    asked: list[Decision] = []
    finished: list[Trial] = []
    stopped: list[Trial] = []
    taken = 0
    while (left := rounds.trials - len(finished) - len(stopped)) > 0:
        decided = rounds.decide(asked, finished, min(rounds.round_size, left))[:left]
        if not decided:
            break
        limits = rungs([*finished, *stopped], steps) if stopping else ()
        for decision in decided:
            trial = looked_up(table, decision, first)
            missed = [rung for rung in limits if (loss_at(trial, rung.step, steps) or 0.0) > rung.limit]
            (stopped if missed else finished).append(cut(trial, missed[0].step) if missed else trial)
            taken += missed[0].step if missed else steps
        asked += decided
    found = recommend(_SPACE, finished, stopped)
    value = math.nan if found is None else math.log2(found.values["learning_rate"])
    return value, len(stopped), taken / (rounds.trials * steps)


def looked_up(table: Table, decision: Decision, first: int) -> Trial:
    """The trial between its two neighbours on the lattice."""
    (x,) = _SPACE.point(decision.values)
    seed, low = (first + decision.seed) % _SEEDS, math.floor(2 * x) / 2
    below, above, share = table[low, seed], table[min(low + 0.5, -2.0), seed], 2 * (x - low)
    curve = tuple(
        (step, a * (1 - share) + b * share) for (step, a), (_, b) in zip(below.curve, above.curve, strict=True)
    )
    loss = below.loss * (1 - share) + above.loss * share
    key = f"{x}:{decision.seed}"
    return Trial(key, below.size, decision.values, decision.seed, TrialState.COMPLETE, loss, curve)


def cut(trial: Trial, step: int) -> Trial:
    """The trial as it is when stopped."""
    curve = tuple(point for point in trial.curve if point[0] <= step)
    return Trial(trial.key, trial.size, trial.hyperparameters, trial.seed, TrialState.STOPPED, math.inf, curve)


if __name__ == "__main__":
    main()
