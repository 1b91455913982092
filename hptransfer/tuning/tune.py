"""Tuning at the proxy: search, confirm with fresh seeds, and say what that is worth."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import replace

from hptransfer.artifacts.tuned import BestObserved, Confirmation, Power, Provenance, Seeds, TrialCount, Tuned
from hptransfer.engine.flops import is_short, spent_on
from hptransfer.engine.scheduler import OnEvent
from hptransfer.engine.session import Session
from hptransfer.provenance import versions
from hptransfer.recipe.objective import unit_of
from hptransfer.recipe.schema import Recipe
from hptransfer.search.base import ASSUMED_NOISE, Recommendation, least_runs
from hptransfer.search.rounds import advice, expected_power, found_power
from hptransfer.search.space import Space
from hptransfer.sizes import Size
from hptransfer.trials.trial import Phase, Trial, TrialState
from hptransfer.tuning.one_at_a_time import OneAtATime
from hptransfer.tuning.search import Confirmed, Search, SearchStrategy, search_space
from hptransfer.tuning.widening import edge_warning


def tune(session: Session, on_event: OnEvent = lambda event: None) -> Tuned:
    """Search until `tune.trials` trials are finished in all, and confirm the recommendation.

    Args:
        session: the recipe, its trials and the workers.
        on_event: called with every event of a trial.

    Raises:
        BudgetError: the budget ended before that.
        InconclusiveError: every trial diverged, or no recommendation held.
        UsageError: the first step of a trial does not run, or trials failed by errors and none is finished.
        MachineError: trials failed for want of memory or time, or the database failed.
        KeyboardInterrupt: Ctrl-C was pressed; finished trials are kept.
    """
    recipe = session.loaded.recipe
    size = recipe.proxy_size
    is_joint = recipe.tune.order == "joint" or len(recipe.tune.space) == 1
    session.rehearse()
    strategy: SearchStrategy = (Search if is_joint else OneAtATime)(session, size, on_event)
    searched = strategy.run()
    return _tuned(session, size, strategy, searched, strategy.confirm(searched))


def budget_warning(recipe: Recipe) -> str | None:
    """What must be said of `tune.trials` before they are spent, one sentence; None where they can be enough."""
    return _budget_warning(recipe, _power(recipe, None))


def _budget_warning(recipe: Recipe, power: Power) -> str | None:
    return f"{power.sentence}; {advice(_fitted(recipe)[0], power)}" if power.misses_goal else None


def _power(recipe: Recipe, found: Recommendation | None) -> Power:
    """What the budget can tell, by the noise that was measured where there is one."""
    space, trials = _fitted(recipe)
    goal = recipe.check.criteria.plateau
    return expected_power(space, trials, goal) if found is None else found_power(space, trials, goal, found)


def _fitted(recipe: Recipe) -> tuple[Space, int]:
    """What one fit is over, and its trials: the whole space, or one line of several."""
    space, trials = search_space(recipe), recipe.tune.trials
    if recipe.tune.order == "joint" or len(space) == 1:
        return space, trials
    return replace(space, axes=space.axes[:1]), trials // len(space)


def _tuned(
    session: Session, size: Size, strategy: SearchStrategy, searched: Sequence[Trial], confirmed: Confirmed
) -> Tuned:
    recipe, found = session.loaded.recipe, confirmed.recommendation
    losses = tuple(trial.loss for trial in confirmed.trials)
    seeds = tuple(trial.seed for trial in confirmed.trials)
    failures = [failed for failed in session.store.failures(size, Phase.SEARCH) if failed.cause != "interrupted"]
    every = [*searched, *confirmed.superseded, *confirmed.trials]
    spent = spent_on(every, session.costs.of_target(), short=is_short(recipe, recipe.target_size()))
    power = _power(recipe, found)
    return Tuned(
        recipe=recipe.name,
        recipe_hash=session.loaded.hash,
        identity=session.identity.digest,
        size=size,
        hyperparameters=dict(strategy.request(found.values, 0).hyperparameters),
        recommended=dict(found.values),
        intervals=dict(found.intervals),
        plateaus=dict(found.plateaus),
        plateau_fraction=recipe.check.criteria.plateau,
        expected_loss=found.loss,
        best_observed=BestObserved(
            hyperparameters={name: found.best.hyperparameters[name] for name in strategy.space.names},
            loss=found.best.loss,
            seed=found.best.seed,
            note=found.reason(unit_of(recipe)),
        ),
        confirmation=Confirmation(
            mean=statistics.fmean(losses) if len(losses) == recipe.tune.confirm_seeds else None,
            sd=statistics.stdev(losses) if len(losses) > 1 else None,
            seeds=seeds,
            losses=losses,
        ),
        trials=TrialCount(
            finished=len(searched),
            diverged=sum(trial.state is TrialState.DIVERGED for trial in searched),
            failed=len(failures),
        ),
        flops=spent.flops,
        seconds=spent.seconds,
        spent=spent,
        warnings=tuple(_warnings(recipe, strategy, searched, confirmed, power)),
        power=power,
        search=strategy.settings,
        provenance=Provenance(
            versions=versions("torch", "numpy", "scipy", "optuna"),
            data=session.fingerprint,
            seeds=Seeds(search=tuple(strategy.seeds), confirmation=seeds),
        ),
    )


def _warnings(
    recipe: Recipe, strategy: SearchStrategy, searched: Sequence[Trial], confirmed: Confirmed, power: Power
) -> Iterator[str]:
    if (constant := constant_warning(strategy.space, searched)) is not None:
        yield constant
    for axis in strategy.space:
        end = confirmed.recommendation.edges.get(axis.name)
        if end is not None and constant is None:  # where nothing depends on it, no wider range helps
            yield edge_warning(axis, end, searched, recipe.tune.trials)
    if not confirmed.recommendation.has_noise:
        least = least_runs(len(_fitted(recipe)[0]))
        yield (
            f"too few trials to measure noise: assumed {ASSUMED_NOISE:.1%} of the loss, typical of small proxies; it "
            f"is measured where {least} or more different trials train"
        )
    warning = _budget_warning(recipe, power)
    if warning is not None:
        yield warning
    if len(searched) < recipe.tune.trials:
        yield f"only {len(searched)} trials differ within the bounds"
    if len(confirmed.trials) < recipe.tune.confirm_seeds:
        yield "not every confirmation trial could be trained"
    yield from strategy.warnings()


def constant_warning(space: Space, searched: Sequence[Trial]) -> str | None:
    """What must be said where different values gave one and the same loss, one sentence; else None.

    Args:
        space: the searched hyperparameters with their bounds.
        searched: finished trials of the search.
    """
    complete = [trial for trial in searched if trial.state is TrialState.COMPLETE]
    if len({space.point(trial.hyperparameters) for trial in complete}) < 2 or len({each.loss for each in complete}) > 1:
        return None
    return (
        f"all {len(complete)} runs ended at {complete[0].loss:.6g}: the objective does not depend on "
        f"{', '.join(space.names)}, so the recommended value means nothing; see that training uses it and that the "
        "objective measures what was trained"
    )
