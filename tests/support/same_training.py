"""Two plans that start and train a model alike."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from hptransfer.models.applied_plan import AppliedPlan


def require_same_training(plans: Sequence[AppliedPlan], modules: Sequence[nn.Module]) -> None:
    """Assert that each plan gives its module the same weights and the same parameter groups, bit for bit.

    Args:
        plans: two of one model.
        modules: one for each, alike before the plans are applied.
    """
    groups = []
    for applied, module in zip(plans, modules, strict=True):
        applied.init_(module, seed=5)
        names = {id(tensor): name for name, tensor in module.named_parameters()}
        groups.append(
            [{**group, "params": [names[id(p)] for p in group["params"]]} for group in applied.param_groups(module)]
        )

    assert groups[0] == groups[1]
    assert all(map(torch.equal, modules[0].state_dict().values(), modules[1].state_dict().values()))
