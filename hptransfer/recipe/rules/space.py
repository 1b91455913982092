"""Rules of the search space."""

from __future__ import annotations

import math
from collections.abc import Iterator

from hptransfer.hyperparameters import AVERAGES, MULTIPLIERS, log_coordinate
from hptransfer.recipe.rule_text import Explanation
from hptransfer.recipe.rules.base import Draft, RecipeRule, Violation
from hptransfer.recipe.schema import Range
from hptransfer.recipe.yaml.gate import KeyPath


def _ends(axis: Range) -> str:
    return f"low={axis.low:g}, high={axis.high:g}"


def _empty(draft: Draft) -> Iterator[Violation]:
    for name, axis in draft.space.items():
        if axis.low >= axis.high:
            hint = f"to keep one value, write `training.{name}` and leave `{name}` out of `tune.space`"
            if axis.low > axis.high:
                scale = f", scale: {axis.scale}" if "scale" in axis.model_fields_set else ""
                hint = f"exchange them: `{{low: {axis.high:.12g}, high: {axis.low:.12g}{scale}}}`"
            yield Violation(("tune", "space", name, "low"), "`low < high` must hold", _ends(axis), hint)


def _positive(draft: Draft) -> Iterator[Violation]:
    for name, axis in draft.space.items():
        logarithmic = axis.scale == "log" and name not in AVERAGES
        if axis.low <= 0 and (logarithmic or name in {"learning_rate", "init_scale", "eps", *MULTIPLIERS}):
            reason = "on a log scale" if logarithmic else f"for `{name}`"
            hint = f"write a small positive number, for example {axis.high / 256:.2g}"
            yield Violation(("tune", "space", name, "low"), f"`low > 0` must hold {reason}", _ends(axis), hint)


def _warmup(draft: Draft) -> Iterator[Violation]:
    axis = draft.space.get("warmup")
    if axis is not None and axis.high > 1:
        rule = "`high <= 1` must hold for `warmup`, a fraction of the steps"
        yield Violation(("tune", "space", "warmup", "high"), rule, _ends(axis), "write 0.1 for a tenth of the steps")


def _averages(draft: Draft) -> Iterator[Violation]:
    for name, axis in draft.space.items():
        if name in AVERAGES and axis.high >= 1:
            rule = f"`high < 1` must hold for `{name}`, a weight of what was before"
            yield Violation(("tune", "space", name, "high"), rule, _ends(axis), "write for example 0.99")


def _grid(draft: Draft) -> Iterator[Violation]:
    for name, axis in draft.space.items():
        if draft.check is None or axis.scale != "log" or axis.low >= axis.high:
            continue
        if axis.high >= 1 if name in AVERAGES else axis.low <= 0:
            continue  # no logarithm: another rule says so
        if _grid_values(name, axis, draft.check.spacing) < 2:
            rule = "a log range must hold at least 2 values of the grid"
            spacing = f"the grid is at multiples of {draft.check.spacing:g} octaves (`check.spacing`)"
            hint = "widen the range, or make the spacing finer"
            yield Violation(("tune", "space", name, "high"), rule, f"{_ends(axis)}; {spacing}", hint)


def _grid_values(name: str, axis: Range, spacing: float) -> int:
    """How many 2^(k * spacing), k an integer, lie in the range; rounding keeps bounds that are such points."""
    first = math.ceil(round(log_coordinate(name, axis.low) / spacing, 9))
    last = math.floor(round(log_coordinate(name, axis.high) / spacing, 9))
    return last - first + 1


def _enqueued_names(draft: Draft) -> Iterator[Violation]:
    for index, values in enumerate(draft.tune.enqueue if draft.tune else ()):
        searched = draft.tune.space if draft.tune else {}
        if set(values) != set(searched):
            rule = "`tune.enqueue` must give one value for each hyperparameter of `tune.space`, and no others"
            received = ", ".join(sorted(values)) or "nothing"
            yield Violation(("tune", "enqueue", index), rule, received, f"give {', '.join(sorted(searched))}")


def _enqueued_values(draft: Draft) -> Iterator[Violation]:
    """Optuna takes enqueued values as they are, whatever the range says."""
    for index, values in enumerate(draft.tune.enqueue if draft.tune else ()):
        searched = draft.tune.space if draft.tune else {}
        for name, value in values.items():
            axis = searched.get(name)
            if axis is not None and not axis.low <= value <= axis.high:
                path: KeyPath = ("tune", "enqueue", index, name)
                rule = f"`low <= value <= high` of `tune.space.{name}` must hold for enqueued values"
                received = f"{value:g}, with low={axis.low:g}, high={axis.high:g}"
                yield Violation(path, rule, received, "widen the range, or leave the value out")


