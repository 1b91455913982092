"""`hptransfer tune`: searches hyperparameters on the proxy and confirms the recommendation with fresh seeds."""

from __future__ import annotations

import math
import platform
import statistics
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.table import Table

from hptransfer import __version__
from hptransfer.engine.events import OnEvent, TrialEvent
from hptransfer.engine.flops import spent_on
from hptransfer.engine.scheduler import relative_cost
from hptransfer.engine.session import Session
from hptransfer.errors import InconclusiveError, MachineError
from hptransfer.report.progress import Progress
from hptransfer.search.asha import rungs
from hptransfer.search.power import Power, advice, expected_power
from hptransfer.search.recommendation import Recommendation, recommend
from hptransfer.search.rounds import Decision, Rounds
from hptransfer.search.space import Space
from hptransfer.sizes import Size
from hptransfer.storage.base import PlannedTrial
from hptransfer.trials.phase import Phase
from hptransfer.trials.spec import TrialSpec
from hptransfer.trials.trial import Trial, TrialState
from hptransfer.tuning.result import (
    BestObserved,
    Confirmation,
    Spared,
    TrialCount,
    TuneResult,
    tuned_document,
    write_tuned,
)

if TYPE_CHECKING:
    from rich.console import Console

    from hptransfer.tuning.one_at_a_time import OneAtATime

#: a recommendation that diverges on a fresh seed becomes evidence against itself, this many times
MOST_RECOMMENDATIONS = 3
_PACKAGES = ("torch", "numpy", "scipy", "optuna")


def tune(session: Session, *, quiet: bool = False) -> TuneResult:
    """Search until `tune.trials` trials are finished in all, confirm, and write `tuned.yaml`.

    Args:
        session: what to tune, and where.
        quiet: no progress on stderr.

    Raises:
        InconclusiveError: every trial diverged, or no recommendation held.
    """
    recipe = session.loaded.recipe
    size = recipe.size(recipe.proxy.width, recipe.proxy.depth)
    total = recipe.tune.trials + recipe.tune.confirm_seeds
    names = tuple(str(name) for name in recipe.tune.space)
    title, cost = f"tune {size.label}", total * relative_cost(size)
    with Progress(title, total, cost, names=names, workers=session.pool.workers, quiet=quiet) as progress:
        warning = session.folder.space_warning()
        if warning:
            progress.note(f"warning: {warning}")
        search: Search | OneAtATime = _search(session, size, progress)
        planned = _power(search, None)
        if planned.hopeless:
            progress.note(f"warning: {planned.sentence}; {advice(_fitted(search)[0], planned)}")
        searched = search.run()
        recommendation, confirmed, superseded = search.confirm(searched)
    result = _result(session, search, searched, recommendation, confirmed, superseded)
    write_tuned(session.folder.tuned, result)
    session.announce("tune", tuned_document(result))
    return result


@dataclass(frozen=True, slots=True)
class Part:
    """What one search of a recipe is about.

    Attributes:
        space: searched hyperparameters.
        trials: finished in all.
        seeds: around the optimum; None: as many as the trials allow, to three.
        fixed: values of hyperparameters that others than the recipe decided.
    """

    space: Space
    trials: int
    seeds: int | None = None
    fixed: Mapping[str, float] = field(default_factory=dict)


def _search(session: Session, size: Size, on_event: OnEvent) -> Search | OneAtATime:
    if session.loaded.recipe.tune.order == "joint" or len(session.loaded.recipe.tune.space) == 1:
        return Search(session, size, on_event)
    from hptransfer.tuning.one_at_a_time import OneAtATime  # which is made of searches itself

    return OneAtATime(session, size, on_event)


