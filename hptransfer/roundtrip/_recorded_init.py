"""Which std a framework's own initialisation draws with, seen on the meta device: exact, and without memory.

Frameworks initialise with operations that change a tensor in place (`normal_`, `uniform_`, factors) and by torch's
truncated normal. A dispatch mode follows what they make of each storage. What it does not know is said to
be unknown, never guessed.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, cast
from unittest.mock import patch

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from hptransfer.errors import UsageError


@dataclass(frozen=True, slots=True)
class Draw:
    """The distribution of a tensor's entries.

    Attributes:
        mean: of an entry; the value of a constant.
        std: of an entry; 0 for a constant, NaN where it is not known.
    """

    mean: float
    std: float


@dataclass(frozen=True, slots=True)
class Start:
    """What a parameter starts at, as `Trained` has it.

    Attributes:
        std: of an entry; None for a constant.
        mean: of an entry, a constant's value; None where it is not known.
    """

    std: float | None
    mean: float | None


_UNKNOWN = Draw(math.nan, math.nan)


class RecordedInit(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch leaves its hook untyped
    """Follows initialisation; within it, `torch.device("meta")` should be the device of whatever is built."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # as above
        self._drawn: dict[int, Draw] = {}
        # a storage that was freed could lend its number to another
        self._kept: list[Any] = []

    def std_of(self, tensor: Tensor) -> float | None:
        """Standard deviation of a tensor's entries; None for a constant.

        Args:
            tensor: that was initialised within this mode.

        Raises:
            UsageError: its entries were drawn in a way that this cannot follow, or never.
        """
        found = self._drawn.get(_storage(tensor), _UNKNOWN)
        if math.isnan(found.std):
            raise UsageError("an initialisation must be made of draws and factors", received=f"{tuple(tensor.shape)}")
        return found.std or None

    def mean_of(self, tensor: Tensor) -> float | None:
        """Mean of a tensor's entries, a constant's value; None where that is not known.

        Args:
            tensor: that was initialised within this mode.
        """
        mean = self._drawn.get(_storage(tensor), _UNKNOWN).mean
        return None if math.isnan(mean) else mean

    def starts(self, module: nn.Module) -> Mapping[str, Start]:
        """Std and mean of every parameter by name.

        Raises:
            UsageError: one was drawn in a way that this cannot follow, or never; the message names it.
        """
        stds = self.stds(module)
        return {name: Start(stds[name], self.mean_of(parameter)) for name, parameter in module.named_parameters()}

    def stds(self, module: nn.Module) -> Mapping[str, float | None]:
        """The std of every parameter by name; None for constants.

        Raises:
            UsageError: one was drawn in a way that this cannot follow, or never; the message names it.
        """
        found = {}
        for name, parameter in module.named_parameters():
            try:
                found[name] = self.std_of(parameter)
            except UsageError as error:
                raise UsageError(error.findings[0].rule, received=f"{name} {tuple(parameter.shape)}") from None
        return found

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Runs the operation, and notes what it makes of its first argument or of what it returns."""
        result = func(*args, **(kwargs or {}))
        schema = func._schema
        name = schema.name.removeprefix("aten::")
        if schema.is_mutable and args and isinstance(args[0], Tensor):
            self.note(args[0], self._after(name, args[0], args[1:], kwargs or {}))
        elif isinstance(result, Tensor) and name in _CREATED:
            self.note(result, _CREATED[name](args))
        elif (
            isinstance(result, Tensor) and args and isinstance(args[0], Tensor) and name in ("mul", "clone", "_to_copy")
        ):
            before = self._drawn.get(_storage(args[0]), _UNKNOWN)
            self.note(result, _scaled(before, _number(args[1])) if name == "mul" else before)
        return result

    def note(self, tensor: Tensor, draw: Draw) -> None:
        """Says what a tensor's entries are now.

        Args:
            tensor: the whole of a storage, or a part of it.
            draw: what they are drawn from.
        """
        key = _storage(tensor)
        if key not in self._drawn:
            self._kept.append(tensor.untyped_storage())
        whole = tensor.numel() * tensor.element_size() >= tensor.untyped_storage().nbytes()
        before = self._drawn.get(key)
        # of a part, the rest must be the same
        self._drawn[key] = draw if whole or before is None or before == draw else _UNKNOWN

    def _after(self, name: str, tensor: Tensor, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Draw:
        """What an operation in place makes of a tensor."""
        before = self._drawn.get(_storage(tensor), _UNKNOWN)
        match name.removesuffix("_"):
            case "normal":
                mean, std = (*args, *(0.0, 1.0)[len(args) :])[:2]
                after = Draw(float(kwargs.get("mean", mean)), float(kwargs.get("std", std)))
            case "uniform":
                low, high = (*args, *(0.0, 1.0)[len(args) :])[:2]
                after = _uniform(float(kwargs.get("from", low)), float(kwargs.get("to", high)))
            case "mul" | "div":
                factor = _number(args[0])
                after = _scaled(before, 1 / factor if name == "div_" else factor)
            case "add" | "sub":
                shift = _number(args[0]) * float(kwargs.get("alpha", 1))
                after = replace(before, mean=before.mean + (shift if name == "add_" else -shift))
            case "zero":
                after = Draw(0.0, 0.0)
            case "fill":
                after = Draw(_number(args[0]), 0.0)
            case "copy" if isinstance(args[0], Tensor):
                after = self._drawn.get(_storage(args[0]), _UNKNOWN)
            case _:
                after = _UNKNOWN
        return after


def _storage(tensor: Tensor) -> int:
    return cast("int", tensor.untyped_storage()._cdata)


def _number(value: Any) -> float:
    """A factor; NaN where it is a tensor whose content is not known."""
    if isinstance(value, Tensor):
        return float(value) if value.numel() == 1 and not value.is_meta else math.nan
    return float(value)


def _scaled(draw: Draw, factor: float) -> Draw:
    return Draw(draw.mean * factor, draw.std * abs(factor))


def _uniform(low: float, high: float) -> Draw:
    return Draw((low + high) / 2, (high - low) / math.sqrt(12))


def _truncated(mean: float, std: float, low: float, high: float) -> Draw:
    """A normal draw that is drawn again outside an interval."""
    first, last = (low - mean) / std, (high - mean) / std

    def density(at: float) -> float:
        return math.exp(-at * at / 2) / math.sqrt(2 * math.pi)

    mass = (math.erf(last / math.sqrt(2)) - math.erf(first / math.sqrt(2))) / 2
    shift = (density(first) - density(last)) / mass
    variance = 1 + (first * density(first) - last * density(last)) / mass - shift**2
    return Draw(mean + shift * std, std * math.sqrt(variance))


_CREATED: Mapping[str, Any] = {
    "zeros": lambda _: Draw(0.0, 0.0),
    "zeros_like": lambda _: Draw(0.0, 0.0),
    "ones": lambda _: Draw(1.0, 0.0),
    "ones_like": lambda _: Draw(1.0, 0.0),
    "full": lambda args: Draw(_number(args[1]), 0.0),
    "randn": lambda _: Draw(0.0, 1.0),
    "randn_like": lambda _: Draw(0.0, 1.0),
    "rand": lambda _: _uniform(0.0, 1.0),
    "rand_like": lambda _: _uniform(0.0, 1.0),
}


@contextmanager
def recorded_init() -> Iterator[RecordedInit]:
    """Builds on the meta device within it are recorded."""
    with torch.device("meta"), RecordedInit() as record:
        own = nn.init._no_grad_trunc_normal_

        def truncated(tensor: Tensor, mean: float, std: float, a: float, b: float, *rest: Any, **more: Any) -> Tensor:
            """Torch leaves tensors of the meta device alone; every truncated draw goes through this function."""
            if not tensor.is_meta:
                return own(tensor, mean, std, a, b, *rest, **more)
            record.note(tensor, _truncated(mean, std, a, b))
            return tensor

        with patch.object(nn.init, "_no_grad_trunc_normal_", truncated):
            yield record
