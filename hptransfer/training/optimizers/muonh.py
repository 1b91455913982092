"""MuonH: Muon on a sphere for hidden weights, which keep their norm; AdamW for everything else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from hptransfer.training.optimizers._unknown import no_effective_rate, no_threshold

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from hptransfer.training.optimizers.base import Optimizer


class MuonH:
    """Hidden weights move by a share of their norm along a polar factor; beta1, beta2 and eps are AdamW's."""

    reads = frozenset({"beta1", "beta2", "eps", "momentum"})

    def build(self, groups: Sequence[dict[str, Any]], values: Mapping[str, float]) -> torch.optim.Optimizer:
        """As `Optimizer.build`; each group says under `optimizer` who trains it."""
        from hptransfer.training.optim import MuonH as Stepper

        return Stepper(groups, momentum=values["momentum"], betas=(values["beta1"], values["beta2"]))

    def constructor(self, values: Mapping[str, float]) -> str:
        """As `Optimizer.constructor`."""
        betas = f"({values['beta1']!r}, {values['beta2']!r})"
        return f"hptransfer.MuonH(plan.param_groups(model), momentum={values['momentum']!r}, betas={betas})"

    def threshold(self, values: Mapping[str, float]) -> float:
        """None is known: a step is a share of the weight, however near a minimum is."""
        raise no_threshold("muonh")

    def effective_rate(self, parameter: Tensor, group: Mapping[str, Any], state: Mapping[str, Any]) -> Tensor:
        """There is none: a step's size does not depend on the gradient's."""
        raise no_effective_rate("muonh")


OPTIMIZER: Optimizer = MuonH()
