"""Over which axes of each parameter a model sums, seen where functions of torch take it: no module has to say it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any
from weakref import ref

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

#: of the parameter's own axes, those that one axis of a view of it consists of; () where it is new
Axes = tuple[tuple[int, ...], ...]

_SAME = frozenset(
    ("to", "type", "type_as", "float", "double", "half", "bfloat16", "contiguous", "clone", "detach", "chunk", "split")
)
_PRODUCTS = frozenset(("matmul", "__matmul__", "__rmatmul__", "mm", "bmm", "mv", "addmm", "baddbmm", "_grouped_mm"))
_BESIDE = frozenset(("addmm", "baddbmm"))


class SummedAxes(TorchFunctionMode):
    """Follows parameters through views to the products that they enter.

    Attributes:
        found: name of a parameter -> its axes that are summed over, as the first product that it enters has it.
    """

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.found: dict[str, tuple[int, ...]] = {}
        self._known: dict[int, tuple[ref[Tensor], str, Axes]] = {}
        for name, parameter in module.named_parameters():
            self._keep(parameter, name, tuple((axis,) for axis in range(parameter.ndim)))

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Called by torch in place of `func`."""
        options = dict(kwargs or {})
        name = getattr(func, "__name__", "")
        self._see(func, name, args, options)
        first = args[0] if args and isinstance(args[0], Tensor) else None
        known = None if first is None else self._of(first)
        result = func(*args, **options)
        if known is not None and first is not None:
            self._follow(name, first, args, options, known, result)
        return result

    def _keep(self, tensor: Tensor, name: str, axes: Axes) -> None:
        self._known[id(tensor)] = (ref(tensor), name, axes)

    def _of(self, tensor: object) -> tuple[str, Axes] | None:
        known = self._known.get(id(tensor))
        return (known[1], known[2]) if known is not None and known[0]() is tensor else None

    def _see(self, func: Callable[..., Any], name: str, args: Sequence[Any], options: Mapping[str, Any]) -> None:
        """Record the axes that a product sums over."""
        if func is functional.linear:
            weight = args[1] if len(args) > 1 else options.get("weight")
            self._record(weight, [-1])
        elif name == "einsum":
            self._einsum(args)
        elif name in _PRODUCTS:
            tensors = [each for each in (*args, *options.values()) if isinstance(each, Tensor)]
            tensors = tensors[1:] if name in _BESIDE else tensors
            if len(tensors) >= 2:
                left, right = tensors[1::-1] if name == "__rmatmul__" else tensors[:2]
                self._record(left, [-1])
                self._record(right, [-2 if right.ndim > 1 else -1])

    def _record(self, tensor: object, summed: Iterable[int]) -> None:
        known = self._of(tensor)
        if known is not None:
            name, axes = known
            own = sorted(axis for each in summed for axis in axes[each])
            self.found.setdefault(name, tuple(own))

    def _einsum(self, args: Sequence[Any]) -> None:
        if not args or not isinstance(args[0], str):
            return
        operands = [each for rest in args[1:] for each in (rest if isinstance(rest, tuple | list) else (rest,))]
        inputs, arrow, output = args[0].replace(" ", "").partition("->")
        terms = inputs.split(",")
        if "..." in output or not arrow:
            output = "".join(letter for letter in inputs if inputs.count(letter) == 1) if not arrow else output
        for term, operand in zip(terms, operands, strict=False):
            if isinstance(operand, Tensor) and "." not in term and len(term) == operand.ndim:
                elsewhere = "".join(each for each in terms if each is not term)
                summed = [at for at, letter in enumerate(term) if letter in elsewhere and letter not in output]
                self._record(operand, summed)

    def _follow(
        self,
        func: str,
        first: Tensor,
        args: Sequence[Any],
        options: Mapping[str, Any],
        known: tuple[str, Axes],
        result: object,
    ) -> None:
        """Keep what a view of a parameter consists of."""
        name, axes = known
        results = result if isinstance(result, tuple | list) else [result]
        for each in results:
            if not isinstance(each, Tensor) or each is first:
                continue
            seen = _viewed(func, first, [*args[1:], *options.values()], axes, each)
            if seen is not None and len(seen) == each.ndim:
                self._keep(each, name, seen)


def _viewed(func: str, first: Tensor, rest: Sequence[Any], axes: Axes, result: Tensor) -> Axes | None:
    """The axes of a view; None where they cannot be followed."""
    if func in _SAME:
        return axes
    if func == "unbind":
        return axes[1:] if not rest or rest[0] == 0 else None
    if func == "__getitem__":
        return _indexed(rest[0], axes)
    if func in ("t", "__get__", "transpose", "swapaxes", "permute", "movedim"):
        return _turned(first, result, axes)
    if func in ("view", "reshape", "flatten", "unflatten", "squeeze", "unsqueeze"):
        return _merged(first.shape, result.shape, axes)
    return None


def _indexed(index: object, axes: Axes) -> Axes | None:
    """After `[index]`: a number takes the axis away, a slice or a list of numbers keeps it."""
    indices = index if isinstance(index, tuple) else (index,)
    kept: list[tuple[int, ...]] = []
    for at, each in enumerate(indices):
        if each is None or each is Ellipsis or at >= len(axes):
            return None
        if isinstance(each, slice) or (isinstance(each, Tensor) and each.ndim == 1):
            kept.append(axes[at])
        elif not (isinstance(each, int) or (isinstance(each, Tensor) and each.ndim == 0)):
            return None
    return (*kept, *axes[len(indices) :])


def _turned(first: Tensor, result: Tensor, axes: Axes) -> Axes | None:
    """Axes in another order, by their strides; None where two of them are alike."""
    before = [(length, stride) for length, stride in zip(first.shape, first.stride(), strict=True)]
    after = [(length, stride) for length, stride in zip(result.shape, result.stride(), strict=True)]
    if len(set(before)) != len(before) or sorted(before) != sorted(after):
        return None
    return tuple(axes[before.index(each)] for each in after)


def _merged(before: torch.Size, after: torch.Size, axes: Axes) -> Axes | None:
    """Neighbouring axes joined into one, and axes of length one added or taken away; None where one is split."""
    found: list[tuple[int, ...]] = []
    at = 0
    for length in after:
        joined: tuple[int, ...] = ()
        product = 1
        while at < len(before) and product < length:
            product *= before[at]
            joined += axes[at]
            at += 1
        if product != length:
            return None
        found.append(joined)
    return tuple(found) if math.prod(before[at:]) == 1 else None
