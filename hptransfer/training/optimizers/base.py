"""What an optimizer is here. Its rules are those that `parameterization.tables.FAMILIES` gives its name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, cast

from hptransfer.recipe import registered
from hptransfer.registry import Registry

if TYPE_CHECKING:
    import torch
    from torch import Tensor


class Optimizer(Protocol):
    """One optimizer. Its module imports torch inside methods only: recipes are read without torch."""

    @property
    def reads(self) -> frozenset[str]:
        """Those of `hyperparameters.OPTIMIZER_VALUES` on which its steps depend."""

    def build(self, groups: Sequence[dict[str, Any]], values: Mapping[str, float]) -> torch.optim.Optimizer:
        """The optimizer of torch's kind that takes the steps.

        Args:
            groups: parameter groups, each with "params", "lr" (the peak), "weight_decay" and perhaps "eps"; the
                optimizer may keep and change these dicts.
            values: beta1, beta2 and momentum at the size that is trained, by name.
        """

    def constructor(self, values: Mapping[str, float]) -> str:
        """The line of Python that makes it from a `plan` and a `model`, for the header of `target.yaml`.

        Args:
            values: beta1, beta2 and momentum at the target's size, by name.
        """

    def threshold(self, values: Mapping[str, float]) -> float:
        """Largest top eigenvalue times effective rate at which a quadratic converges, a pure number.

        Args:
            values: beta1, beta2 and momentum at the size that is trained, by name.

        Raises:
            UsageError: no threshold is known for it.
        """

    def effective_rate(self, parameter: Tensor, group: Mapping[str, Any], state: Mapping[str, Any]) -> Tensor:
        """By how much each entry of a parameter moves per unit of (averaged) gradient, in the parameter's shape.

        Args:
            parameter: a tensor that has been trained for at least one step.
            group: its group in the optimizer.
            state: what the optimizer keeps of the tensor.

        Raises:
            UsageError: its steps are not proportional to an averaged gradient.
        """


OPTIMIZERS = cast("Registry[Optimizer]", registered.OPTIMIZERS)
