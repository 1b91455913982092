"""The model, built at base and target without memory, and its first step."""

from __future__ import annotations

from collections.abc import Iterator

from hptransfer.errors import Finding, MachineError, UsageError
from hptransfer.linting.base import FunctionRule
from hptransfer.recipe.defaults import defaults
from hptransfer.recipe.load import LoadedRecipe
from hptransfer.registry import look_in


def _cannot_be_planned(loaded: LoadedRecipe) -> Iterator[Finding]:
    """What a plan of the target would ask for; where there is one, why the first step of a trial would not run."""
    from hptransfer.engine.durations import with_durations
    from hptransfer.engine.rehearsal import rehearsal_findings
    from hptransfer.models.planning import plan_recipe

    if loaded.recipe.model.kind == "external":  # whoever trains builds it
        return
    look_in(loaded.root)
    try:
        timed = with_durations(loaded)
        recipe = timed.recipe
        plan_recipe(recipe, recipe.target_size(), defaults(recipe.training))
        yield from rehearsal_findings(timed)
    except (UsageError, MachineError) as error:
        place = loaded.place(("model",))
        for finding in error.findings:
            yield Finding(finding.rule, finding.received, finding.hint, place)


RULES = (
    FunctionRule(
        "recipe/model",
        "the model can be built at base and target, each of its parameters has a rule, and one forward and backward "
        "pass of the recipe's own loss runs on its own data",
        _cannot_be_planned,
        level="error",
        runs_code=True,
    ),
)
