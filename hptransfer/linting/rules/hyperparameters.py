"""Hyperparameters that are set or searched to no purpose."""

from __future__ import annotations

from collections.abc import Iterator

from hptransfer.engine.planned import recipe_sizes
from hptransfer.errors import Finding, UsageError
from hptransfer.hyperparameters import MULTIPLIERS
from hptransfer.linting.base import FunctionRule
from hptransfer.parameterization.batch_and_duration import optimizer_values
from hptransfer.parameterization.tables import FAMILIES, TABLES, find_table, table_beside
from hptransfer.recipe.defaults import defaults
from hptransfer.recipe.load import LoadedRecipe
from hptransfer.recipe.registered import unread
from hptransfer.recipe.rule_text import Explanation
from hptransfer.recipe.rules.training import NO_SUCH_PART
from hptransfer.trials.identity import options_of

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


def _betas(loaded: LoadedRecipe) -> Iterator[Finding]:
    """Under a batch rule Adam's betas follow batch and tokens, and their linear form may leave [0, 1)."""
    recipe = loaded.recipe
    choice, optimizer = recipe.parameterization, recipe.training.optimizer
    if (choice.name, FAMILIES.get(optimizer)) not in TABLES or recipe.model.kind == "external":
        return
    try:
        sizes = recipe_sizes(recipe)
    except UsageError:  # durations that follow parameters, which are not counted yet
        return
    table, _ = find_table(choice, optimizer)
    given = options_of(recipe)
    other = table_beside(table, given)
    chosen = given.filled(table.defaults if other is None else table.defaults.filled(other.defaults))
    for size, path in sizes.items():
        try:
            optimizer_values(other or table, chosen, recipe.base_size, size, defaults(recipe.training))
        except UsageError as error:
            (found,) = error.findings
            hint = "write `betas: half-life` in `parameterization`: the same to first order, always in range"
            yield Finding(found.rule, f"{found.received} at {size.label}", hint, loaded.place(path))
            return


RULES = (
    FunctionRule(
        "recipe/betas",
        "beta1 and beta2 stay in [0, 1) at every size that the recipe names",
        _betas,
        level="error",
        explanation=Explanation(
            "HPT222",
            "The betas follow batch and tokens under a batch rule, and their linear form leaves the range.",
            "write `betas: half-life` in `parameterization`",
            (
                "model: {kind: gpt, head_dim: 16}\n"
                "parameterization: {name: complete-d-p}\n"
                "sizes:\n"
                "  base: {width: 64, depth: 2}\n"
                "  widths: [64, 128, 256, 512]\n"
                "  target: {width: 1024, depth: 4, batch_size: 4096, tokens: 409600}"
            ),
            (
                "model: {kind: gpt, head_dim: 16}\n"
                "parameterization: {name: complete-d-p, betas: half-life}\n"
                "sizes:\n"
                "  base: {width: 64, depth: 2}\n"
                "  widths: [64, 128, 256, 512]\n"
                "  target: {width: 1024, depth: 4, batch_size: 4096, tokens: 409600}"
            ),
            at="^target",
        ),
    ),
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
