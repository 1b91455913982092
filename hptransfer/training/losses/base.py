"""What a loss is here, and how a recipe's name leads to it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, cast

from hptransfer.errors import UsageError
from hptransfer.recipe import registered
from hptransfer.recipe.objective import NO_UNIT
from hptransfer.recipe.registered import argument_fault
from hptransfer.recipe.sections import Setting
from hptransfer.registry import Registry

if TYPE_CHECKING:
    from torch import Tensor, nn

    from hptransfer.training.batches import Batch


class LossFunction(Protocol):
    """What a user's own loss must be at least: a function."""

    def __call__(self, module: nn.Module, batch: Any, /) -> Tensor:
        """The mean of a positive number over the examples of a batch; training makes it small.

        Args:
            module: the model that is trained, called as the loss wants.
            batch: as the data give it. Of text and tokens: B windows of context + 1 integers below the vocabulary,
                B x (C + 1), int64. Of `kind: python`: whatever its function returns, arrays as tensors.

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


@dataclass(frozen=True, slots=True)
class _Bound:
    """A loss with its arguments; it gives the function batches that the module can take."""

    name: str
    function: LossFunction
    unit: str
    arguments: Mapping[str, Setting] = field(default_factory=dict)
    _seen: list[bool] = field(default_factory=list)

    def __call__(self, module: nn.Module, batch: Batch, /) -> Tensor:
        """As the function, whose first result is looked at.

        Raises:
            UsageError: it is no scalar of a floating type, or is without a gradient where training needs one.
        """
        from hptransfer.training.batches import fitted

        loss = self.function(module, fitted(batch, module), **self.arguments)
        if not self._seen:  # once: small models would notice it in every step
            self._seen.append(True)
            _require_scalar(self.name, loss)
        return loss


def _require_scalar(name: str, loss: object) -> None:
    import torch

    if not isinstance(loss, torch.Tensor):
        raise loss_refused(name, type(loss).__name__)
    if loss.ndim or not loss.is_floating_point():
        raise loss_refused(name, f"a tensor of shape {tuple(loss.shape)}, {str(loss.dtype).removeprefix('torch.')}")


def loss_refused(name: str, received: str) -> UsageError:
    """The error of a loss that returns what cannot be trained.

    Args:
        name: of the loss, as the recipe has it.
        received: what it returned, in words.
    """
    return UsageError(
        "a loss must return the mean over examples: one floating-point number that can be differentiated",
        received=f"{name}: {received}",
        hint="end it with `return losses.mean()`, computed by torch from what the model returned",
    )


def find_loss(name: str, arguments: Mapping[str, Setting] | None = None) -> Loss:
    """The loss of a name; of a plain function, with `NO_UNIT`.

    Args:
        name: of a built-in loss or of an entry point, or `module:function`.
        arguments: its keyword arguments; None for none.

    Raises:
        UsageError: there is none, it cannot be imported or called, or it has no such argument.
    """
    entry = LOSSES.look_up(name)
    if not callable(entry):
        raise UsageError("a loss must be a function of (module, batch)", received=f"{name}: {type(entry).__name__}")
    given = dict(arguments or {})
    fault = argument_fault(entry, given)
    if fault is not None:
        raise UsageError("`training.loss_arguments` must be arguments of the loss", received=f"{name}: {fault}")
    unit = getattr(entry, "unit", None)
    return _Bound(name, entry, unit if isinstance(unit, str) else NO_UNIT, given)
