"""What `tune.early_stopping: asha` saves on the quickstart proxy, and how far it moves the recommended learning rate.

Usage: python benchmarks/early_stopping.py    (trains 84 proxies, about a minute of one core)

The proxy is trained at every half octave with four seeds; searches then look trials and their curves up (between
lattice values: linearly), with and without stopping, beginning with each of the four seeds.
"""

from __future__ import annotations

import math
from pathlib import Path

from hptransfer.commands.trial import TrialRequest, run_trial
from hptransfer.evidence.trial import Trial, TrialState, trial_from_dict
from hptransfer.recipe.load import load_recipe
from hptransfer.search.recommendation import recommend
from hptransfer.search.rounds import Decision, Rounds
from hptransfer.search.space import Axis, Space
from hptransfer.search.stopping import loss_at, rungs

_SEEDS = 4
_SPACE = Space((Axis("learning_rate", 2.0**-12, 2.0**-2, True),))
_RECIPE = Path(__file__).resolve().parent.parent / "recipes" / "quickstart.yaml"

Table = dict[tuple[float, int], Trial]


def main() -> None:
    """One line per search: how it was without and with stopping."""
    loaded = load_recipe(_RECIPE)
    recipe, root = loaded.recipe, loaded.path.parent.absolute()
    size, steps = recipe.size(64, 2), recipe.steps(recipe.size(64, 2))
    table = {
        (index / 2, seed): trial_from_dict(
            run_trial(TrialRequest(recipe, root, size, {"learning_rate": 2.0 ** (index / 2)}, seed).payload())
        )
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
