"""Adafactor of torch: steps relative to each weight's own size, with factored averages of squared gradients."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from hptransfer.training.optimizers._unknown import no_effective_rate, no_threshold

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from hptransfer.training.optimizers.base import Optimizer


class Adafactor:
    """The learning rate is a share of the weight's RMS, at most 1/sqrt(step); the averages' weights are its own."""

    reads: frozenset[str] = frozenset()

    def build(self, groups: Sequence[dict[str, Any]], values: Mapping[str, float]) -> torch.optim.Optimizer:
        """As `Optimizer.build`; decay of beta2, eps and clipping of updates are torch's defaults."""
        import torch

        return torch.optim.Adafactor(groups)

    def constructor(self, values: Mapping[str, float]) -> str:
        """As `Optimizer.constructor`."""
        return "torch.optim.Adafactor(plan.param_groups(model))"

    def threshold(self, values: Mapping[str, float]) -> float:
        """None is known: a step is a share of the weight, however near a minimum is."""
        raise no_threshold("adafactor")

    def effective_rate(self, parameter: Tensor, group: Mapping[str, Any], state: Mapping[str, Any]) -> Tensor:
        """There is none: the size of the weight before the step is not kept."""
        raise no_effective_rate("adafactor")


OPTIMIZER: Optimizer = Adafactor()