class Search:
    """The search on one size: which points were decided, which are finished, what comes next.

    Args:
        session: what is tuned.
        size: where.
        on_event: told of every trial.
        part: of the recipe's search; default: all of it.
    """

    def __init__(self, session: Session, size: Size, on_event: OnEvent, part: Part | None = None) -> None:
        self.session, self.size, self._on_event = session, size, on_event
        self.recipe = session.loaded.recipe
        tune = self.recipe.tune
        whole = Space.of(dict(tune.space.items()), self.recipe.check.spacing)
        self._is_whole = part is None
        part = part or Part(whole, tune.trials, tune.seeds)
        self.space, self._fixed = part.space, part.fixed
        enqueued = [{str(name): values[name] for name in values if name in part.space.names} for values in tune.enqueue]
        sparing = tune.early_stopping == "seeds"
        self.rounds = Rounds(part.space, part.trials, tune.seed, part.seeds, tune.sampler, enqueued, sparing)
        self.seeds = self.rounds.seeds
        self.settings = self.rounds.settings

    def run(self) -> list[Trial]:
        """Trains until the total is reached; the trials in the order they were decided.

        Raises:
            InconclusiveError: every trial diverged.
            MachineError: as many trials failed as were wanted.
        """
        total, failed = self.rounds.trials, set[str]()
        for request in self._asked():
            trial = self._find(request)
            if trial is not None:
                self._on_event(reused(request, trial))
        while True:
            asked = self._asked()
            finished, stopped = self._finished(asked), self._stopped(asked)
            left = total - len(finished) - len(stopped) - len(self._spared())
            over = failed | {trial.key for trial in stopped}
            pending = [request for request in asked if self._find(request) is None and self._key(request) not in over]
            if left <= 0 or not (pending or (decided := self._decide(asked, finished, left))):
                return self._require_finite(finished)
            pending = pending or [self.request(each.values, each.seed) for each in decided if not each.spared]
            self.train(pending[:left], Phase.SEARCH)
            store = self.session.store
            keys = {self._key(request) for request in pending[:left]}
            failed |= {key for key in keys if store.find(key) is None and store.stopped(key) is None}
            if len(failed) >= max(8, total):
                raise MachineError("trials must be able to run", received=f"{len(failed)} of them failed")

    def confirm(self, searched: Sequence[Trial]) -> tuple[Recommendation, list[Trial], list[Trial]]:
        """Trains fresh seeds at the recommendation; one that diverges there moves the recommendation away.

        Returns:
            The recommendation that held, its confirmation trials, and those of recommendations before it.

        Raises:
            InconclusiveError: no recommendation held.
        """
        superseded: list[Trial] = []
        for _ in range(MOST_RECOMMENDATIONS):
            stopped = self._stopped(self._asked())
            recommendation = recommend(self.space, [*searched, *superseded], stopped)
            if recommendation is None:
                break
            fresh = self.seeds.stop
            seeds = range(fresh, fresh + self.recipe.tune.confirm_seeds)
            trials = self.train([self.request(recommendation.values, seed) for seed in seeds], Phase.CONFIRM)
            if all(trial.state is TrialState.COMPLETE for trial in trials):
                return recommendation, trials, superseded
            superseded += trials
        raise InconclusiveError(
            "a recommendation must train with fresh seeds without diverging",
            received=f"{MOST_RECOMMENDATIONS} recommendations diverged",
            hint=f"the edge of stability is uneven here: lower `tune.space.{self.space.names[0]}.high`",
        )

    def warnings(self) -> Iterable[str]:
        """What a reader must know of how it searched."""
        return ()

    @property
    def spared(self) -> list[Spared]:
        """Values at which seeds were spared, each with the first of them."""
        first: dict[tuple[float, ...], Spared] = {}
        for each in self._spared():
            values = {name: each.values[name] for name in self.space.names}
            first.setdefault(tuple(values.values()), Spared(values, each.seed, each.spared))
        return list(first.values())

    @property
    def spared_trials(self) -> int:
        """How many trials that were decided on are not trained."""
        return len(self._spared())

    def _decide(self, asked: Sequence[TrialSpec], finished: Sequence[Trial], left: int) -> list[Decision]:
        """The next round, remembered before it is trained: an interrupted search goes on with the same points."""
        workers = self.session.pool.workers
        count = min(left, workers * math.ceil(self.rounds.round_size / workers))
        known = [*(Decision(r.hyperparameters, r.seed) for r in asked), *self._spared()]
        decided = self.rounds.decide(known, finished, count)
        store, name = self.session.store, "search" if self._is_whole else f"search of {', '.join(self.space.names)}"
        store.describe(self.size, {name: self.settings})
        limits: tuple[tuple[int, float], ...] = ()
        if self.recipe.tune.early_stopping == "asha":
            seen = [*finished, *self._stopped(asked)]
            limits = tuple((rung.step, rung.limit) for rung in rungs(seen, self.recipe.steps(self.size)))
        requests = [(self.request(decision.values, decision.seed), decision.spared) for decision in decided]
        store.add_planned(
            self.size, [PlannedTrial(r.hyperparameters, r.seed, limits, spared) for r, spared in requests]
        )
        return decided

    def _asked(self) -> list[TrialSpec]:
        """Points decided so far and to be trained."""
        return list({self._key(request): request for request, entry in self._entries() if not entry.spared}.values())

    def _spared(self) -> list[Decision]:
        """Points decided so far and not to be trained; where seeds are not spared any more, there are none."""
        entries = self._entries() if self.rounds.sparing else []
        return [Decision(r.hyperparameters, r.seed, entry.spared) for r, entry in entries if entry.spared]

    def _entries(self) -> list[tuple[TrialSpec, PlannedTrial]]:
        """What was decided and belongs to the recipe as it is now; an edited space drops what lies outside."""
        entries = [
            (self.request({name: entry.hyperparameters[name] for name in self.space.names}, entry.seed), entry)
            for entry in self.session.store.planned(self.size)
            if self.space.contains(entry.hyperparameters) and entry.seed in self.seeds
        ]
        return [(request, entry) for request, entry in entries if _same(request, entry)]

    def _finished(self, asked: Iterable[TrialSpec]) -> list[Trial]:
        return [trial for request in asked if (trial := self._find(request)) is not None]

    def _stopped(self, asked: Iterable[TrialSpec]) -> list[Trial]:
        store = self.session.store
        keys = [self._key(request) for request in asked if self._find(request) is None]
        return [trial for key in keys if (trial := store.stopped(key)) is not None]

    def request(self, values: Mapping[str, float], seed: int) -> TrialSpec:
        """A trial of this search; hyperparameters not given take the recipe's values."""
        return TrialSpec(self.recipe, self.session.root, self.size, {**self._fixed, **values}, seed)

    def _key(self, request: TrialSpec) -> str:
        return self.session.key(request)

    def _find(self, request: TrialSpec) -> Trial | None:
        return self.session.store.find(self._key(request))

    def train(self, requests: Sequence[TrialSpec], phase: Phase) -> list[Trial]:
        """Trains what is not finished; the finished ones in the order asked for."""
        return self.session.run(requests, phase, self._on_event)

    def _require_finite(self, finished: list[Trial]) -> list[Trial]:
        if any(trial.state is TrialState.COMPLETE for trial in finished):
            return finished
        axis = next((axis for axis in self.space if axis.name == "learning_rate"), self.space.axes[0])
        raise InconclusiveError(
            "some trial must train without diverging to recommend anything",
            received=f"all {len(finished)} trials diverged",
            hint=f"lower the range: `tune.space.{axis.name}: {{low: {axis.low / 64:.3g}, high: {axis.low:.3g}}}`",
        )


