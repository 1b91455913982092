"""Mean cross-entropy of labels: classes of images, of sequences, of positions.

Tensor names carry their shape: B batch, V classes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hptransfer.training.losses._calls import called, inputs_and_labels, logits_of, wrong_shape

if TYPE_CHECKING:
    from torch import Tensor, nn

    from hptransfer.training.losses.base import Loss

_RULE = "a model that is trained with `cross-entropy` must return logits with the classes along the last axis"


class CrossEntropy:
    """In nats per label."""

    unit = "nats"

    def __call__(self, module: nn.Module, batch: Any, /, *, output: int | str | None = None) -> Tensor:
        """As `LossFunction`; of (inputs, labels) or a dict with labels: integers, B, or B x ... for several an example.

        Args:
            module: maps the inputs to logits, B x V or B x ... x V.
            batch: inputs and labels, a pair or a dict.
            output: which of several outputs of the module are the logits: a place in a tuple, from 0, or a key or an
                attribute; None where it returns them alone, or as `.logits`.

        Raises:
            UsageError: the batch has no labels, or the module returns something else than logits, B x V or B x ... x V.
        """
        from torch.nn import functional

        inputs, labels = inputs_and_labels(batch, "cross-entropy")
        logits = logits_of(called(module, inputs), _RULE, output)
        if logits.ndim < 2 or logits.shape[:-1] != labels.shape or labels.is_floating_point():
            kind = str(labels.dtype).removeprefix("torch.")
            hint = f"the labels are {kind} {tuple(labels.shape)}: integers, one for each vector of logits"
            raise wrong_shape(logits, _RULE, hint)
        return functional.cross_entropy(logits.flatten(0, -2), labels.flatten().long())


LOSS: Loss = CrossEntropy()
