"""What a model takes and returns, found by running it once at a small size with inputs that are guessed."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from hptransfer.probe.calm import calm
from hptransfer.probe.example import guesses, smallest_table
from hptransfer.recipe.data_skeleton import InputShape
from hptransfer.user_code import described_error

#: names of arguments of `forward` that take what is to be predicted
_TARGETS = ("targets", "labels", "target")
#: positions that are tried, the most first
_CONTEXTS = (64, 32, 16, 8, 4)
#: keys of configurations that say how many positions a model is for
_POSITIONS = ("max_position_embeddings", "n_positions", "context_length", "max_seq_len", "n_ctx", "seq_len")


@dataclass(frozen=True, slots=True)
class FirstRun:
    """What was seen.

    Attributes:
        inputs: tensors that it takes.
        output: lengths of the axes of one example's prediction; None where none was found in what it returned.
        chosen: which of several outputs the prediction is: a place in a tuple or a key; None for the only one.
        causal: whether later tokens leave earlier predictions as they are; None where it takes no tokens.
        context: tokens of an example that it can take, at most 64; None where it takes none.
        own_loss: argument of `forward` which makes it return its own loss too; None where there is none.
        own_loss_place: where in what it then returns the loss is.
    """

    inputs: tuple[InputShape, ...]
    output: tuple[int, ...] | None
    chosen: int | str | None = None
    causal: bool | None = None
    context: int | None = None
    own_loss: str | None = None
    own_loss_place: int | str | None = None

    @property
    def takes_tokens(self) -> bool:
        """Whether it takes sequences of tokens and nothing else."""
        return self.context is not None


def first_run(module: nn.Module) -> FirstRun | str:
    """Run a model with the first guessed input that it takes.

    Args:
        module: on the CPU, at a small size; its parameters stay as they are.

    Returns:
        What was seen; or why no guess was taken, in one line, that of the first.
    """
    reason = "no input could be guessed"
    with calm(), torch.no_grad():
        module.eval()
        for index, example in enumerate(guesses(module, max(_CONTEXTS))):
            try:
                arguments, named = example.make(module, 0, 0)
                returned = module(*arguments, **named)
            except (Exception, SystemExit) as error:  # the user's code may raise anything
                reason = described_error(error) if not index else reason
                continue
            return _seen(module, arguments, named, returned)
    return reason


def _seen(module: nn.Module, arguments: tuple[Any, ...], named: Mapping[str, Any], returned: object) -> FirstRun:
    given = [(None, each) for each in arguments] + list(named.items())
    tensors = [(name, each) for name, each in given if isinstance(each, Tensor)]
    inputs = tuple(
        InputShape(name, tuple(each.shape[1:]), None if each.is_floating_point() else smallest_table(module))
        for name, each in tensors
    )
    chosen, output = next(_predictions(returned), (None, None))
    shape = None if output is None else tuple(output.shape[1:])
    first = tensors[0][1] if tensors else None
    if len(tensors) != 1 or first is None or first.is_floating_point() or first.ndim != 2:
        return FirstRun(inputs, shape, chosen)
    context, causal, names = _context(module), _is_causal(module, first, chosen), _own_loss(module, first)
    return FirstRun(inputs, shape, chosen, causal, context or first.shape[1], *names)


def _predictions(returned: object) -> Iterator[tuple[int | str | None, Tensor]]:
    """Floating tensors with the examples along their first axis, and how a loss names each."""
    logits = getattr(returned, "logits", returned)
    if isinstance(logits, Tensor):
        if logits.is_floating_point() and logits.ndim:
            yield None, logits
        return
    parts = (
        logits.items() if isinstance(logits, Mapping) else enumerate(logits) if isinstance(logits, tuple | list) else ()
    )
    for name, part in parts:
        if isinstance(part, Tensor) and part.is_floating_point() and part.ndim:
            yield name, part


def _prediction(returned: object, chosen: int | str | None) -> Tensor | None:
    return next((tensor for name, tensor in _predictions(returned) if name == chosen), None)


def _context(module: nn.Module) -> int | None:
    """The most positions that it takes and is for; None where only that of the guess is known."""
    # rotary positions take any number; how many they are for, only the configuration says
    longest = min(_CONTEXTS[0], _stated_positions(module) or _CONTEXTS[0])
    for length in (longest, *(shorter for shorter in _CONTEXTS if shorter < longest)):
        try:
            module(torch.randint(0, smallest_table(module), (2, length)))
        except (Exception, SystemExit):  # noqa: S112  # a shorter one is tried
            continue
        return length
    return None


def _stated_positions(module: nn.Module) -> int | None:
    config = getattr(module, "config", None)
    text = getattr(config, "text_config", None) or config
    stated = (getattr(text, key, None) for key in _POSITIONS)
    return next((value for value in stated if type(value) is int and value > 0), None)


def _is_causal(module: nn.Module, tokens: Tensor, chosen: int | str | None) -> bool | None:
    """Whether the last token changes no prediction before it."""
    changed = tokens.clone()
    changed[:, -1] = (changed[:, -1] + 1) % smallest_table(module)
    try:
        before, after = (_prediction(module(each), chosen) for each in (tokens, changed))
    except (Exception, SystemExit):
        return None
    if before is None or after is None or before.shape[:2] != tokens.shape:
        return None
    return bool(torch.allclose(before[:, :-1], after[:, :-1], atol=1e-5))


def _own_loss(module: nn.Module, tokens: Tensor) -> tuple[str | None, int | str | None]:
    """The argument that makes it return its own loss, and where in what it returns that is."""
    try:
        parameters = inspect.signature(module.forward).parameters
    except (TypeError, ValueError):
        return None, None
    name = next((each for each in _TARGETS if each in parameters), None)
    if name is None:
        return None, None
    try:
        returned = module(tokens, **{name: tokens})
    except (Exception, SystemExit):
        return None, None
    if isinstance(getattr(returned, "loss", None), Tensor):
        return name, "loss"
    parts = enumerate(returned) if isinstance(returned, tuple | list) else ()
    place = next((place for place, part in parts if isinstance(part, Tensor) and part.ndim == 0), None)
    return (None, None) if place is None else (name, place)