def reused(request: TrialSpec, trial: Trial) -> TrialEvent:
    """The event of a trial that was finished before."""
    cost = relative_cost(request.size)
    return TrialEvent("reused", request.size, request.hyperparameters, request.seed, cost, trial)


def print_tuned(result: TuneResult, console: Console, path: Path) -> None:
    """Print recommendation, interval, best observed, confirmation and warnings."""
    table = Table(
        title=f"{result.recipe}: tuned at {result.size.label}", title_justify="left", box=None, pad_edge=False
    )
    for column in ("hyperparameter", "recommended", "95% interval", "within 0.25%", "best observed"):
        table.add_column(column, justify="left" if column == "hyperparameter" else "right")
    for name, value in result.recommended.items():
        low, high = result.intervals[name]
        best = result.best_observed.hyperparameters[name]
        first, last = result.plateaus[name]
        table.add_row(name, f"{value:.4g}", f"{_end(low)} to {_end(high)}", f"{first:.3g} to {last:.3g}", f"{best:.4g}")
    fresh = result.confirmation
    table.add_row(
        "loss",
        f"{result.expected_loss:.4f}",
        "",
        "",
        f"{result.best_observed.loss:.4f} (seed {result.best_observed.seed})",
    )
    console.print(table)
    if fresh.mean is not None:
        spread = "" if fresh.sd is None else f" +- {fresh.sd:.4f}"
        console.print(f"fresh seeds at the recommendation: loss {fresh.mean:.4f}{spread} ({len(fresh.seeds)} seeds)")
    console.print(f"best observed is not recommended by itself: {result.best_observed.note}", soft_wrap=True)
    count = result.trials
    console.print(
        f"{count.finished} trials, {count.diverged} diverged, {count.failed} failed, "
        f"{count.stopped} stopped early; {result.seconds:.0f} s of training"
    )
    if count.spared:
        console.print(f"{count.spared} trials spared at {len(result.spared)} values that were clearly worse by then")
    console.print(result.spent.sentence)
    for warning in result.warnings:
        console.print(f"warning: {warning}", soft_wrap=True)
    console.print(f"written to {path}", soft_wrap=True)


