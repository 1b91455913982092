"""The model, built at base and target without memory."""

from __future__ import annotations

from collections.abc import Iterator

from hptransfer.errors import Finding, MachineError, UsageError
from hptransfer.linting.base import FunctionRule
from hptransfer.recipe.defaults import defaults
from hptransfer.recipe.load import LoadedRecipe
from hptransfer.registry import look_in


def _cannot_be_planned(loaded: LoadedRecipe) -> Iterator[Finding]:
    """What a plan of the target would ask for."""
    from hptransfer.engine.durations import with_durations
    from hptransfer.models.api import plan_recipe

    if loaded.recipe.model.kind == "external":  # whoever trains builds it
        return
    look_in(loaded.root)
    try:
        recipe = with_durations(loaded).recipe
        plan_recipe(recipe, recipe.target_size(), defaults(recipe.training))
    except (UsageError, MachineError) as error:
        place = loaded.place(("model",))
        for finding in error.findings:
            yield Finding(finding.rule, finding.received, finding.hint, place)


RULES = (
    FunctionRule(
        "recipe/model",
        "the model can be built at base and target, and each of its parameters has a rule",
        _cannot_be_planned,
        level="error",
        runs_code=True,
    ),
)
