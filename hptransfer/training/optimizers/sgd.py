"""SGD of torch with heavy-ball momentum; its weight decay is coupled."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from hptransfer.training.optimizers.base import Optimizer


class Sgd:
    """Follows a velocity: momentum times the last one, plus the gradient."""

    reads = frozenset({"momentum"})

    def build(self, groups: Sequence[dict[str, Any]], values: Mapping[str, float]) -> torch.optim.Optimizer:
        """As `Optimizer.build`."""
        import torch

        return torch.optim.SGD(groups, momentum=values["momentum"], foreach=True)

    def constructor(self, values: Mapping[str, float]) -> str:
        """As `Optimizer.constructor`."""
        return f"torch.optim.SGD(plan.param_groups(model), momentum={values['momentum']!r})"

    def threshold(self, values: Mapping[str, float]) -> float:
        """2 + 2 momentum, that of a heavy ball."""
        return 2 + 2 * values["momentum"]

    def effective_rate(self, parameter: Tensor, group: Mapping[str, Any], state: Mapping[str, Any]) -> Tensor:
        """The learning rate, for every entry."""
        import torch

        return torch.full_like(parameter, group["lr"]).detach()


OPTIMIZER: Optimizer = Sgd()
