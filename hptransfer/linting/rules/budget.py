"""Budgets that end before there is an answer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from hptransfer.errors import Finding, MachineError, UsageError
from hptransfer.linting.base import FunctionRule
from hptransfer.recipe.defaults import defaults
from hptransfer.recipe.load import LoadedRecipe
from hptransfer.sizes import Size

_MORE = "what is spent is spent without an answer"


def wanted(loaded: LoadedRecipe) -> tuple[Counter[Size], Counter[Size]] | None:
    """Trials by size: of the search with its confirmation, and what a check must train beside them.

    What the check trains at the proxy may be trained already, so it is not counted. None where durations, and so sizes,
    follow parameters that are not counted yet.

    Args:
        loaded: a valid recipe.
    """
    from hptransfer.checking.forecast import first_trials  # imports numpy, which few recipes need here

    recipe = loaded.recipe
    try:
        tuned = Counter({recipe.proxy_size: recipe.tune.trials + recipe.tune.confirm_seeds})
        first = first_trials(recipe, loaded.root, defaults(recipe.training))
    except UsageError:
        return None
    beside = {(trial.size, tuple(sorted(trial.hyperparameters.items())), trial.seed) for trial in first}
    return tuned, Counter(size for size, _, _ in beside if size != recipe.proxy_size)


def _trials(loaded: LoadedRecipe) -> Iterator[Finding]:
    budget = loaded.recipe.budget.trials
    counts = None if budget is None else wanted(loaded)
    if budget is None or counts is None:
        return
    tuned, check = (sum(each.values()) for each in counts)
    place, tune = loaded.place(("budget", "trials")), loaded.recipe.tune
    if budget < tuned:
        rule = "`budget.trials` must be enough for `tune`: its trials, and fresh seeds at what it recommends"
        received = f"{budget}; tune.trials={tune.trials} and tune.confirm_seeds={tune.confirm_seeds}"
        yield Finding(rule, received, f"write {tuned + check}, which is enough for tune and check: {_MORE}", place)
    elif budget < tuned + check:
        rule = "`budget.trials` must be enough for the check's first trials after those of `tune`"
        received = f"{budget}; tune takes {tuned}, and the check begins with {check} at other sizes than the proxy"
        hint = f"write at least {tuned + check}, or make `check.octaves` or the ladder smaller: {_MORE}"
        yield Finding(rule, received, hint, place)


def _adaptive(loaded: LoadedRecipe) -> Iterator[Finding]:
    check = loaded.recipe.check
    if check.max_trials is None or len(check.checked) > 1 or wanted(loaded) is None:
        return
    from hptransfer.checking.forecast import first_trials  # as above

    begins = len(first_trials(loaded.recipe, loaded.root, defaults(loaded.recipe.training)))
    if check.max_trials < begins:
        rule = "`check.max_trials` should leave trials for what an adaptive check decides by itself"
        hint = f"write more than {begins}: those are trained in any case"
        yield Finding(rule, f"{check.max_trials}; it begins with {begins}", hint, loaded.place(("check", "max_trials")))


def needed_flops(loaded: LoadedRecipe) -> float | None:
    """Floating point operations of `tune` and the check's first trials; None where they cannot be counted.

    Args:
        loaded: a valid recipe, whose model is built without memory.
    """
    from hptransfer.engine.durations import with_durations
    from hptransfer.engine.flops import run_costs

    if loaded.recipe.model.kind == "external":
        return None
    try:
        loaded = with_durations(loaded)
        counts = wanted(loaded)
        total = sum(counts, Counter()) if counts else Counter()
        costs = run_costs(loaded.recipe, loaded.root, list(total))
    except (UsageError, MachineError):  # the rules of the model say it
        return None
    if not total or any(costs[size].flops is None for size in total):
        return None
    return sum(count * (costs[size].flops or 0.0) for size, count in total.items())


def _flops(loaded: LoadedRecipe) -> Iterator[Finding]:
    budget = loaded.recipe.budget.flops
    needed = None if budget is None else needed_flops(loaded)
    if budget is not None and needed is not None and needed > budget:
        rule = "`budget.flops` must be enough for `tune` and the check's first trials"
        place = loaded.place(("budget", "flops"))
        yield Finding(rule, f"{budget:.3g}; they take {needed:.3g}", f"write at least {needed:.2g}: {_MORE}", place)


RULES = (
    FunctionRule(
        "recipe/budget-trials",
        "`budget.trials` is enough for tune and the check's first trials",
        _trials,
        level="error",
    ),
    FunctionRule(
        "recipe/budget-flops",
        "`budget.flops` is enough for tune and the check's first trials",
        _flops,
        level="error",
        at="shapes",
    ),
    FunctionRule("advice/max-trials", "an adaptive check may train more than it begins with", _adaptive),
)
