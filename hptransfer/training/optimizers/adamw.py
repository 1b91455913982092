"""AdamW of torch, with decoupled weight decay and the fused step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from hptransfer.training.optimizers.base import Optimizer


class AdamW:
    """Divides an average of gradients (beta1) by the root of an average of their squares (beta2), plus eps."""

    reads = frozenset({"beta1", "beta2", "eps"})

    def build(self, groups: Sequence[dict[str, Any]], values: Mapping[str, float]) -> torch.optim.Optimizer:
        """As `Optimizer.build`; each group brings its own eps."""
        import torch

        return torch.optim.AdamW(groups, betas=(values["beta1"], values["beta2"]), fused=True)

    def constructor(self, values: Mapping[str, float]) -> str:
        """As `Optimizer.constructor`."""
        return f"torch.optim.AdamW(plan.param_groups(model), betas=({values['beta1']!r}, {values['beta2']!r}))"

    def threshold(self, values: Mapping[str, float]) -> float:
        """(2 + 2 beta1) / (1 - beta1), 38 for 0.9 (Cohen et al., arXiv 2207.14484, equation 3)."""
        return (2 + 2 * values["beta1"]) / (1 - values["beta1"])

    def effective_rate(self, parameter: Tensor, group: Mapping[str, Any], state: Mapping[str, Any]) -> Tensor:
        """Rate / (sqrt(v) + eps), v the unbiased average of squares."""
        size: Tensor = (state["exp_avg_sq"] / (1 - group["betas"][1] ** float(state["step"]))).sqrt()
        rate: Tensor = group["lr"] / (size + group["eps"])
        return rate


OPTIMIZER: Optimizer = AdamW()
