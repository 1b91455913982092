"""Tuning at the proxy: search, confirm with fresh seeds, and say what that is worth."""

from __future__ import annotations

from collections.abc import Sequence

from hptransfer.artifacts.carried import Carried, CarriedPhase
from hptransfer.artifacts.tuned import Provenance, Seeds, TrialCount, Tuned
from hptransfer.engine.flops import is_short
from hptransfer.engine.scheduler import OnEvent
from hptransfer.engine.session import Session
from hptransfer.provenance import versions
from hptransfer.recipe.schema import Recipe
from hptransfer.sizes import Size
from hptransfer.trials.trial import Phase, Trial
from hptransfer.tuning.one_at_a_time import OneAtATime
from hptransfer.tuning.outcome import Outcome, power_of, warning_of
from hptransfer.tuning.search import Confirmed, Search, SearchStrategy, is_joint


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
    session.rehearse()
    strategy: SearchStrategy = (Search if is_joint(recipe) else OneAtATime)(session, size, on_event)
    searched = strategy.run()
    return _tuned(session, size, strategy, searched, strategy.confirm(searched))


def budget_warning(recipe: Recipe) -> str | None:
    """What must be said of `tune.trials` before they are spent, one sentence; None where they can be enough."""
    return warning_of(recipe, power_of(recipe, None))


def _tuned(
    session: Session, size: Size, strategy: SearchStrategy, searched: Sequence[Trial], confirmed: Confirmed
) -> Tuned:
    recipe = session.loaded.recipe
    outcome = Outcome(recipe, searched, confirmed.superseded, confirmed.trials, strategy.lines)
    content = outcome.content(session.costs.of_target(), short=is_short(recipe, recipe.target_size()))
    if content is None:
        raise AssertionError("a recommendation that was confirmed follows from its trials")
    failures = [failed for failed in session.store.failures(size, Phase.SEARCH) if failed.cause != "interrupted"]
    phases: tuple[tuple[CarriedPhase, Sequence[Trial]], ...] = (
        ("search", searched),
        ("superseded", confirmed.superseded),
        ("confirm", confirmed.trials),
    )
    carried = [(trial, phase) for phase, trials in phases for trial in trials]
    evidence = Carried.of(session.identity, carried, groups=strategy.lines)
    return Tuned(
        **content,
        recipe_hash=session.loaded.hash,
        identity=session.identity.digest,
        trials=TrialCount(finished=len(searched), diverged=outcome.diverged, failed=len(failures)),
        search=strategy.settings,
        provenance=Provenance(
            versions=versions("torch", "numpy", "scipy", "optuna"),
            data=session.fingerprint,
            seeds=Seeds(search=tuple(strategy.seeds), confirmation=tuple(trial.seed for trial in confirmed.trials)),
        ),
        carried=len(evidence.trials),
        evidence=evidence,
    )
