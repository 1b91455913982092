"""The groups of parameters of a target, with what clipping needs to know of them, and in another gauge."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

from hptransfer.artifacts.target import TargetFile
from hptransfer.errors import UsageError
from hptransfer.models.planning import plan_recipe
from hptransfer.parameterization.gauge import Gauge, gauge_named
from hptransfer.parameterization.gradient_size import gradient_sizes
from hptransfer.parameterization.groups import ParameterGroup, group_rows
from hptransfer.parameterization.moved_multiplier import whole_multiplier, with_multiplier
from hptransfer.parameterization.plan import Plan
from hptransfer.recipe.defaults import defaults
from hptransfer.recipe.schema import Recipe


def target_groups(plan: Plan, *, gradient_sizes: Mapping[str, float] | None = None) -> tuple[ParameterGroup, ...]:
    """Groups of parameters with the rules that scale something; unscaled quantities need no line.

    Args:
        plan: of the target, one row per parameter.
        gradient_sizes: expected size of each parameter's gradient by name, where clipping needs it; None elsewhere.
    """
    groups = []
    for group in group_rows(plan.rows):
        scaled = {quantity: rule for quantity, rule in group.rules.items() if rule != "1"}
        sources = {quantity: group.sources[quantity] for quantity in scaled}
        known = (size for name, size in (gradient_sizes or {}).items() if re.fullmatch(group.pattern, name))
        groups.append(replace(group, rules=scaled, sources=sources, gradient_size=next(known, None)))
    return tuple(groups)


def groups_of(plan: Plan, recipe: Recipe) -> tuple[ParameterGroup, ...]:
    """The groups, with the sizes of gradients where the recipe clips relative to them.

    Args:
        plan: of the target, one row per parameter.
        recipe: what the plan is of.
    """
    if recipe.training.clip is None or recipe.training.clip_norm != "scaled":
        return target_groups(plan)
    parameters, gauge = [row.parameter for row in plan.rows], gauge_named(plan.gauge)
    sizes = gradient_sizes(recipe.parameterization, plan.base, plan.size, parameters, plan.hyperparameters, gauge)
    return target_groups(plan, gradient_sizes=sizes)


def in_gauge(target: TargetFile, recipe: Recipe | None, gauge: Gauge) -> TargetFile:
    """The same target with its multipliers elsewhere.

    Args:
        target: the content of `target.yaml`, in any gauge.
        recipe: the recipe that the target is of; None where only its file is at hand.
        gauge: where multipliers live in the result; `plain`, of a format without multipliers of its own, leaves them
            where the recipe has them: its framework trains the same model.
    """
    if gauge in ("plain", target.gauge) or not target.parameters:
        return target
    if gauge == "multipliers" and target.gauge == "plain":
        return _with_multipliers(target)
    if recipe is None:
        raise UsageError(
            f"a format in the gauge `{gauge}` must be planned anew",
            received=f"a target in the gauge `{target.gauge}`, without its recipe",
            hint="`hptransfer scale RECIPE --format NAME` does so",
        )
    if recipe.model.kind == "external":
        raise UsageError(
            "multipliers move only in a model that can be read",
            received=f"gauge {gauge}, of a recipe without `model`",
            hint="name the model in the recipe, or choose a format in the gauge `plain`",
        )
    plan = plan_recipe(recipe, target.size, defaults(recipe.training) | dict(target.hyperparameters), gauge)
    return target.in_form({"gauge": plan.gauge, "notes": tuple(plan.notes), "parameters": groups_of(plan, recipe)})


def _with_multipliers(target: TargetFile) -> TargetFile:
    """What the plain form moved into init and optimizer goes back into `forward`."""
    if target.recipe and target.model is None:
        raise UsageError(
            "a target must say what its gauge absorbed, to be written with multipliers in `forward`",
            received=f"the target of {target.recipe}, which an earlier version wrote",
            hint="write it again with `hptransfer scale`",
        )
    groups = tuple(with_multiplier(group, whole_multiplier(group), target.optimizer) for group in target.parameters)
    return target.in_form({"gauge": "multipliers", "parameters": groups})