def _end(value: float | None) -> str:
    return "open" if value is None else f"{value:.3g}"


def _same(request: TrialSpec, entry: PlannedTrial) -> bool:
    return dict(request.hyperparameters) == dict(entry.hyperparameters)


def _result(
    session: Session,
    search: Search | OneAtATime,
    searched: Sequence[Trial],
    found: Recommendation,
    confirmed: Sequence[Trial],
    superseded: Sequence[Trial],
) -> TuneResult:
    recipe, store = session.loaded.recipe, session.store
    losses = tuple(trial.loss for trial in confirmed)
    seeds = tuple(trial.seed for trial in confirmed)
    failures = [failed for failed in store.failures(search.size, Phase.SEARCH) if failed.cause != "interrupted"]
    stopped = [trial for trial in store.stopped_trials() if trial.size == search.size]
    spent = [*searched, *superseded, *confirmed, *stopped]
    names = search.space.names
    return TuneResult(
        recipe=recipe.name,
        recipe_hash=session.loaded.hash,
        size=search.size,
        hyperparameters=dict(search.request(found.values, 0).hyperparameters),
        recommended=dict(found.values),
        intervals=found.intervals,
        plateaus=found.plateaus,
        expected_loss=found.loss,
        best_observed=BestObserved(
            {name: found.best.hyperparameters[name] for name in names}, found.best.loss, found.best.seed, found.reason
        ),
        confirmation=Confirmation(
            statistics.fmean(losses) if len(losses) == recipe.tune.confirm_seeds else None,
            statistics.stdev(losses) if len(losses) > 1 else None,
            seeds,
            losses,
        ),
        trials=TrialCount(
            len(searched),
            sum(t.state is TrialState.DIVERGED for t in searched),
            len(failures),
            len(stopped),
            search.spared_trials,
        ),
        spared=tuple(search.spared),
        flops=sum(trial.flops for trial in spent),
        seconds=sum(trial.seconds for trial in spent),
        spent=spent_on(spent, session.costs.of_target()),
        warnings=tuple(_warnings(search, found, searched, confirmed)),
        power=_power(search, found),
        search=search.settings,
        provenance=_provenance(session, search.seeds, seeds),
    )


def _power(search: Search | OneAtATime, found: Recommendation | None) -> Power:
    """What the budget can tell, by the noise that was measured where there is one."""
    space, trials = _fitted(search)
    if found is None or not math.isfinite(found.noise) or found.loss <= 0:
        return expected_power(space, trials)
    return expected_power(space, trials, found.noise / found.loss, "measured")


def _fitted(search: Search | OneAtATime) -> tuple[Space, int]:
    """What one fit is over, and its trials: the whole space, or one line of several."""
    trials, space = search.recipe.tune.trials, search.space
    if search.recipe.tune.order == "joint" or len(space) == 1:
        return space, trials
    return replace(space, axes=space.axes[:1]), trials // len(space)


def _warnings(
    search: Search | OneAtATime, found: Recommendation, searched: Sequence[Trial], confirmed: Sequence[Trial]
) -> Iterable[str]:
    for axis in search.space:
        end = found.edges.get(axis.name)
        if end is not None:
            yield (
                f"the optimum of {axis.name} lies at the {end} end of its range: widen "
                f"`tune.space.{axis.name}.{end}` to {axis.wider(end):.3g} and run again"
            )
    power = _power(search, found)
    if power.hopeless:
        yield f"{power.sentence}; {advice(_fitted(search)[0], power)}"
    stopped = [trial for trial in search.session.store.stopped_trials() if trial.size == search.size]
    if len(searched) + len(stopped) + search.spared_trials < search.recipe.tune.trials:
        yield f"only {len(searched)} trials could be told apart within the bounds"
    if len(confirmed) < search.recipe.tune.confirm_seeds:
        yield "not every confirmation trial could be trained"
    yield from search.warnings()


def _provenance(session: Session, searched: Sequence[int], confirmed: Sequence[int]) -> dict[str, Any]:
    versions = {"hptransfer": __version__} | {name: metadata.version(name) for name in _PACKAGES}
    return {
        "versions": versions | {"python": platform.python_version(), "platform": sys.platform},
        "data": session.fingerprint,
        "seeds": {"search": list(searched), "confirmation": list(confirmed)},
    }
