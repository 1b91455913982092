"""Muon of torch for hidden weights and AdamW of torch for everything else, stepped as one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from hptransfer.training.optimizers._unknown import no_effective_rate, no_threshold

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from hptransfer.training.optimizers.base import Optimizer


class Muon:
    """Hidden weights follow the polar factor of a momentum; beta1, beta2 and eps are AdamW's, which trains the rest."""

    reads = frozenset({"beta1", "beta2", "eps", "momentum"})

    def build(self, groups: Sequence[dict[str, Any]], values: Mapping[str, float]) -> torch.optim.Optimizer:
        """As `Optimizer.build`; each group says under `optimizer` who trains it."""
        from hptransfer.training.optim import Muon as Stepper

        return Stepper(groups, momentum=values["momentum"], betas=(values["beta1"], values["beta2"]))

    def constructor(self, values: Mapping[str, float]) -> str:
        """As `Optimizer.constructor`; the groups say which factor of the shape Muon applies."""
        betas = f"({values['beta1']!r}, {values['beta2']!r})"
        return f"hptransfer.Muon(plan.param_groups(model), momentum={values['momentum']!r}, betas={betas})"

    def threshold(self, values: Mapping[str, float]) -> float:
        """None is known: a polar factor does not shrink as a minimum comes near."""
        raise no_threshold("muon")

    def effective_rate(self, parameter: Tensor, group: Mapping[str, Any], state: Mapping[str, Any]) -> Tensor:
        """There is none: polar factors are not proportional to gradients."""
        raise no_effective_rate("muon")


OPTIMIZER: Optimizer = Muon()
