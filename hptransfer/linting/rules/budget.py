"""Budgets that end before there is an answer."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator

from hptransfer.engine.durations import with_durations
from hptransfer.engine.planned import recipe_sizes
from hptransfer.errors import Finding, MachineError, UsageError
from hptransfer.hyperparameters import AVERAGES
from hptransfer.linting.base import FunctionRule
from hptransfer.recipe.load import LoadedRecipe
from hptransfer.recipe.rule_text import Explanation
from hptransfer.recipe.schema import Check
from hptransfer.sizes import LADDERS, Size

_MORE = "what is spent is spent without an answer"


def wanted(loaded: LoadedRecipe) -> tuple[Counter[Size], Counter[Size]] | None:
    """Trials by size: of the search with its confirmation, and the fewest that a check begins with beside them.

    What the check trains at the proxy may be trained already, so it is not counted. None where durations, and so sizes,
    follow parameters that are not counted yet.

    Args:
        loaded: a recipe whose sizes are asked for.
    """
    recipe = loaded.recipe
    try:
        tuned = Counter({recipe.proxy_size: recipe.tune.trials + recipe.tune.confirm_seeds})
        ladder = [size for size, (_, key, *_) in recipe_sizes(recipe).items() if key in _LADDERS]
    except UsageError:
        return None
    each = sum(_first_values(recipe.check, name) for name in recipe.check.checked) * recipe.check.seeds
    return tuned, Counter({size: each for size in ladder if size != recipe.proxy_size})


#: keys of `sizes` that a check trains
_LADDERS = frozenset({*LADDERS.values(), "corner"})


def _first_values(check: Check, name: str) -> int:
    """The fewest values that a check begins with: the tuned one need not lie on the lattice.

    Of a hyperparameter that cannot have every value it may be as few as one.
    """
    if name in AVERAGES or name == "warmup":
        return 1
    return max(1, math.floor(2 * check.octaves / (check.first_step * check.spacing) + 1e-9))


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
    check, counts = loaded.recipe.check, wanted(loaded)
    if check.max_trials is None or counts is None:
        return
    begins = max(_first_values(check, name) for name in check.checked) * check.seeds * (len(counts[1]) + 1)
    if check.max_trials < begins:
        rule = "`check.max_trials` should leave trials for what an adaptive check decides by itself"
        hint = f"write more than {begins}: those are trained in any case"
        received = f"{check.max_trials}; it begins with at least {begins}"
        yield Finding(rule, received, hint, loaded.place(("check", "max_trials")))


def _flops(loaded: LoadedRecipe) -> Iterator[Finding]:
    from hptransfer.engine.flops import run_costs  # imports numpy, which few recipes need here

    budget = loaded.recipe.budget.flops
    if budget is None or loaded.recipe.model.kind == "external":
        return
    try:
        loaded = with_durations(loaded)
        counts = wanted(loaded)
        total = sum(counts, Counter()) if counts else Counter()
        costs = run_costs(loaded.recipe, loaded.root, list(total))
    except (UsageError, MachineError):  # the rules of the model say it
        return
    needed = sum(count * (costs[size].flops or 0.0) for size, count in total.items())
    if needed > budget:
        rule = "`budget.flops` must be enough for `tune` and the check's first trials"
        place = loaded.place(("budget", "flops"))
        yield Finding(rule, f"{budget:.3g}; they take {needed:.3g}", f"write at least {needed:.2g}: {_MORE}", place)


RULES = (
    FunctionRule(
        "recipe/budget-trials",
        "`budget.trials` is enough for tune and the check's first trials",
        _trials,
        level="error",
        explanation=Explanation(
            "HPT240",
            "The search or the check would end before there is an answer, and what is spent is lost.",
            "write the number of the message, or make `tune.trials`, `check.octaves` or the ladder smaller",
            "budget: {trials: 10}",
            "budget: {trials: 500}",
            at="^trials",
        ),
    ),
    FunctionRule(
        "recipe/budget-flops",
        "`budget.flops` is enough for tune and the check's first trials",
        _flops,
        level="error",
        at="shapes",
        explanation=Explanation(
            "HPT320",
            "The search or the check would end before there is an answer, and what is spent is lost.",
            "write the number of the message, or make the ladder or `training` smaller",
            "budget: {flops: 1e3}",
            "budget: {flops: 1e18}",
            at="^flops",
        ),
    ),
    FunctionRule(
        "advice/max-trials",
        "an adaptive check may train more than it begins with",
        _adaptive,
        explanation=Explanation(
            "HPT241",
            "With no trial left to place by itself the check ends at its first values, whether they answer or not.",
            "write more trials than the message says it begins with",
            "check: {adaptive: true, max_trials: 3}",
            "check: {adaptive: true, max_trials: 500}",
            at="^max_trials",
        ),
    ),
)
