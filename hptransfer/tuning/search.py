"""The search on one size: which points were decided, which are finished, what comes next, what is recommended."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from hptransfer.engine.scheduler import OnEvent, trial_event
from hptransfer.engine.session import Session
from hptransfer.errors import HptransferError, InconclusiveError, MachineError, UsageError
from hptransfer.recipe.schema import Recipe
from hptransfer.search.base import Recommendation
from hptransfer.search.recommendation import recommend
from hptransfer.search.rounds import Decision, Rounds
from hptransfer.search.space import Space
from hptransfer.sizes import Size
from hptransfer.storage.base import PlannedTrial
from hptransfer.trials.spec import TrialSpec
from hptransfer.trials.trial import Phase, Trial, TrialState

#: a recommendation that diverges on a fresh seed becomes evidence against itself, this many times
MOST_RECOMMENDATIONS = 3


@dataclass(frozen=True, slots=True)
class Confirmed:
    """A recommendation that trained with fresh seeds.

    Attributes:
        recommendation: the one that held.
        trials: its confirmation trials, complete ones.
        superseded: confirmation trials of recommendations before it, some of which diverged.
    """

    recommendation: Recommendation
    trials: Sequence[Trial]
    superseded: Sequence[Trial]


class SearchStrategy(Protocol):
    """How the searched hyperparameters of a recipe are tuned: all at once, or one after the other."""

    @property
    def space(self) -> Space:
        """Every searched hyperparameter with its bounds."""
        ...

    @property
    def seeds(self) -> range:
        """Seeds of the search; the confirmation takes those that follow."""
        ...

    @property
    def settings(self) -> dict[str, Any]:
        """The search with every argument, JSON-able."""
        ...

    @property
    def lines(self) -> Mapping[str, Sequence[Trial]]:
        """Hyperparameter -> finished trials of its line; none where all are searched at once."""
        ...

    def run(self) -> list[Trial]:
        """Trains until the total is reached.

        Returns:
            Finished trials in the order they were decided, none twice.

        Raises:
            InconclusiveError: every trial of the search diverged.
            UsageError: none is finished, and the last failed by an error.
            MachineError: the same, and the last failed for want of memory or time.
        """
        ...

    def confirm(self, searched: Sequence[Trial]) -> Confirmed:
        """Trains fresh seeds at the recommendation; one that diverges there gives way to another.

        Args:
            searched: finished trials of the search.

        Raises:
            InconclusiveError: every recommendation diverged on a fresh seed.
        """
        ...

    def request(self, values: Mapping[str, float], seed: int) -> TrialSpec:
        """A trial of this search.

        Args:
            values: value of each searched hyperparameter, own units; those not given take the recipe's values.
            seed: seed of initialisation and data order.
        """
        ...


@dataclass(frozen=True, slots=True)
class Part:
    """What one search of a recipe is about.

    Attributes:
        space: the searched hyperparameters with their bounds.
        trials: number of finished trials in all.
        seeds: number of seeds around the optimum; None for as many as the trials allow, to three.
        fixed: values, in their own units, of hyperparameters that others than the recipe decided.
    """

    space: Space
    trials: int
    seeds: int | None = None
    fixed: Mapping[str, float] = field(default_factory=dict)


def search_space(recipe: Recipe) -> Space:
    """Every searched hyperparameter of a recipe, on the grid of its check."""
    return Space.of(dict(recipe.tune.space.items()), recipe.check.spacing)


def is_joint(recipe: Recipe) -> bool:
    """Whether all of a recipe's hyperparameters are searched at once, and not one after the other."""
    return recipe.tune.order == "joint" or len(recipe.tune.space) == 1


def whole(recipe: Recipe) -> Part:
    """The search over all of a recipe's hyperparameters at once."""
    return Part(search_space(recipe), recipe.tune.trials, recipe.tune.seeds)


def rounds_of(recipe: Recipe, part: Part) -> Rounds:
    """How a part of a recipe's search goes on from what is finished, settings and seeds included.

    Args:
        recipe: gives the sampler, the first seed and what is tried first.
        part: the search, over all hyperparameters or along one.
    """
    tune = recipe.tune
    enqueued = [{str(name): values[name] for name in values if name in part.space.names} for values in tune.enqueue]
    return Rounds(part.space, part.trials, tune.seed, part.seeds, tune.sampler, enqueued)


