"""Hooks that multiply logits, and whether a module has those that a plan needs."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from torch import Tensor, nn

from hptransfer.errors import UsageError
from hptransfer.parameterization.groups import ParameterGroup
from hptransfer.parameterization.roles import Role


class LogitFactor:
    """What multiplies the logits of one table; copied and pickled with its module.

    Args:
        name: name of the table.
        factor: what its logits are multiplied by, positive.

    Attributes:
        name: name of the table.
        factor: what its logits are multiplied by.
    """

    def __init__(self, name: str, factor: float) -> None:
        self.name, self.factor = name, factor


class InputFactor(LogitFactor):
    """Multiplies the input of a linear readout."""

    def __call__(
        self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """What the readout is called with."""
        if args:
            return (self.factor * args[0], *args[1:]), kwargs
        return args, kwargs | {"input": self.factor * kwargs["input"]}


class OutputFactor(LogitFactor):
    """Multiplies the logits of a module, or of a model that returns them alone or under `.logits`."""

    def __call__(self, module: nn.Module, args: tuple[Any, ...], output: Any) -> Any:
        """The output with its logits multiplied.

        Raises:
            UsageError: the output has no logits, or a loss that was computed of those that were not multiplied.
        """
        if isinstance(output, Tensor):
            return self.factor * output
        logits = getattr(output, "logits", None)
        if isinstance(logits, Tensor) and getattr(output, "loss", None) is None:
            output.logits = self.factor * logits
            return output
        raise UsageError(
            f"to be multiplied, logits of {self.name} must be a model's output, or its `.logits` without a loss",
            received=type(output).__name__,
            hint=f"multiply the logits by {self.factor:.6g} in `forward`, and plan in the gauge `multipliers`",
        )


def tied_factors(groups: Iterable[ParameterGroup]) -> dict[re.Pattern[str], float]:
    """Pattern of the names of each tied table -> what a plan asks `forward` to multiply its logits by.

    Args:
        groups: all groups of the plan.
    """
    tied = Role.TIED_EMBEDDING.value
    return {re.compile(group.pattern): group.multiplier for group in groups if group.role == tied}


def factors_in(module: nn.Module) -> dict[str, float]:
    """Name of each table -> what hooks multiply its logits by.

    Args:
        module: a model, maybe wrapped or a copy.
    """
    hooks: list[object] = [
        hook for part in module.modules() for hook in (*part._forward_pre_hooks.values(), *part._forward_hooks.values())
    ]
    factors = [hook for hook in hooks if isinstance(hook, LogitFactor)]
    return {each.name: each.factor for each in factors}


def require_scaled(module: nn.Module, groups: Iterable[ParameterGroup], names: Iterable[str]) -> None:
    """Refuse a module whose logits nobody multiplies, for a plan that leaves that to hooks.

    Args:
        module: the model that the plan is applied to.
        groups: all groups of the plan.
        names: full names of the module's parameters.

    Raises:
        UsageError: a factor is missing, or another than the plan's.
    """
    known = list(names)
    wanted: Mapping[str, float] = {
        name: factor
        for pattern, factor in tied_factors(groups).items()
        for name in known
        if factor != 1 and pattern.fullmatch(name)
    }
    has = factors_in(module)
    lacking = [f"{name} times {factor:.6g}" for name, factor in wanted.items() if has.get(name) != factor]
    # a hook of another plan, where this one asks for nothing
    lacking += [f"{name} times 1, not {has[name]:.6g}" for name in has if name not in wanted]
    if lacking:
        raise UsageError(
            "the logits of a table that is looked up and reads out must be multiplied by what the plan asks for",
            received=", ".join(lacking),
            hint="call `hptransfer.scale_logits(model, plan)` before the plan is applied; where `forward` multiplies "
            'them already, plan in the gauge "multipliers"',
        )
