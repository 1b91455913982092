"""Which trials `tune` would train, for a forecast of what it takes."""

from __future__ import annotations

from collections import Counter

from hptransfer.engine.forecast import PriorWork, WantedTrials
from hptransfer.trials.spec import TrialSpec
from hptransfer.trials.trial import Phase


def wanted_trials(prior: PriorWork) -> WantedTrials:
    """The search's trials at the proxy and its confirmation; those that are finished are counted by phase."""
    recipe = prior.loaded.recipe
    proxy = recipe.proxy_size
    study = f"{proxy.label}-{prior.identity.experiment[:8]}"
    finished = Counter(
        trial.phase for trial in prior.finished if trial.study == study and trial.trial and trial.trial.size == proxy
    )
    done = min(finished[Phase.SEARCH], recipe.tune.trials) + min(finished[Phase.CONFIRM], recipe.tune.confirm_seeds)
    return WantedTrials(
        timed=(TrialSpec(recipe, prior.loaded.root, proxy, {}, recipe.tune.seed),),
        counts={proxy: (recipe.tune.trials + recipe.tune.confirm_seeds, done)},
        notes=("points that diverge or fail cost time beyond this; a recommendation that diverges is replaced",),
    )
