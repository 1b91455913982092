"""What a loss is here, and how a recipe's name leads to it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, cast

from hptransfer.errors import UsageError
from hptransfer.recipe import registered
from hptransfer.registry import Registry

if TYPE_CHECKING:
    from torch import Tensor, nn


class LossFunction(Protocol):
    """What a user's own loss must be at least: a function."""

    def __call__(self, module: nn.Module, tokens_BxC1: Tensor, /) -> Tensor:
        """The mean of a positive number over the examples of a batch; training makes it small.

        Args:
            module: the model that is trained, called as the loss wants.
            tokens_BxC1: B examples of context + 1 bytes each, integers in [0, 256), B x (C + 1), int64.

        Returns:
            A scalar of the model's floating type that can be differentiated. It must be the mean over examples: a
            batch may be split between processes, and ladders of batch sizes compare it.
        """


class Loss(LossFunction, Protocol):
    """A loss with the unit in which its numbers are."""

    @property
    def unit(self) -> str:
        """Of a value, for example "nats"."""


LOSSES = cast("Registry[LossFunction]", registered.LOSSES)

#: of losses that do not say theirs
NO_UNIT = "units of the loss"


@dataclass(frozen=True, slots=True)
class _WithoutUnit:
    """A function that says no unit."""

    function: LossFunction
    unit: str = NO_UNIT

    def __call__(self, module: nn.Module, tokens_BxC1: Tensor, /) -> Tensor:
        """As the function."""
        return self.function(module, tokens_BxC1)


def find_loss(name: str) -> Loss:
    """The loss of a name; of a plain function, with `NO_UNIT`.

    Args:
        name: of a built-in loss or of an entry point, or `module:function`.

    Raises:
        UsageError: there is none, it cannot be imported, or it cannot be called.
    """
    entry = LOSSES.look_up(name)
    if not callable(entry):
        raise UsageError("a loss must be a function of (module, tokens)", received=f"{name}: {type(entry).__name__}")
    return cast("Loss", entry) if isinstance(getattr(entry, "unit", None), str) else _WithoutUnit(entry)
