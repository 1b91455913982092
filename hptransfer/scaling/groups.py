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


def in_gauge(target: TargetFile, recipe: Recipe, gauge: Gauge) -> TargetFile:
    """The same target with its multipliers elsewhere.

    Args:
        target: the content of `target.yaml`, in any gauge.
        recipe: the recipe that the target is of.
        gauge: where multipliers live in the result; `plain`, of a format without multipliers of its own, leaves them
            where the recipe has them: its framework trains the same model.
    """
    if gauge in ("plain", target.gauge):
        return target
    if recipe.model.kind == "external":
        raise UsageError(
            "multipliers move only in a model that can be read",
            received=f"gauge {gauge}, of a recipe without `model`",
            hint="name the model in the recipe, or choose a format in the gauge `plain`",
        )
    plan = plan_recipe(recipe, target.size, defaults(recipe.training) | dict(target.hyperparameters), gauge)
    return target.model_copy(
        update={"gauge": plan.gauge, "notes": tuple(plan.notes), "parameters": groups_of(plan, recipe)}
    )
