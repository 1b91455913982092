"""Mean squared error."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hptransfer.training.losses._calls import called, inputs_and_labels, logits_of, wrong_shape

if TYPE_CHECKING:
    from torch import Tensor, nn

    from hptransfer.training.losses.base import Loss

_RULE = "a model that is trained with `mse` must return numbers of the targets' shape"


class MeanSquaredError:
    """In squared units of the target."""

    unit = "squared units of the target"

    def __call__(self, module: nn.Module, batch: Any, /, *, output: int | str | None = None) -> Tensor:
        """As `LossFunction`; of (inputs, targets) or a dict with targets, whose mean over all numbers is taken.

        Args:
            module: maps the inputs to numbers of the targets' shape.
            batch: inputs and targets, a pair or a dict.
            output: which of several outputs of the module are the predictions: a place in a tuple, from 0, or a key or
                an attribute; None where it returns them alone, or as `.logits`.

        Raises:
            UsageError: the batch has no targets, or the module returns another shape, which is never broadcast.
        """
        inputs, targets = inputs_and_labels(batch, "mse")
        found = logits_of(called(module, inputs), _RULE, output)
        if found.shape != targets.shape:
            raise wrong_shape(found, _RULE, f"the targets are {tuple(targets.shape)}: add or remove an axis of one")
        return (found - targets.to(found.dtype)).square().mean()


LOSS: Loss = MeanSquaredError()
