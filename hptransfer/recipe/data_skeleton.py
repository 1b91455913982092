"""Made-up batches in the shapes that a model takes, as a file of functions for a user to fill in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

_HEAD = '''\
"""MADE-UP DATA, written by `hptransfer init` so that the recipe beside this file runs: replace it by your own.

Random inputs, and targets that a fixed random teacher gives them: a model can learn them, and what it says of learning
rates is true of nothing that you care about. Keep the two functions and their arguments. Both must be pure: the same
arguments always give the same batch (docs/data.md).
"""

import functools

import numpy as np

#: of each input: its name (None: positional), lengths of one example's axes, and integers below (None: numbers)
INPUTS = {inputs}
#: lengths of the axes of one example's {target}
TARGET = {shape}
{classes}#: columns of the first input that the teacher looks at, at most
SEEN = 64


def training_batch(seed, step, batch_size):
    """`batch_size` examples: replace this by yours, drawn by seed and step alone."""
    return _batch(np.random.default_rng((seed, step)), batch_size)


def evaluation_batch(index, batch_size):
    """Part `index` of a fixed set that training never sees: replace this by yours."""
    return _batch(np.random.default_rng((2**40, index)), batch_size)


def _batch(random, count):
    inputs = [
        random.normal(size=(count, *shape)) if rows is None else random.integers(rows, size=(count, *shape))
        for _, shape, rows in INPUTS
    ]
    first = inputs[0].reshape(count, -1)[:, :SEEN].astype(float)
    scores = np.tanh(first / (1 if INPUTS[0][2] is None else INPUTS[0][2])) @ _teacher(first.shape[1])
'''
_CLASSES = """\
    labels = scores.reshape(count, *TARGET, CLASSES).argmax(-1)
    return {returned}
"""
_NUMBERS = """\
    targets = scores.reshape(count, *TARGET)
    return {returned}
"""
_TAIL = '''

@functools.cache
def _teacher(columns):
    """Columns x what is predicted: the same in every process."""
    predicted = int(np.prod(TARGET)){times}
    return np.random.default_rng(2026).normal(size=(columns, predicted)) / columns**0.5
'''
_OWN_LOSS = '''\
"""The model's own loss, for the recipe beside this file: what `forward` returns where it is given the next tokens."""


def own_loss(model, batch):
    """The mean loss of B windows of context + 1 tokens.

    hptransfer asks for a mean over the examples, one positive number with a gradient.
    """
    return model(batch[:, :-1], {name}=batch[:, 1:]){place}
'''


@dataclass(frozen=True, slots=True)
class InputShape:
    """One tensor that a model takes.

    Attributes:
        name: argument's name; None for a positional one.
        shape: lengths of the axes of one example.
        rows: integers below this number; None for floating numbers.
    """

    name: str | None
    shape: tuple[int, ...]
    rows: int | None


def data_skeleton(inputs: Sequence[InputShape], target: tuple[int, ...], classes: int | None) -> str:
    """The file's text.

    Args:
        inputs: what the model takes, at least one.
        target: lengths of the axes of one example's target.
        classes: number of classes where the target is labels; None where it is numbers.
    """
    listed = tuple((each.name, each.shape, each.rows) for each in inputs)
    what, key = ("targets", "targets") if classes is None else ("labels", "labels")
    if any(each.name for each in inputs):
        parts = "**{name: part for (name, _, _), part in zip(INPUTS, inputs)}"
        returned = f'{{{parts}, "{key}": {what}}}'
    else:
        returned = f"{'inputs[0]' if len(inputs) == 1 else 'tuple(inputs)'}, {what}"
    head = _HEAD.format(
        inputs=repr(listed),
        target="target" if classes is None else "labels",
        shape=repr(target),
        classes="" if classes is None else f"CLASSES = {classes}\n",
    )
    body = (_NUMBERS if classes is None else _CLASSES).format(returned=returned)
    return head + body + _TAIL.format(times="" if classes is None else " * CLASSES")


def own_loss_file(argument: str, place: int | str) -> str:
    """A file with a loss that calls the model with what it is to predict.

    Args:
        argument: of `forward`, which takes the next tokens.
        place: where in what it then returns its loss is: a place in a tuple, or an attribute.
    """
    return _OWN_LOSS.format(name=argument, place=f".{place}" if isinstance(place, str) else f"[{place}]")