class Search:
    """The search over all of a space at once; see `SearchStrategy`.

    Args:
        session: the recipe, its trials and the workers.
        size: the size that is trained.
        on_event: called with every event of a trial.
        part: the part of the recipe's search; None for all of it.
    """

    def __init__(self, session: Session, size: Size, on_event: OnEvent, part: Part | None = None) -> None:
        self._session, self._size, self._on_event = session, size, on_event
        self._recipe = session.loaded.recipe
        self._is_whole = part is None
        part = part or whole(self._recipe)
        self.space, self._fixed = part.space, part.fixed
        self._rounds = rounds_of(self._recipe, part)

    @property
    def seeds(self) -> range:
        """See `SearchStrategy`, as for all that follow."""
        return self._rounds.seeds

    @property
    def settings(self) -> dict[str, Any]:
        """The sampler with every argument."""
        return self._rounds.settings

    @property
    def lines(self) -> Mapping[str, Sequence[Trial]]:
        """All are searched at once."""
        return {}

    def run(self) -> list[Trial]:
        """Round after round, until the total is reached."""
        total, failed = self._rounds.trials, set[str]()
        for request in self._asked():
            trial = self._find(request)
            if trial is not None:
                self._on_event(trial_event("reused", request, trial))
        while True:
            asked = self._asked()
            finished = [trial for request in asked if (trial := self._find(request)) is not None]
            left = total - len(finished)
            pending = [request for request in asked if self._find(request) is None and self._key(request) not in failed]
            if left <= 0 or not (pending or (pending := self._decide(asked, finished, left))):
                return self._require_finite(finished)
            self.train(pending[:left], Phase.SEARCH)
            keys = {self._key(request) for request in pending[:left]}
            failed |= {key for key in keys if self._session.store.find(key) is None}
            if len(failed) >= max(8, total):
                raise self._failed()

    def confirm(self, searched: Sequence[Trial]) -> Confirmed:
        """A divergence with a fresh seed moves the recommendation away."""
        superseded: list[Trial] = []
        for _ in range(MOST_RECOMMENDATIONS):
            recommendation = recommend(self.space, [*searched, *superseded], self._recipe.check.criteria.plateau)
            if recommendation is None:
                break
            fresh = self.seeds.stop
            seeds = range(fresh, fresh + self._recipe.tune.confirm_seeds)
            trials = self.train([self.request(recommendation.values, seed) for seed in seeds], Phase.CONFIRM)
            if all(trial.state is TrialState.COMPLETE for trial in trials):
                return Confirmed(recommendation, trials, superseded)
            superseded += trials
        raise InconclusiveError(
            "a recommendation must train with fresh seeds without diverging",
            received=f"{MOST_RECOMMENDATIONS} recommendations diverged",
            hint=f"the edge of stability is uneven here: lower `tune.space.{self.space.names[0]}.high`",
        )

    def request(self, values: Mapping[str, float], seed: int) -> TrialSpec:
        """Hyperparameters that another part of the search decided keep their values."""
        return TrialSpec(self._recipe, self._session.root, self._size, {**self._fixed, **values}, seed)

    def train(self, requests: Sequence[TrialSpec], phase: Phase) -> list[Trial]:
        """Trains what is not finished.

        Args:
            requests: the trials that are wanted.
            phase: the phase that new trials are recorded with.

        Returns:
            The finished ones in the order asked for.
        """
        return self._session.run(requests, phase, self._on_event)

    def _decide(self, asked: Sequence[TrialSpec], finished: Sequence[Trial], left: int) -> list[TrialSpec]:
        """The next round, remembered before it is trained: an interrupted search goes on with the same points."""
        workers = self._session.pool.workers
        count = min(left, workers * math.ceil(self._rounds.round_size / workers))
        known = [Decision(request.hyperparameters, request.seed) for request in asked]
        decided = self._rounds.decide(known, finished, count)
        store, name = self._session.store, "search" if self._is_whole else f"search of {', '.join(self.space.names)}"
        store.describe(self._size, {name: self.settings})
        requests = [self.request(decision.values, decision.seed) for decision in decided]
        store.add_planned(self._size, [PlannedTrial(request.hyperparameters, request.seed) for request in requests])
        return requests

    def _asked(self) -> list[TrialSpec]:
        """Points decided so far that belong to the recipe as it is now; an edited space drops what lies outside."""
        entries = [
            (self.request({name: entry.hyperparameters[name] for name in self.space.names}, entry.seed), entry)
            for entry in self._session.store.planned(self._size)
            if self.space.contains(entry.hyperparameters) and entry.seed in self.seeds
        ]
        same = [request for request, entry in entries if dict(request.hyperparameters) == dict(entry.hyperparameters)]
        return list({self._key(request): request for request in same}.values())

    def _key(self, request: TrialSpec) -> str:
        return self._session.key(request)

    def _find(self, request: TrialSpec) -> Trial | None:
        return self._session.store.find(self._key(request))

    def _require_finite(self, finished: list[Trial]) -> list[Trial]:
        if any(trial.state is TrialState.COMPLETE for trial in finished):
            return finished
        if not finished:
            raise self._failed()
        axis = next((axis for axis in self.space if axis.name == "learning_rate"), self.space.axes[0])
        raise InconclusiveError(
            "some trial must train without diverging to recommend anything",
            received=f"all {len(finished)} trials diverged",
            hint=f"lower the range: `tune.space.{axis.name}: {{low: {axis.low / 64:.3g}, high: {axis.low:.3g}}}`",
        )

    def _failed(self) -> HptransferError:
        """Nothing was trained to its end: what the last failure said."""
        failures = self._session.store.failures(self._size, Phase.SEARCH)
        failures = [failure for failure in failures if failure.cause != "interrupted"]
        said = f", the last with ({failures[-1].cause}): {failures[-1].message}" if failures else ""
        kind = UsageError if failures and failures[-1].cause == "error" else MachineError
        hint = (
            f"correct the cause, then `hptransfer retry {self._session.loaded.recipe.name}` and the same command again"
        )
        return kind("trials must be able to run", received=f"{len(failures)} of them failed{said}", hint=hint)
