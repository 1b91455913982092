"""Lion: each entry moves by the learning rate against the sign of an averaged gradient; weight decay is decoupled."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from hptransfer.training.optimizers._unknown import no_effective_rate, no_threshold

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from hptransfer.training.optimizers.base import Optimizer


class Lion:
    """Averages gradients by beta1 in the update's sign, by beta2 in what is kept (arXiv 2302.06675)."""

    reads = frozenset({"beta1", "beta2"})

    def build(self, groups: Sequence[dict[str, Any]], values: Mapping[str, float]) -> torch.optim.Optimizer:
        """As `Optimizer.build`."""
        from hptransfer.training.optim import Lion as Stepper

        return Stepper(groups, betas=(values["beta1"], values["beta2"]))

    def constructor(self, values: Mapping[str, float]) -> str:
        """As `Optimizer.constructor`."""
        return f"hptransfer.Lion(plan.param_groups(model), betas=({values['beta1']!r}, {values['beta2']!r}))"

    def threshold(self, values: Mapping[str, float]) -> float:
        """None is known: a sign does not shrink as a minimum comes near."""
        raise no_threshold("lion")

    def effective_rate(self, parameter: Tensor, group: Mapping[str, Any], state: Mapping[str, Any]) -> Tensor:
        """There is none: signs are not proportional to gradients."""
        raise no_effective_rate("lion")


OPTIMIZER: Optimizer = Lion()
