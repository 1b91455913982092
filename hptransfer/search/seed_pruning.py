"""Which values no further seed is spent on: those that paired seeds show to be clearly worse than the best value.

Runs with one seed share their initial draws and batches, so losses at two values are compared seed by seed, by the
exact signed-rank test of Wilcoxon ("Individual Comparisons by Ranking Methods", Biometrics Bulletin 1, 1945),
one-sided, at the level of Optuna's WilcoxonPruner. That pruner itself compares steps within one of Optuna's trials;
here every seed is a trial. Against bias a value must lose more than the plateau's width: values on the plateau, which
fix the optimum together, keep their seeds, and what a spared value has shown stays in the fit, whose seed offsets allow
unequal seeds.
"""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hptransfer.recipe.rules.trials import FEWEST_PAIRS
from hptransfer.search.space import Space
from hptransfer.statistics.optimum import PLATEAU
from hptransfer.trials.trial import Trial, TrialState

#: one-sided; the smallest p that n pairs can give is 2^-n, so fewer than `FEWEST_PAIRS` never reach it
LEVEL = 0.1


@dataclass(frozen=True, slots=True)
class SeedPruningDecision:
    """Why a value is clearly worse than the best one.

    Attributes:
        best: the values it was compared with.
        excess: mean loss above theirs, as a fraction of it.
        pairs: seeds that both were trained with.
        p: of the test that it loses at most `PLATEAU` of the loss.
    """

    best: Mapping[str, float]
    excess: float
    pairs: int
    p: float

    @property
    def reason(self) -> str:
        """The statement for people."""
        best = ", ".join(f"{name} {value:.4g}" for name, value in self.best.items())
        return (
            f"the loss is {self.excess:.2%} above that at {best} over {self.pairs} paired seeds "
            f"(signed-rank test against {PLATEAU:.2%}: p = {self.p:.3f})"
        )


def clearly_worse(space: Space, finished: Sequence[Trial]) -> dict[tuple[float, ...], SeedPruningDecision]:
    """Values that need no further seed, in the order of `space.names`; the order of `finished` does not matter.

    Args:
        space: what is searched.
        finished: trials of several seeds; a value that diverged with some seed is compared with none.

    Returns:
        Nothing before two values have four seeds in common.
    """
    table = _complete(space, finished)
    best = _best(table)
    if best is None:
        return {}
    found = {}
    for value, losses in table.items():
        seeds = sorted(losses.keys() & table[best].keys())
        if value == best or len(seeds) < FEWEST_PAIRS:
            continue
        reference = statistics.fmean(table[best][seed] for seed in seeds)
        differences = [losses[seed] - table[best][seed] for seed in seeds]
        p = _signed_rank([difference - PLATEAU * abs(reference) for difference in differences])
        if p < LEVEL and statistics.fmean(differences) > PLATEAU * abs(reference):
            excess = statistics.fmean(differences) / abs(reference)
            found[value] = SeedPruningDecision(dict(zip(space.names, best, strict=True)), excess, len(seeds), p)
    return found


def _complete(space: Space, finished: Sequence[Trial]) -> dict[tuple[float, ...], dict[int, float]]:
    """Losses by value and seed."""
    table: dict[tuple[float, ...], dict[int, float]] = defaultdict(dict)
    diverged = set()
    for trial in sorted(finished, key=lambda trial: trial.key):
        value = tuple(float(trial.hyperparameters[name]) for name in space.names)
        table[value][trial.seed] = trial.loss
        if trial.state is not TrialState.COMPLETE:
            diverged.add(value)
    return {value: table[value] for value in sorted(table) if value not in diverged}


def _best(table: Mapping[tuple[float, ...], Mapping[int, float]]) -> tuple[float, ...] | None:
    """The lowest mean among the values with most seeds, over the seeds that these share."""
    most = max(map(len, table.values()), default=0)
    candidates = {value: losses for value, losses in table.items() if len(losses) == most}
    shared = set.intersection(*(set(losses) for losses in candidates.values())) if candidates else set()
    if most < FEWEST_PAIRS or not shared:
        return None
    return min(candidates, key=lambda value: (statistics.fmean(table[value][seed] for seed in sorted(shared)), value))


def _signed_rank(differences: Sequence[float]) -> float:
    """The p-value that their centre is at most 0."""
    from scipy.stats import wilcoxon  # takes a second to import

    return float(wilcoxon(differences, alternative="greater", zero_method="zsplit", method="exact").pvalue)
