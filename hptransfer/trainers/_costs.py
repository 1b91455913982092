"""Memory of a run, counted on the meta device besides its operations: nothing is trained or allocated."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from hptransfer.hyperparameters import OPTIMIZER_VALUES
from hptransfer.recipe.defaults import defaults
from hptransfer.recipe.schema import Recipe
from hptransfer.sizes import Size
from hptransfer.trainers._flops import flops_of, forward_of, or_reason
from hptransfer.trainers._planned_model import planned
from hptransfer.trials.run_cost import RunCost
from hptransfer.trials.spec import TrialSpec

if TYPE_CHECKING:  # torch is imported only where a worker counts
    from torch import nn

#: a recipe as JSON, and names of parameters -> groups, each with the names of its parameters
_GROUPS: dict[tuple[str, tuple[str, ...]], list[tuple[dict[str, Any], list[str]]]] = {}


def run_cost(recipe: Recipe, size: Size, root: Path, examples: int | None = None) -> RunCost:
    """FLOPs and memory of one run.

    Args:
        recipe: gives model, loss, optimizer and parameterization.
        size: width, depth, batch and tokens of the run.
        root: the recipe's folder, where data and modules are looked for.
        examples: that go through the model at once; None, or more than the batch: the whole batch.

    Raises:
        UsageError: the model cannot be built at this size.
    """
    from hptransfer.models.build import build_model

    module = build_model(recipe.model, size.width, size.depth, "meta")
    if recipe.training.precision == "float64":  # with bfloat16 weights and moments stay float32
        module.double()
    at_once = min(size.batch_size, examples or size.batch_size)
    forward = forward_of(recipe, module, at_once, root)
    flops, notes = flops_of(recipe, size, module, at_once, forward)
    activations = None
    if isinstance(forward, str):
        notes.append(f"activations are not known: the model does not run on the meta device ({forward})")
    else:
        activations = forward.kept
    optimizer = _optimizer_bytes(recipe, size, module)
    if isinstance(optimizer, str):
        notes.append(f"the optimizer's memory is not known ({optimizer})")
    parameters = list(module.parameters())
    return RunCost(
        size=size,
        flops=flops,
        parameters=sum(parameter.numel() for parameter in parameters),
        weights=sum(tensor.nbytes for tensor in (*parameters, *module.buffers())),
        gradients=sum(parameter.nbytes for parameter in parameters if parameter.requires_grad),
        optimizer=None if isinstance(optimizer, str) else optimizer,
        activations=activations,
        examples=at_once,
        notes=tuple(notes),
    )


def _optimizer_bytes(recipe: Recipe, size: Size, module: nn.Module) -> int | str:
    """What the plan's optimizer keeps of this model; why it is not known."""
    from hptransfer.models.forward_cost import state_bytes
    from hptransfer.training.optimizers.base import OPTIMIZERS

    optimizer, values = OPTIMIZERS.look_up(recipe.training.optimizer), defaults(recipe.training)

    def counted() -> int:
        groups = _groups(recipe, size, module)
        return state_bytes(
            groups, lambda chosen: optimizer.build(chosen, {key: values[key] for key in OPTIMIZER_VALUES})
        )

    return or_reason(counted)


def _groups(recipe: Recipe, size: Size, module: nn.Module) -> list[dict[str, Any]]:
    """Parameter groups as the plan makes them, with the rates of some size, on which no memory depends.

    Which group a parameter is in follows from its role, which no width changes; so models with the same parameters are
    planned once.
    """
    from hptransfer.models.applied_plan import AppliedPlan

    tensors = dict(module.named_parameters())
    key = recipe.model_dump_json(), tuple(tensors)
    if key not in _GROUPS:
        names = {id(tensor): name for name, tensor in tensors.items()}
        planned_groups = AppliedPlan(planned(TrialSpec(recipe, Path(), size, {}, 0)).rows).param_groups(module)
        _GROUPS[key] = [(group, [names[id(tensor)] for tensor in group["params"]]) for group in planned_groups]
    return [{**group, "params": [tensors[name] for name in members]} for group, members in _GROUPS[key]]