RULES = (
    RecipeRule(
        "recipe/empty-range",
        "`low < high` in every range of the search space",
        _empty,
        explanation=Explanation(
            "HPT150",
            "There is nothing to search.",
            "exchange the two; or, to keep one value, write it in `training` and leave the name out of `tune.space`",
            "tune:\n  space:\n    learning_rate: {low: 1, high: 1e-1}",
            "tune:\n  space:\n    learning_rate: {low: 1e-4, high: 1e-1}",
            at="low: ^1",
        ),
    ),
    RecipeRule(
        "recipe/range-not-positive",
        "`low > 0` on a log scale, and for what must be positive",
        _positive,
        explanation=Explanation(
            "HPT151",
            "Zero has no logarithm, and a rate, an init or a multiplier of zero trains nothing.",
            "write a small positive number",
            "tune:\n  space:\n    learning_rate: {low: 0, high: 1e-1}",
            "tune:\n  space:\n    learning_rate: {low: 1e-4, high: 1e-1}",
            at="low: ^0",
        ),
    ),
    RecipeRule(
        "recipe/range-of-warmup",
        "`warmup` is searched up to 1 at most, the whole run",
        _warmup,
        explanation=Explanation(
            "HPT152",
            "`warmup` is a fraction of the steps.",
            "write 0.1 for a tenth of the steps",
            (
                "tune:\n"
                "  space:\n"
                "    learning_rate: {low: 1e-4, high: 1e-1}\n"
                "    warmup: {low: 0, high: 20, scale: linear}"
            ),
            (
                "tune:\n"
                "  space:\n"
                "    learning_rate: {low: 1e-4, high: 1e-1}\n"
                "    warmup: {low: 0, high: 0.2, scale: linear}"
            ),
            at="high: ^20",
        ),
    ),
    RecipeRule(
        "recipe/range-of-average",
        "betas and momentum are searched below 1",
        _averages,
        explanation=Explanation(
            "HPT153",
            "At 1 an average never takes in anything new.",
            "write a number below 1, for example 0.99",
            "tune:\n  space:\n    learning_rate: {low: 1e-4, high: 1e-1}\n    beta2: {low: 0.9, high: 1}",
            "tune:\n  space:\n    learning_rate: {low: 1e-4, high: 1e-1}\n    beta2: {low: 0.9, high: 0.99}",
            at="high: ^1}",
        ),
    ),
    RecipeRule(
        "recipe/range-without-grid",
        "a log range holds at least 2 values of the grid",
        _grid,
        explanation=Explanation(
            "HPT154",
            (
                "Check and search compare values of one grid; a range between two of its points holds "
                "nothing to compare."
            ),
            "widen the range, or make `check.spacing` finer",
            "tune:\n  space:\n    learning_rate: {low: 0.51, high: 0.74}",
            "tune:\n  space:\n    learning_rate: {low: 1e-4, high: 1e-1}",
            at="^0.74",
        ),
    ),
    RecipeRule(
        "recipe/enqueued-names",
        "enqueued values name what is searched, each once",
        _enqueued_names,
        explanation=Explanation(
            "HPT155",
            "A set of values that leaves one open, or names another, is no point of the search.",
            "give one value for each hyperparameter of `tune.space`, and no others",
            "tune:\n  space:\n    learning_rate: {low: 1e-4, high: 1e-1}\n  enqueue: [{weight_decay: 0.1}]",
            "tune:\n  space:\n    learning_rate: {low: 1e-4, high: 1e-1}\n  enqueue: [{learning_rate: 0.01}]",
            at="^{weight_decay",
        ),
    ),
    RecipeRule(
        "recipe/enqueued-outside",
        "enqueued values lie in their ranges",
        _enqueued_values,
        explanation=Explanation(
            "HPT156",
            "Optuna would train it as it is; the fit and its recommendation are about the range.",
            "widen the range, or leave the value out",
            "tune:\n  space:\n    learning_rate: {low: 1e-4, high: 1e-1}\n  enqueue: [{learning_rate: 5.0}]",
            "tune:\n  space:\n    learning_rate: {low: 1e-4, high: 1e-1}\n  enqueue: [{learning_rate: 0.01}]",
            at="^5.0",
        ),
    ),
)
