"""The law of what one operation of torch's dispatcher makes, from the laws of its operands."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor
from torch.utils._pytree import tree_leaves

from hptransfer.probe.laws import FIXED, SIGN, Law, constant, normal, uniform


@dataclass(frozen=True, slots=True)
class Operation:
    """One call.

    Attributes:
        name: of the operation, without the underscore of those in place.
        args: positional arguments of the call.
        kwargs: arguments of the call by name.
        law_of: the law of an argument; None where it is not known.
        random: whether it draws from a generator.
    """

    name: str
    args: Sequence[Any]
    kwargs: Mapping[str, Any]
    law_of: Callable[[Any], Law | None]
    random: bool = False

    def argument(self, place: int, name: str, default: Any = None) -> Any:
        """An argument, however it was given.

        Args:
            place: its position among the arguments.
            name: its name, where it was given by name.
            default: what stands where it is left out.
        """
        if name in self.kwargs:
            return self.kwargs[name]
        return self.args[place] if len(self.args) > place else default

    @property
    def law(self) -> Law | None:
        """The law of the result; None where it is not known."""
        handler = _HANDLERS.get(self.name)
        found = None if handler is None else handler(self)
        return FIXED if found is None and not self.random and self._is_fixed() else found

    def _is_fixed(self) -> bool:
        """Whether every tensor that goes in is the same in every model."""
        tensors = [leaf for leaf in tree_leaves((self.args, dict(self.kwargs))) if isinstance(leaf, Tensor)]
        return all((law := self.law_of(each)) is not None and law.kind in ("constant", "fixed") for each in tensors)


def _numbers(call: Operation, first: str, second: str, defaults: tuple[float, float]) -> tuple[float, float] | None:
    """Two numbers behind a tensor or a shape; None where one of them is a tensor."""
    given = [value for value in call.args if isinstance(value, int | float)]
    if any(isinstance(value, Tensor) for value in call.args[1:]):
        return None
    found = [*given, *defaults[len(given) :]]
    one, two = call.kwargs.get(first, found[0]), call.kwargs.get(second, found[1])
    return None if isinstance(one, Tensor) or isinstance(two, Tensor) else (float(one), float(two))


def _normal(call: Operation) -> Law | None:
    numbers = _numbers(call, "mean", "std", (0.0, 1.0))
    return None if numbers is None else normal(*numbers)


def _uniform(call: Operation) -> Law | None:
    numbers = _numbers(call, "from", "to", (0.0, 1.0))
    return None if numbers is None else uniform(*numbers)


def _first(call: Operation) -> Law | None:
    return call.law_of(call.args[0])


def _second(call: Operation) -> Law | None:
    return call.law_of(call.args[1]) if len(call.args) > 1 else None


def _number(call: Operation) -> Law | None:
    """A tensor filled with the last of the numbers that are given."""
    numbers = [value for value in call.args if isinstance(value, int | float)]
    return constant(float(numbers[-1])) if numbers else None


def _joined(call: Operation) -> Law | None:
    laws = {call.law_of(each) for each in call.args[0]}
    return laws.pop() if len(laws) == 1 else None


def _padded(call: Operation) -> Law | None:
    law = _first(call)
    return law if not any(call.args[1]) or law == constant(float(call.argument(2, "value", 0.0))) else None


def _basis(call: Operation) -> Law | None:
    """Unit vectors that are turned at random: the squares of each vector's entries sum to 1."""
    law = _first(call)
    gaussian = law is not None and law.kind == "normal" and law.mean == 0
    return normal(0.0, call.args[0].shape[-2] ** -0.5) if gaussian else None


def _negative(call: Operation) -> Law | None:
    law = _first(call)
    return None if law is None else law.affine(-1.0)


def _inverse_error_function(call: Operation) -> Law | None:
    law = _first(call)
    return None if law is None else law.inverse_error_function()


def _clamped(call: Operation) -> Law | None:
    law = _first(call)
    low = None if call.name == "clamp_max" else call.argument(1, "min")
    high = None if call.name == "clamp_min" else call.argument(1 if call.name == "clamp_max" else 2, "max")
    if law is None or isinstance(low, Tensor) or isinstance(high, Tensor):
        return None
    return law.clamped(-math.inf if low is None else float(low), math.inf if high is None else float(high))


def _product(call: Operation) -> Law | None:
    one, other = _first(call), _second(call)
    if one is None or other is None:
        return None
    if SIGN in (one, other):
        rest = other if one == SIGN else one
        return rest if rest.mean == 0 else None
    if other.kind == "constant":
        return one.affine(other.mean)
    return other.affine(one.mean) if one.kind == "constant" else None


def _quotient(call: Operation) -> Law | None:
    law, by = _first(call), _second(call)
    if law is None or by is None or by.kind != "constant" or by.mean == 0 or call.kwargs.get("rounding_mode"):
        return None
    return law.divided(by.mean)


def _sum(call: Operation) -> Law | None:
    sign = 1.0 if call.name == "add" else -1.0
    one, other = _first(call), _second(call)
    if call.name == "rsub":
        one, other = other, one
    if one is None or other is None:
        return None
    scale = sign * float(call.kwargs.get("alpha", 1))
    if other.kind == "constant":
        return one.affine(1.0, scale * other.mean)
    return other.affine(scale, one.mean) if one.kind == "constant" else None


_OF_NUMBERS: Mapping[str, Callable[[float], float]] = {
    "sqrt": math.sqrt,
    "rsqrt": lambda value: 1 / math.sqrt(value),
    "reciprocal": lambda value: 1 / value,
    "log": math.log,
}


def _of_number(call: Operation) -> Law | None:
    law = _first(call)
    positive = law is not None and law.kind == "constant" and law.mean > 0
    return constant(_OF_NUMBERS[call.name](law.mean)) if law is not None and positive else None


def _of_kind(names: str, handler: Callable[[Operation], Law | None]) -> dict[str, Callable[[Operation], Law | None]]:
    return dict.fromkeys(names.split(), handler)


_HANDLERS: Mapping[str, Callable[[Operation], Law | None]] = {
    **_of_kind("empty empty_like empty_strided new_empty new_empty_strided empty_permuted", lambda _: Law("unwritten")),
    **_of_kind("randn randn_like", lambda _: normal(0.0, 1.0)),
    **_of_kind("rand rand_like", lambda _: uniform(0.0, 1.0)),
    **_of_kind("normal normal_functional", _normal),
    **_of_kind("uniform", _uniform),
    **_of_kind("zeros zeros_like new_zeros zero", lambda _: constant(0.0)),
    **_of_kind("ones ones_like new_ones", lambda _: constant(1.0)),
    **_of_kind("full new_full scalar_tensor", _number),
    **_of_kind("copy fill full_like", _second),
    **_of_kind("clone _to_copy contiguous lift_fresh_copy lift _reshape_copy view_copy", _first),
    **_of_kind("sign sgn", lambda _: SIGN),
    **_of_kind("linalg_qr", _basis),
    **_of_kind("cat stack", _joined),
    **_of_kind("constant_pad_nd", _padded),
    **_of_kind("neg", _negative),
    **_of_kind("erfinv", _inverse_error_function),
    **_of_kind("clamp clip clamp_min clamp_max", _clamped),
    **_of_kind("mul", _product),
    **_of_kind("div", _quotient),
    **_of_kind("add sub rsub", _sum),
    **_of_kind(" ".join(_OF_NUMBERS), _of_number),
}
