"""How built-in losses call a model, and what they say when something else comes back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from hptransfer.errors import UsageError

if TYPE_CHECKING:  # units and arguments of losses are asked for where torch is not imported
    from torch import Tensor, nn

    from hptransfer.training.batches import Batch

#: keys under which a batch that is a dict may hold what is to be predicted
LABELS = ("labels", "label", "targets", "target")


def logits_of(output: object, rule: str, chosen: int | str | None = None) -> Tensor:
    """What a model predicts, a floating tensor: its output, `.logits` of it as transformers returns, or what is chosen.

    Several outputs are never guessed at: nanoGPT's are (logits, loss), others' (loss, logits) or (logits, states).

    Args:
        output: whatever the model returned.
        rule: what it must return, for the message.
        chosen: which of several outputs: a place in a tuple, from 0, or a key or an attribute; None where there is one.

    Raises:
        UsageError: something else came, or there are several and none is chosen.
    """
    from torch import Tensor

    found = getattr(output, "logits", output) if chosen is None else _chosen(output, chosen)
    if chosen is None and isinstance(found, tuple | list | Mapping):
        raise UsageError(
            "a model that returns several outputs needs a loss that says which of them are the logits",
            received=_described(output),
            hint=_choice(found),
        )
    if not isinstance(found, Tensor) or not found.is_floating_point():
        raise UsageError(rule, received=_came(found if chosen is not None else output))
    return found


def _chosen(output: object, chosen: int | str) -> object:
    """One of several outputs."""
    try:
        if isinstance(chosen, str) and not isinstance(output, Mapping):
            return getattr(output, chosen)
        return output[chosen]  # type: ignore[index]  # whatever the model returned
    except (AttributeError, LookupError, TypeError):
        raise UsageError(
            "`output` of `training.loss_arguments` must name one of the model's outputs",
            received=f"{chosen!r} of {_came(output)}",
            hint=_choice(output),
        ) from None


def _choice(output: object) -> str | None:
    """The line that chooses what is probably meant: the first floating tensor with an axis of classes."""
    from torch import Tensor

    outputs = (
        output.items() if isinstance(output, Mapping) else enumerate(output) if isinstance(output, tuple | list) else ()
    )
    likely = [name for name, part in outputs if isinstance(part, Tensor) and part.is_floating_point() and part.ndim > 1]
    if not likely:
        return "return the logits from `forward`, or name your own loss (docs/data.md)"
    others = f" (or {', '.join(map(str, likely[1:]))})" if len(likely) > 1 else ""
    return f"write `training: {{loss_arguments: {{output: {likely[0]}}}}}`{others}, or return the logits alone"


def wrong_shape(logits: Tensor, rule: str, hint: str | None = None) -> UsageError:
    """The error where a model's prediction has another shape than the loss can take.

    Args:
        logits: what the model predicted.
        rule: what it must return.
        hint: what to do instead.
    """
    return UsageError(rule, received=_described(logits), hint=hint)


def inputs_and_labels(batch: Batch, loss: str) -> tuple[Batch, Tensor]:
    """The two parts of a batch.

    Args:
        batch: a pair (inputs, labels), or a dict with one of `LABELS`, whose other entries are the inputs.
        loss: its name, for the message.

    Raises:
        UsageError: it is neither.
    """
    from torch import Tensor

    inputs: Any = None
    labels: object = None
    if isinstance(batch, tuple | list) and len(batch) == 2:
        inputs, labels = batch
    elif isinstance(batch, Mapping):
        key = next((key for key in LABELS if key in batch), None)
        if key is not None:
            inputs, labels = {name: part for name, part in batch.items() if name != key}, batch[key]
    if not isinstance(labels, Tensor):
        raise UsageError(
            f"a batch for `{loss}` must be a pair (inputs, labels), or a dict with `labels`",
            received=_described(batch),
            hint="name data that give such batches, `data: {kind: python, ...}`, or your own loss (docs/data.md)",
        )
    return inputs, labels


def called(module: nn.Module, inputs: Batch) -> object:
    """The model's output: a dict gives keyword arguments, a tuple several arguments, a tensor one.

    Args:
        module: the model that is trained.
        inputs: what a batch holds besides labels.
    """
    if isinstance(inputs, Mapping):
        return module(**inputs)
    return module(*inputs) if isinstance(inputs, tuple | list) else module(inputs)


def windows(batch: Batch, loss: str) -> Tensor:
    """A batch of windows of tokens.

    Args:
        batch: of text or tokens.
        loss: its name, for the message.

    Raises:
        UsageError: it is something else.
    """
    from torch import Tensor

    if not isinstance(batch, Tensor) or batch.ndim != 2 or batch.is_floating_point() or batch.shape[1] < 2:
        raise UsageError(
            f"a batch for `{loss}` must be windows of tokens, B x (context + 1) integers",
            received=_described(batch),
            hint="name a loss for these data: `cross-entropy`, `mse` or your own (docs/data.md)",
        )
    return batch


def _described(batch: object) -> str:
    from hptransfer.training.batches import described

    return described(batch)


def _came(output: object) -> str:
    return _described(output) if isinstance(output, tuple | list | Mapping) else _typed(output)


def _typed(output: object) -> str:
    shape = getattr(getattr(output, "logits", output), "shape", None)
    return type(output).__name__ + (f" {tuple(shape)}" if shape is not None else "")
