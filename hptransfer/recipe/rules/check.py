"""Rules of the transfer check."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from hptransfer.recipe import suggestion
from hptransfer.recipe.model_sections import MlpModel
from hptransfer.recipe.rule_text import Explanation
from hptransfer.recipe.rules.base import Draft, RecipeRule, Violation
from hptransfer.recipe.schema import (
    Check,
)
from hptransfer.recipe.yaml.gate import KeyPath
from hptransfer.recipe.yaml.outline import SEARCHABLE

#: a power of depth is fitted through them
_FEWEST_DEPTHS = 3


def _named(check: Check | None) -> Iterator[tuple[KeyPath, str]]:
    """Every checked hyperparameter once, with the key that names it."""
    for index, name in enumerate(check.checked if check else ()):
        if check and name not in check.checked[:index]:
            several = bool(check.hyperparameters)
            yield ("check", "hyperparameters", index) if several else ("check", "hyperparameter"), name


def _both_keys(draft: Draft) -> Iterator[Violation]:
    check = draft.check
    if check is not None and check.hyperparameters and "hyperparameter" in check.model_fields_set:
        rule = "only one of `hyperparameter` and `hyperparameters` can be given"
        yield Violation(("check", "hyperparameters"), rule, "both", "delete `hyperparameter`")


def _repeated(draft: Draft) -> Iterator[Violation]:
    names = draft.check.hyperparameters if draft.check else ()
    for index, name in enumerate(names):
        if name in names[:index]:
            path: KeyPath = ("check", "hyperparameters", index)
            yield Violation(path, "`check.hyperparameters` must differ", name, "delete one")


def _searched(draft: Draft) -> Iterator[Violation]:
    for key, name in _named(draft.check):
        if draft.searched and name not in draft.searched:
            searched = sorted(draft.searched & set(SEARCHABLE))
            hint = f"add `{name}` to `tune.space`"
            if searched:
                hint += f", or check one that is searched ({suggestion.hint(name, searched, 'searched')})"
            received = f"{name}, but `tune.space` has {', '.join(sorted(draft.searched))}"
            rule = f"`check.{key[1]}` must be in `tune.space`"
            yield Violation(key, rule, received, hint, elsewhere=("tune", "space"))


def _log_scale(draft: Draft) -> Iterator[Violation]:
    for _, name in _named(draft.check):
        axis = draft.space.get(name)
        if axis is not None and axis.scale != "log":
            rule = "the checked hyperparameter must have a log scale: its grid and its drift are counted in octaves"
            yield Violation(("tune", "space", name, "scale"), rule, f"{name}: {axis.scale}", "write `scale: log`")


def _octaves(draft: Draft) -> Iterator[Violation]:
    check = draft.check
    if check is not None and check.octaves < check.spacing:
        received = f"octaves={check.octaves:g}, spacing={check.spacing:g}"
        hint = f"write `octaves: {check.spacing:g}` or more: the grid needs values on both sides"
        yield Violation(("check", "octaves"), "`octaves >= spacing` must hold", received, hint)


def _steps(draft: Draft) -> Iterator[Violation]:
    steps = draft.check.coordinate.steps if draft.check else ()
    if any(early >= late for early, late in pairwise(steps)):
        received = f"[{', '.join(map(str, steps[:12]))}]"
        yield Violation(("check", "coordinate", "steps"), "`check.coordinate.steps` must increase strictly", received)


def _diagnostics(draft: Draft) -> Iterator[Violation]:
    names = draft.check.diagnostics if draft.check else ()
    for index, name in enumerate(names):
        if name in names[:index]:
            yield Violation(("check", "diagnostics", index), "`check.diagnostics` must differ", name, "delete one")


def _linearization(draft: Draft) -> Iterator[Violation]:
    """Laziness in depth is a slope over depths of blocks that add up."""
    names = draft.check.diagnostics if draft.check else ()
    if "linearization" not in names:
        return
    place: KeyPath = ("check", "diagnostics", names.index("linearization"))
    if isinstance(draft.model, MlpModel):
        rule = "distance from linearisation is measured on residual blocks"
        yield Violation(place, rule, "a model of kind mlp", "its layers do not add up: leave it out")
    elif (depths := draft.ladders["depth"]) is not None and len(depths) < _FEWEST_DEPTHS:
        rule = f"distance from linearisation needs at least {_FEWEST_DEPTHS} entries in `sizes.depths`"
        hint = "for example [4, 8, 16]; below depth 4 what attention and MLP of one block do to each other dominates"
        yield Violation(place, rule, f"{len(depths)} depths", hint, elsewhere=("sizes", "depths"))


def _max_trials(draft: Draft) -> Iterator[Violation]:
    check = draft.check
    if check is not None and check.max_trials is not None and not check.adaptive:
        rule = "`check.max_trials` limits an adaptive check; any other trains its whole grid"
        hint = "add `adaptive: true`, or delete the line; `budget.trials` limits every command"
        yield Violation(("check", "max_trials"), rule, f"max_trials={check.max_trials}, adaptive=false", hint)


def _bounded(draft: Draft) -> Iterator[Violation]:
    asked = draft.check.criteria if draft.check else None
    if asked is not None and asked.cost is None and asked.deviations is None and asked.regret is None:
        rule = "`check.criteria.cost` may be null only beside a bound on `deviations` or `regret`"
        yield Violation(("check", "criteria", "cost"), rule, "null", "for example `deviations: 0.5`")


RULES = (
    RecipeRule(
        "recipe/checked-by-two-keys",
        "one of `hyperparameter` and `hyperparameters` is given, not both",
        _both_keys,
        explanation=Explanation(
            "HPT110",
            "Which of the two is meant is not known.",
            "delete `hyperparameter`",
            "check: {hyperparameter: learning_rate, hyperparameters: [learning_rate]}",
            "check: {hyperparameters: [learning_rate]}",
            at="^[learning_rate]",
        ),
    ),
    RecipeRule(
        "recipe/checked-twice",
        "`check.hyperparameters` differ",
        _repeated,
        explanation=Explanation(
            "HPT111",
            "The second slice would be the first one again.",
            "delete one of the two",
            "check: {hyperparameters: [learning_rate, learning_rate]}",
            "check: {hyperparameters: [learning_rate]}",
            at="learning_rate, ^learning_rate",
        ),
    ),
    RecipeRule(
        "recipe/checked-not-searched",
        "a checked hyperparameter is in `tune.space`",
        _searched,
        explanation=Explanation(
            "HPT112",
            "The check follows the tuned value along the ladder, and what was not searched has none.",
            "add the hyperparameter to `tune.space`, or check one that is there",
            "check: {hyperparameter: weight_decay}",
            "check: {hyperparameter: learning_rate}",
            at="^weight_decay",
        ),
    ),
    RecipeRule(
        "recipe/checked-not-logarithmic",
        "a checked hyperparameter is searched on a log scale",
        _log_scale,
        explanation=Explanation(
            "HPT113",
            "The check's grid and its drift are counted in octaves.",
            "write `scale: log`",
            "tune:\n  space:\n    learning_rate: {low: 1e-4, high: 1e-1, scale: linear}",
            "tune:\n  space:\n    learning_rate: {low: 1e-4, high: 1e-1, scale: log}",
            at="^linear",
        ),
    ),
    RecipeRule(
        "recipe/grid-too-narrow",
        "`octaves >= spacing`: the grid has values on both sides of the tuned one",
        _octaves,
        explanation=Explanation(
            "HPT114",
            "With values on one side only, no optimum can be told from the edge of the grid.",
            "make `octaves` at least as large as `spacing`",
            "check: {octaves: 0.25, spacing: 0.5}",
            "check: {octaves: 1.0, spacing: 0.5}",
            at="^0.25",
        ),
    ),
    RecipeRule(
        "recipe/no-bound-on-cost",
        "some bound limits what a carried value may cost",
        _bounded,
        explanation=Explanation(
            "HPT115",
            "Without any bound every result would count as transfer.",
            "give a bound on `deviations` or `regret`, for example `deviations: 0.5`",
            "check: {criteria: {cost: null}}",
            "check: {criteria: {cost: null, deviations: 0.5}}",
            at="^null",
        ),
    ),
    RecipeRule(
        "recipe/max-trials",
        "`check.max_trials` is given only where the check is adaptive",
        _max_trials,
        explanation=Explanation(
            "HPT119",
            "Any other check trains its whole grid, so the line would limit nothing.",
            "add `adaptive: true`, or delete the line",
            "check: {max_trials: 500}",
            "check: {adaptive: true, max_trials: 500}",
            at="^500",
        ),
    ),
    RecipeRule(
        "recipe/coordinate-steps",
        "`check.coordinate.steps` increase strictly",
        _steps,
        explanation=Explanation(
            "HPT116",
            (
                "Changes are measured step after step; a step that comes again, or too late, has no "
                "measurement of its own."
            ),
            "write each step once, in increasing order, for example `[1, 3, 10]`",
            "check: {coordinate: {steps: [1, 10, 3]}}",
            "check: {coordinate: {steps: [1, 3, 10]}}",
            at="^[1, 10, 3]",
        ),
    ),
    RecipeRule(
        "recipe/diagnostics",
        "`check.diagnostics` differ",
        _diagnostics,
        explanation=Explanation(
            "HPT117",
            "The second would measure the same again.",
            "delete one of the two",
            "check: {diagnostics: [sharpness, sharpness]}",
            "check: {diagnostics: [sharpness]}",
            at="sharpness, ^sharpness",
        ),
    ),
    RecipeRule(
        "recipe/linearization",
        "distance from linearisation has residual blocks and 3 depths",
        _linearization,
        explanation=Explanation(
            "HPT118",
            (
                "It is a slope over depths of blocks that add up: an mlp's layers do not, and two depths "
                "give no error of the slope."
            ),
            "leave `linearization` out, or give a model of kind gpt and three depths",
            "check: {diagnostics: [linearization]}",
            "check: {diagnostics: [sharpness]}",
            at="[^linearization",
        ),
    ),
)
