"""The groups of parameters of a target, with what clipping needs to know of them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

from hptransfer.parameterization.gauge import gauge_named
from hptransfer.parameterization.gradient_size import gradient_sizes
from hptransfer.parameterization.groups import ParameterGroup, group_rows
from hptransfer.parameterization.plan import Plan
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
