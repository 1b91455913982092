"""A run's plan, and its model as the plan has it: started, its logits multiplied where that is asked for, in groups."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hptransfer.parameterization.plan import Plan
from hptransfer.trials.spec import TrialSpec

if TYPE_CHECKING:  # torch is imported only where a worker trains
    import torch
    from torch import nn


def planned_model(spec: TrialSpec, device: torch.device | None = None) -> tuple[nn.Module, list[dict[str, Any]]]:
    """A model initialised by the plan of its size, and its optimizer groups.

    Args:
        spec: the run, with the precision of its weights.
        device: where the model is put after it was drawn, so that all devices begin with the same numbers; None for
            that of a run of one process.
    """
    import torch

    from hptransfer.models.applied_plan import AppliedPlan
    from hptransfer.models.build import build_model
    from hptransfer.models.logit_scale import scale_logits
    from hptransfer.training.device import default_precision, device_of_run

    precision = spec.recipe.training.precision
    applied = AppliedPlan.from_plan(planned(spec))
    own = applied.starts_by_itself
    if own:  # the model's own draws are those that the user's script would make
        torch.manual_seed(spec.seed)
    with default_precision("float32" if own else precision):
        module = build_model(spec.recipe.model, spec.size.width, spec.size.depth)
    # weights are drawn in float32, so that runs begin with the same numbers at every precision
    for parameter in module.parameters():
        parameter.data = parameter.data.float()
    if applied.gauge == "plain":
        scale_logits(module, applied)
    applied.init_(module, spec.seed)
    if precision == "float64":
        module.to(torch.float64)
    module.to(device_of_run(spec.recipe.training.device) if device is None else device)
    groups = applied.param_groups(module)
    if spec.recipe.training.clip_norm == "scaled":
        names = {parameter: name for name, parameter in module.named_parameters()}
        sizes = applied.gradient_sizes(spec.recipe.parameterization)
        for group in groups:
            group["gradient_sizes"] = [sizes[names[parameter]] for parameter in group["params"]]
    return module, groups


def planned(spec: TrialSpec) -> Plan:
    """The plan of the spec's size, in the recipe's gauge."""
    from hptransfer.models.planning import options_of, plan_reading
    from hptransfer.models.recipe_reading import reading_of

    recipe = spec.recipe
    return plan_reading(
        recipe.parameterization,
        spec.base,
        spec.size,
        reading_of(recipe.model.model_dump_json(), spec.base, spec.size, recipe.init_source, recipe.covers),
        spec.hyperparameters,
        optimizer=recipe.training.optimizer,
        gauge=recipe.parameterization.gauge,
        options=options_of(recipe.parameterization),
    ).whole_plan
