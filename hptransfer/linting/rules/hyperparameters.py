"""Hyperparameters that are set or searched to no purpose."""

from __future__ import annotations

from collections.abc import Iterator

from hptransfer.errors import Finding
from hptransfer.hyperparameters import MULTIPLIERS
from hptransfer.linting.base import FunctionRule
from hptransfer.recipe.load import LoadedRecipe
from hptransfer.recipe.registered import unread
from hptransfer.recipe.rule_text import Explanation
from hptransfer.recipe.rules.training import NO_SUCH_PART

#: of roles; `adam_learning_rate`, the ratio of two optimizers' rates, leaves one of them as it is
_LEARNING_RATES = frozenset(name for name in MULTIPLIERS if name.endswith("_learning_rate")) - {"adam_learning_rate"}


def _no_effect(loaded: LoadedRecipe) -> Iterator[Finding]:
    training = loaded.recipe.training
    for key in unread(training.optimizer):
        if key in training.model_fields_set:
            rule = f"`training.{key}` has no effect with {training.optimizer}"
            place = loaded.place(("training", key))
            yield Finding(rule, f"{getattr(training, key):g}", "delete the line", place)


def _redundant(loaded: LoadedRecipe) -> Iterator[Finding]:
    """Searched hyperparameters that can be traded against each other without changing training."""
    recipe = loaded.recipe
    every = {"learning_rate", *_LEARNING_RATES} - NO_SUCH_PART.get(recipe.model.kind, {}).keys()
    readout = {"output_multiplier", "readout_init", "readout_learning_rate"}
    for together, left_out, why in (
        (every, "hidden_learning_rate", "`learning_rate` times c is all learning-rate multipliers times c"),
        (readout, "output_multiplier", "its c is `readout_init` times c and `readout_learning_rate` times c (adamw)"),
    ):
        if together <= recipe.tune.space.keys():
            rule, names = "searched hyperparameters should not be redundant", ", ".join(sorted(together))
            place = loaded.place(("tune", "space", left_out))
            yield Finding(rule, names, f"leave `{left_out}` out: {why}", place)


RULES = (
    FunctionRule(
        "advice/no-effect",
        "what `training` sets is read by the optimizer",
        _no_effect,
        explanation=Explanation(
            "HPT220",
            "The optimizer does not read it; whoever reads the recipe believes otherwise.",
            "delete the line",
            "training:\n  steps: 100\n  momentum: 0.5",
            "training:\n  steps: 100\n  optimizer: sgd\n  momentum: 0.5",
            at="^momentum",
        ),
    ),
    FunctionRule(
        "advice/redundant",
        "no searched hyperparameter can be traded exactly against the others",
        _redundant,
        explanation=Explanation(
            "HPT221",
            "Along the line on which they cancel all values train alike, so the optimum is not determined.",
            "leave one of them out of `tune.space`",
            (
                "tune:\n"
                "  space:\n"
                "    learning_rate: {low: 1e-4, high: 1e-1}\n"
                "    readout_init: {low: 0.1, high: 10}\n"
                "    readout_learning_rate: {low: 0.1, high: 10}\n"
                "    output_multiplier: {low: 0.1, high: 10}"
            ),
            (
                "tune:\n"
                "  space:\n"
                "    learning_rate: {low: 1e-4, high: 1e-1}\n"
                "    readout_init: {low: 0.1, high: 10}\n"
                "    readout_learning_rate: {low: 0.1, high: 10}"
            ),
            at="^output_multiplier",
        ),
    ),
)
