"""A search in rounds: explore with one seed, train the values around the optimum with further seeds, explore."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from typing import Any

from hptransfer.recipe.schema import SamplerName
from hptransfer.search.sampler import central_values, propose, search_settings
from hptransfer.search.space import Space
from hptransfer.trials.trial import Trial, TrialState

#: values around the optimum that further seeds train: a parabola and one more on each side
STEADIED_VALUES = 5
_MOST_DEFAULT_SEEDS = 3


@dataclass(frozen=True, slots=True)
class Decision:
    """A trial that a search decided on.

    Attributes:
        values: of the searched hyperparameters.
        seed: of initialisation and data order.
    """

    values: Mapping[str, float]
    seed: int


@dataclass(frozen=True, slots=True)
class Rounds:
    """What a search does next, as a function of what was decided and of what is finished; nothing else is remembered.

    Attributes:
        space: what is searched.
        trials: of the whole search.
        first_seed: explores; the next ones are for the values around the optimum.
        wanted_seeds: a recipe's `tune.seeds`; None for three where one hyperparameter is searched and
            the trials allow it.
        sampler: a recipe's `tune.sampler`.
        enqueued: a recipe's `tune.enqueue`.
    """

    space: Space
    trials: int
    first_seed: int = 0
    wanted_seeds: int | None = None
    sampler: SamplerName = "auto"
    enqueued: Sequence[Mapping[str, float]] = ()

    @property
    def seeds(self) -> range:
        """Seeds of the search: the first explores, the others are for the values around the optimum."""
        count = self.wanted_seeds
        if count is None:
            affordable = 1 + self.trials // 2 // STEADIED_VALUES
            count = min(_MOST_DEFAULT_SEEDS, affordable) if len(self.space) == 1 else 1
        return range(self.first_seed, self.first_seed + count)

    @property
    def exploring(self) -> int:
        """Trials of the first seed before others begin."""
        return self.trials - (len(self.seeds) - 1) * STEADIED_VALUES

    @property
    def round_size(self) -> int:
        """Trials decided together; a round depends on earlier rounds only, so interruptions change nothing."""
        return 4 if len(self.space) == 1 else 2

    @property
    def settings(self) -> dict[str, Any]:
        """The search with every argument, as JSON-able data for the study and for `tuned.yaml`."""
        chosen = search_settings(self.space, self.sampler, total=self.exploring)
        return chosen | {"trials": self.trials, "seeds": list(self.seeds), "optuna": metadata.version("optuna")}

    def decide(self, asked: Sequence[Decision], finished: Sequence[Trial], count: int) -> list[Decision]:
        """The next round.

        Args:
            asked: every decision so far, in order.
            finished: results of those that have one.
            count: trials wanted, at most those left.
        """
        explored = sum(trial.seed == self.first_seed for trial in finished)
        return (
            self._explore(asked, finished, min(count, self.exploring - explored))
            or self._steady(asked, finished)[: self.trials - len(finished)]
            or self._explore(asked, finished, count)
        )

    def _explore(self, asked: Sequence[Decision], finished: Sequence[Trial], count: int) -> list[Decision]:
        if count < 1:
            return []
        first = self.first_seed
        points = propose(
            self.space,
            [trial for trial in finished if trial.seed == first],
            [decision.values for decision in asked if decision.seed == first],
            count=count,
            total=self.exploring,
            seed=first,
            sampler=self.sampler,
            enqueued=self.enqueued,
        )
        return [Decision(point, first) for point in points]

    def _steady(self, asked: Sequence[Decision], finished: Sequence[Trial]) -> list[Decision]:
        """The next seed at the tried values around the optimum, on `check`'s grid, which reuses these trials."""
        if all(trial.state is TrialState.DIVERGED for trial in finished):
            return []
        values = central_values(self.space, finished, STEADIED_VALUES)
        known = {(self._identity(decision.values), decision.seed) for decision in asked}
        for seed in self.seeds[1:]:
            fresh = [value for value in values if (self._identity(value), seed) not in known]
            if len(fresh) > len(values) // 2:  # a moved optimum does not start a seed again
                return [Decision(value, seed) for value in fresh]
        return []

    def _identity(self, values: Mapping[str, float]) -> tuple[float, ...]:
        return tuple(float(values[name]) for name in self.space.names)
