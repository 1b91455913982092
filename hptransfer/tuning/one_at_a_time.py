"""One hyperparameter at a time: the learning rate first, then each other one around it, then the best of each together.

The independent search of u-muP (arXiv 2407.17465, Figure 1 (a)): where hyperparameters do not interact, lines of a few
trials find what a joint search needs many for. Where they do, what is found is not the optimum: with three or more, the
values that were best one by one may even lose together, which is seen, because the combination is trained; that the
best learning rate moves with another one is not seen.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from hptransfer.engine.scheduler import OnEvent
from hptransfer.engine.session import Session
from hptransfer.errors import InconclusiveError
from hptransfer.recipe.defaults import defaults
from hptransfer.search.base import Recommendation
from hptransfer.search.recommendation import recommend
from hptransfer.search.space import Axis
from hptransfer.sizes import Size
from hptransfer.trials.spec import TrialSpec
from hptransfer.trials.trial import Phase, Trial, TrialState
from hptransfer.tuning.line_parts import in_order, line_part, line_seeds, lines_settings
from hptransfer.tuning.lines import Lines
from hptransfer.tuning.search import MOST_RECOMMENDATIONS, Confirmed, Part, Search, search_space


class OneAtATime:
    """A search along one axis after the other; see `SearchStrategy`.

    Args:
        session: the recipe, its trials and the workers.
        size: the size that is trained.
        on_event: called with every event of a trial.
    """

    def __init__(self, session: Session, size: Size, on_event: OnEvent) -> None:
        self._session, self._size, self._on_event = session, size, on_event
        self._recipe = session.loaded.recipe
        self.space = search_space(self._recipe)
        self._found: dict[str, Recommendation] = {}
        self._combined: list[Trial] = []
        self._trained: dict[str, list[Trial]] = {}
        self._settings: dict[str, Any] = {}

    def run(self) -> list[Trial]:
        """Every line in turn, then what was best along each, together."""
        trials: dict[str, Trial] = {}
        for axis, part in self._parts():
            search = Search(self._session, self._size, self._on_event, part)
            self._settings[axis.name] = search.settings
            finished = search.run()
            trials |= {trial.key: trial for trial in finished}
            self._trained[axis.name] = finished
            recommendation = recommend(part.space, finished, self._recipe.check.criteria.plateau)
            if recommendation is not None:
                self._found[axis.name] = recommendation
        last = Search(self._session, self._size, self._on_event)
        self._combined = last.train([last.request(self._joined().values, self.seeds.start)], Phase.SEARCH)
        trials |= {trial.key: trial for trial in self._combined}
        return list(trials.values())

    def confirm(self, searched: Sequence[Trial]) -> Confirmed:
        """Where the combination diverges with a fresh seed, the single trials of lowest loss are confirmed instead."""
        search, superseded = Search(self._session, self._size, self._on_event), list[Trial]()
        lines = self._joined()
        for values, loss in lines.candidates(searched)[:MOST_RECOMMENDATIONS]:
            fresh = self.seeds.stop
            seeds = range(fresh, fresh + self._recipe.tune.confirm_seeds)
            trials = search.train([search.request(values, seed) for seed in seeds], Phase.CONFIRM)
            if all(trial.state is TrialState.COMPLETE for trial in trials):
                return Confirmed(lines.recommendation(values, loss, searched), trials, superseded)
            superseded += trials
        raise InconclusiveError(
            "a recommendation must train with fresh seeds without diverging",
            received="the combination and the best single values diverged",
            hint=f"the edge of stability is uneven here: lower `tune.space.{self.space.names[0]}.high`",
        )

    @property
    def seeds(self) -> range:
        """Seeds of the search: the first explores, the others are for the values around each optimum."""
        return line_seeds(self._recipe)

    @property
    def settings(self) -> dict[str, Any]:
        """The search of each line with every argument."""
        return lines_settings(self._settings)

    @property
    def lines(self) -> Mapping[str, Sequence[Trial]]:
        """Finished trials of each line."""
        return dict(self._trained)

    def request(self, values: Mapping[str, float], seed: int) -> TrialSpec:
        """Hyperparameters not given take the recipe's values."""
        return TrialSpec(self._recipe, self._session.root, self._size, values, seed)

    def _joined(self) -> Lines:
        return Lines(self._recipe, self.space, dict(self._found), tuple(self._combined))

    def _parts(self) -> Iterator[tuple[Axis, Part]]:
        """Each line in turn; those after the first hold its axis at the tried value nearest to its optimum.

        At a tried value the middle of a line is a trial that the first line has run already.
        """
        first, *others = in_order(self.space)
        yield first, line_part(self._recipe, self.space, first, {})
        found = self._found.get(first.name)
        held = {} if found is None else {first.name: self._nearest_tried(first, found.values[first.name])}
        for axis in others:
            yield axis, line_part(self._recipe, self.space, axis, held)

    def _nearest_tried(self, axis: Axis, value: float) -> float:
        own = {name: at for name, at in defaults(self._recipe.training).items() if name != axis.name}
        tried = [
            trial.hyperparameters[axis.name]
            for trial in self._session.store.trials(self._size)
            if trial.state is TrialState.COMPLETE
            and trial.seed == self.seeds.start
            and all(trial.hyperparameters[name] == at for name, at in own.items())
            and axis.low <= trial.hyperparameters[axis.name] <= axis.high
        ]
        return min(tried, key=lambda at: (abs(axis.x(at) - axis.x(value)), at), default=value)
