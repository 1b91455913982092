"""What softmax sees in each attention of a model, with the scale that was really used, however attention is written.

torch's fused function says both. Where a model multiplies queries with keys itself, as eager code and
nn.MultiheadAttention do, the product of two activations is followed through scalar factors and masks to the softmax.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from unittest.mock import patch
from weakref import ref

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

#: examples of the probe batch on which attention logits are kept; they are many, and their RMS needs few
ATTENTION_EXAMPLES = 8

_PRODUCTS = frozenset({"matmul", "__matmul__", "bmm", "baddbmm", "einsum"})
_TIMES = frozenset({"mul", "mul_", "multiply", "__mul__", "__rmul__", "__imul__"})
_OVER = frozenset({"div", "div_", "divide", "true_divide", "__truediv__", "__div__", "__itruediv__", "__idiv__"})
#: what leaves a factor of all entries, and which tensors they are products of, as it is
_KEEPS = frozenset(
    (
        *("add", "add_", "__add__", "__radd__", "__iadd__", "masked_fill", "masked_fill_", "where", "tanh", "clamp"),
        *(
            "view",
            "reshape",
            "transpose",
            "permute",
            "swapaxes",
            "movedim",
            "squeeze",
            "unsqueeze",
            "expand",
            "flatten",
        ),
        *("unflatten", "contiguous", "clone", "detach", "chunk", "__getitem__", "__get__"),
        *("to", "type", "type_as", "float", "double", "half", "bfloat16"),
    )
)


@dataclass(frozen=True, slots=True)
class _Mark:
    """What is known of a tensor's entries.

    Attributes:
        scale: number that they were multiplied by since they were computed.
        terms: how many products each sums, of a product of two activations; 0 for others.
    """

    scale: float = 1.0
    terms: int = 0


class AttentionLogits(TorchFunctionMode):
    """Keeps what softmax sees in each attention.

    Attributes:
        seen: B x H x T x T scaled products of queries and keys of a few examples, in order of the calls; batch and
            heads are one axis where the model's code has made them one.
        summed: scale times head_dim of each: how much products that all agree add up to.
    """

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[Tensor] = []
        self.summed: list[float] = []
        self._marks: dict[int, tuple[ref[Tensor], _Mark]] = {}

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Called by torch in place of `func`."""
        options = dict(kwargs or {})
        if func is functional.scaled_dot_product_attention:
            self._keep_fused(args, options)
            return func(*args, **options)
        if func is functional.multi_head_attention_forward:
            # torch hands the whole function to a mode; what it is made of is wanted
            with patch.object(functional, "has_torch_function", lambda *_: False), self:
                return func(*args, **options)
        name = getattr(func, "__name__", "")
        tensors = [each for each in (*args, *options.values()) if isinstance(each, Tensor)]
        before = self._before(name, args, options, tensors)
        if name == "softmax" and tensors:
            self._keep(tensors[0])
        result = func(*args, **options)
        for each in result if isinstance(result, tuple | list) else (result,):
            if before is not None and isinstance(each, Tensor):
                self._marks[id(each)] = (ref(each), before)
        return result

    def _keep_fused(self, args: Sequence[Any], options: Mapping[str, Any]) -> None:
        named = {**dict(zip(("query", "key"), args, strict=False)), **options}
        q_BxHxTxK, k_BxHxTxK = (named[side][:ATTENTION_EXAMPLES] for side in ("query", "key"))
        if k_BxHxTxK.shape[:-2] == q_BxHxTxK.shape[:-2]:  # grouped queries share keys: left out
            given = options.get("scale")
            scale = q_BxHxTxK.shape[-1] ** -0.5 if given is None else given
            self.seen.append(q_BxHxTxK @ k_BxHxTxK.transpose(-1, -2) * scale)
            self.summed.append(float(scale) * q_BxHxTxK.shape[-1])

    def _keep(self, logits: Tensor) -> None:
        mark = self._mark(logits)
        if mark is not None and mark.terms:
            # masked entries say nothing of the product
            shown = logits[:ATTENTION_EXAMPLES]
            self.seen.append(torch.where(shown > torch.finfo(shown.dtype).min / 2, shown, 0.0))
            self.summed.append(mark.scale * mark.terms)

    def _before(
        self, name: str, args: Sequence[Any], options: Mapping[str, Any], tensors: Sequence[Tensor]
    ) -> _Mark | None:
        """What is known of the result of a function, before it runs: in place it may change its operands."""
        if name in _PRODUCTS:
            return self._product(name, args, options)
        if name in _TIMES or name in _OVER:
            return self._scaled([*args, *options.values()], over=name in _OVER)
        if name in _KEEPS:
            known = [mark for each in tensors if (mark := self._mark(each)) is not None]
            return next((mark for mark in known if mark.terms), known[0] if known else None)
        return None

    def _scaled(self, operands: Sequence[Any], *, over: bool) -> _Mark | None:
        """What is known of a product or a quotient."""
        numbers = [(at, number) for at, each in enumerate(operands[:2]) if (number := _number(each)) is not None]
        tensors = [each for each in operands[:2] if isinstance(each, Tensor) and _number(each) is None]
        if len(tensors) != 1 or len(numbers) != 1:
            return self._mark(tensors[0]) if tensors and not over else None  # times others: rotary positions
        at, number = numbers[0]
        if over and (at == 0 or number == 0):
            return None
        known = self._mark(tensors[0]) or _Mark()
        return replace(known, scale=known.scale * (1 / number if over else number))

    def _product(self, name: str, args: Sequence[Any], options: Mapping[str, Any]) -> _Mark | None:
        operands = [each for each in _flat(args) if isinstance(each, Tensor)]
        scale = 1.0
        if name == "baddbmm":
            operands, scale = operands[1:], float(options.get("alpha", 1.0))
        if len(operands) != 2 or any(_is_weight(each) or each.ndim < 3 for each in operands):
            return None
        terms = _summed_terms(args[0], operands) if name == "einsum" else operands[0].shape[-1]
        if terms is None:
            return None
        for each in operands:
            mark = self._mark(each)
            if mark is not None and mark.terms:
                return None  # of attention weights with values
            scale *= 1.0 if mark is None else mark.scale
        return _Mark(scale, terms)

    def _mark(self, tensor: Tensor) -> _Mark | None:
        known = self._marks.get(id(tensor))
        return known[1] if known is not None and known[0]() is tensor else None


def _flat(values: Sequence[Any]) -> list[Any]:
    return [each for value in values for each in (value if isinstance(value, tuple | list) else (value,))]


def _number(value: object) -> float | None:
    """A factor of all entries: a Python number, or a tensor of one entry that is no weight."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    if isinstance(value, Tensor) and value.numel() == 1 and not _is_weight(value):
        number = float(value)
        return number if math.isfinite(number) else None
    return None


def _is_weight(tensor: Tensor) -> bool:
    return isinstance(tensor, nn.Parameter) or isinstance(tensor._base, nn.Parameter)


def _summed_terms(equation: object, operands: Sequence[Tensor]) -> int | None:
    """Number of terms that an einsum of two operands sums; None where its letters do not tell."""
    if not isinstance(equation, str) or "..." in equation:
        return None
    inputs, _, output = equation.replace(" ", "").partition("->")
    left, _, right = inputs.partition(",")
    if len(left) != operands[0].ndim or len(right) != operands[1].ndim:
        return None
    lengths = dict(zip(left, operands[0].shape, strict=True))
    return math.prod(lengths[letter] for letter in left if letter in right and letter not in output)
