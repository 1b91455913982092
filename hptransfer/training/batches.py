"""Batches of any structure: a tensor, or tuples, lists and dicts of batches, examples along each tensor's first axis.

Tensor names carry their shape: B batch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol, TypeAlias

import numpy as np
import torch
from torch import Tensor, nn

from hptransfer.errors import UsageError

#: a tensor, or a tuple, list or mapping of batches
Batch: TypeAlias = Any


class Batches(Protocol):
    """What a recipe's data give to the loop and to diagnostics."""

    @property
    def fingerprint(self) -> str:
        """Sha256 (hex) that names the data; data with one fingerprint give the same batches."""

    @property
    def vocabulary(self) -> int | None:
        """Size of the vocabulary that the data declare; None where they declare none."""

    def batch(self, seed: int, step: int, batch_size: int, context: int) -> Batch:
        """The training batch of one step, a pure function of its arguments.

        Args:
            seed: of the trial, at least 0.
            step: optimizer steps taken before, from 0.
            batch_size: number of examples B, at least 1.
            context: positions of an example where examples are windows of a sequence; others do not read it.
        """

    def validation_batches(
        self, count: int, batch_size: int, context: int, examples: int | None = None
    ) -> Iterator[Batch]:
        """The fixed evaluation set, the same for every trial and seed.

        Args:
            count: number of batches, at least 1.
            batch_size: examples B of each batch, at least 1.
            context: positions of an example, as for `batch`.
            examples: size of the set, of which the last batch has what is left; default: count * batch_size.
        """


def map_tensors(batch: Batch, function: Callable[[Tensor], Tensor]) -> Batch:
    """The same structure with every tensor replaced; named tuples stay what they are.

    Args:
        batch: tensors in any structure.
        function: gives the new tensor.

    Raises:
        UsageError: something in it is neither a tensor, a tuple, a list nor a mapping.
    """
    if isinstance(batch, Tensor):
        return function(batch)
    if isinstance(batch, Mapping):
        return {name: map_tensors(part, function) for name, part in batch.items()}
    if isinstance(batch, tuple | list):
        parts = [map_tensors(part, function) for part in batch]
        return type(batch)(*parts) if hasattr(batch, "_fields") else type(batch)(parts)
    raise UsageError(
        "a batch must be a tensor, or a tuple, list or dict of such", received=f"{type(batch).__name__} in the batch"
    )


def tensors_of(batch: Batch) -> list[Tensor]:
    """Every tensor of a batch, in order.

    Args:
        batch: tensors in any structure.
    """
    found: list[Tensor] = []

    def keep(tensor: Tensor) -> Tensor:
        found.append(tensor)
        return tensor

    map_tensors(batch, keep)
    return found


def described(batch: object) -> str:
    """A structure in a message: names of types, with shapes of tensors.

    Args:
        batch: whatever a function returned.
    """
    if isinstance(batch, Tensor):
        return f"{str(batch.dtype).removeprefix('torch.')} {tuple(batch.shape)}"
    if isinstance(batch, Mapping):
        return "{" + ", ".join(f"{name}: {described(part)}" for name, part in batch.items()) + "}"
    if isinstance(batch, tuple | list):
        inside = ", ".join(map(described, batch))
        return f"({inside})" if isinstance(batch, tuple) else f"[{inside}]"
    return type(batch).__name__


def examples_in(batch: Batch) -> int:
    """Number of examples B: the length of every tensor's first axis.

    Args:
        batch: tensors in any structure.

    Raises:
        UsageError: tensors differ in it, one has no axis, or there is none.
    """
    lengths = {tensor.shape[0] if tensor.ndim else None for tensor in tensors_of(batch)}
    if len(lengths) != 1 or None in lengths:
        raise UsageError(
            "every tensor of a batch must have the examples along its first axis", received=described(batch)
        )
    return int(lengths.pop() or 0)


def first_examples(batch: Batch, count: int) -> Batch:
    """The first examples of a batch.

    Args:
        batch: tensors in any structure.
        count: how many, at most those it has.
    """
    return map_tensors(batch, lambda tensor: tensor[:count])


def fitted(batch: Batch, module: nn.Module) -> Batch:
    """A batch as a module can take it: on its device, floating tensors in its type.

    Args:
        batch: tensors in any structure; one that fits is not copied.
        module: whose first parameter decides; a module without parameters takes the batch as it is.
    """
    like = _first_parameter(module)
    if like is None:
        return batch
    if isinstance(batch, Tensor) and batch.device == like.device and not batch.is_floating_point():
        return batch

    def move(tensor: Tensor) -> Tensor:
        return tensor.to(like.device, like.dtype if tensor.is_floating_point() else tensor.dtype)

    return map_tensors(batch, move)


def _first_parameter(module: nn.Module) -> nn.Parameter | None:
    """What `next(module.parameters())` gives, without the walk that a small model would notice in every step."""
    for part in (module, *module.children()):
        for parameter in part._parameters.values():
            if parameter is not None:
                return parameter
    return next(module.parameters(), None)


def to_tensors(batch: object, said: str) -> Batch:
    """The structure with every NumPy array as a tensor: floats as float32, unsigned integers (but uint8) as int64.

    Args:
        batch: of arrays, tensors and their tuples, lists and dicts.
        said: whose batch it is, for messages.

    Raises:
        UsageError: something else is in it.
    """
    if isinstance(batch, Tensor):
        return batch
    if isinstance(batch, Mapping):
        return {name: to_tensors(part, said) for name, part in batch.items()}
    if isinstance(batch, tuple | list):
        parts = [to_tensors(part, said) for part in batch]
        return type(batch)(*parts) if hasattr(batch, "_fields") else type(batch)(parts)
    if isinstance(batch, np.ndarray) and batch.dtype.kind in "fiub":
        if batch.dtype.kind == "f":
            return torch.from_numpy(np.ascontiguousarray(batch, np.float32))
        widened = batch.astype(np.int64) if batch.dtype.kind == "u" and batch.dtype.itemsize > 1 else batch
        return torch.from_numpy(np.ascontiguousarray(widened))
    kind = f"array of {batch.dtype}" if isinstance(batch, np.ndarray) else type(batch).__name__
    raise UsageError(
        "a batch must be made of tensors or NumPy arrays of numbers, in tuples, lists or dicts",
        received=f"{said}: {kind}",
    )


def equal(one: Batch, other: Batch) -> bool:
    """Whether two batches are the same: structure, types and values, not-a-number equal to itself.

    Args:
        one: tensors in any structure.
        other: what it is compared with.
    """
    if isinstance(one, Tensor) or isinstance(other, Tensor):
        if not (isinstance(one, Tensor) and isinstance(other, Tensor)):
            return False
        same = one.shape == other.shape and one.dtype == other.dtype
        return same and bool(((one == other) | (one.isnan() & other.isnan())).all())
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(equal(one[name], other[name]) for name in one)
    if isinstance(one, tuple | list) and isinstance(other, tuple | list):
        return len(one) == len(other) and all(map(equal, one, other))
    return False
