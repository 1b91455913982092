"""AdamH: Adam on a sphere for hidden weights, which keep their norm; AdamW for everything else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from hptransfer.training.optimizers._unknown import no_effective_rate, no_threshold

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from hptransfer.training.optimizers.base import Optimizer


class AdamH:
    """Hidden weights move by a share of their norm along Adam's direction; both parts have the same betas."""

    reads = frozenset({"beta1", "beta2", "eps"})

    def build(self, groups: Sequence[dict[str, Any]], values: Mapping[str, float]) -> torch.optim.Optimizer:
        """As `Optimizer.build`; each group says under `optimizer` who trains it."""
        from hptransfer.training.optim import AdamH as Stepper

        return Stepper(groups, betas=(values["beta1"], values["beta2"]))

    def constructor(self, values: Mapping[str, float]) -> str:
        """As `Optimizer.constructor`."""
        return f"hptransfer.AdamH(plan.param_groups(model), betas=({values['beta1']!r}, {values['beta2']!r}))"

    def threshold(self, values: Mapping[str, float]) -> float:
        """None is known: a step is a share of the weight, however near a minimum is."""
        raise no_threshold("adamh")

    def effective_rate(self, parameter: Tensor, group: Mapping[str, Any], state: Mapping[str, Any]) -> Tensor:
        """There is none: a step's size does not depend on the gradient's."""
        raise no_effective_rate("adamh")


OPTIMIZER: Optimizer = AdamH()
