"""Which std a framework's own initialisation draws with, seen on the meta device: exact, and without memory.

Frameworks initialise with operations that change a tensor in place (`normal_`, `uniform_`, factors) and by torch's
truncated normal. A dispatch mode follows what they make of each storage. Of what it knows no std it keeps which
operations made it, so that two starts can be the same one; what it cannot follow is said to be unknown, never guessed.
"""

from __future__ import annotations

import hashlib
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
        made: where the std is not known, a digest of the operations and numbers that made the tensor: of two with one
            digest the entries are distributed alike. Empty where that is not known either.
    """

    mean: float
    std: float
    made: str = ""


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
_ZERO = Draw(0.0, 0.0)


class RecordedInit(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch leaves its hook untyped
    """Follows initialisation; within it, `torch.device("meta")` should be the device of whatever is built."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # as above
        self._drawn: dict[int, Draw] = {}
        # storage -> (first entry, how many) of parts of a draw that were set to zero since
        self._zeroed: dict[int, set[tuple[int, int]]] = {}
        # a storage that was freed could lend its number to another
        self._kept: list[Any] = []

    def std_of(self, tensor: Tensor) -> float | None:
        """Standard deviation of a tensor's entries; None for a constant.

        Args:
            tensor: that was initialised within this mode.

        Raises:
            UsageError: its entries were drawn in a way that this cannot follow, or never.
        """
        return self._draw_of(tensor, frozenset()).std or None

    def _draw_of(self, tensor: Tensor, padding: frozenset[int]) -> Draw:
        """What a tensor's entries are drawn from, but for rows that may be zero."""
        key = _storage(tensor)
        found = self._drawn.get(key, _UNKNOWN)
        row = tensor[0].numel() if tensor.dim() else 1
        allowed = {(index * row, row) for index in padding}
        if math.isnan(found.std) or not self._zeroed.get(key, set()) <= allowed:
            raise UsageError("an initialisation must be made of draws and factors", received=f"{tuple(tensor.shape)}")
        return found

    def starts(self, module: nn.Module) -> Mapping[str, Start]:
        """Std and mean of every parameter by name.

        Raises:
            UsageError: one was drawn in a way that this cannot follow, or never; the message names it.
        """
        return {
            name: Start(draw.std or None, None if math.isnan(draw.mean) else draw.mean)
            for name, draw in self.draws(module).items()
        }

    def followed(self, module: nn.Module) -> Mapping[str, Draw]:
        """What every parameter starts at, by name; of what cannot be said as a draw, `made`, or nothing but NaN."""
        return {
            name: self._followed(parameter, _padding(module, parameter))
            for name, parameter in module.named_parameters()
        }

    def _followed(self, tensor: Tensor, padding: frozenset[int]) -> Draw:
        try:
            return self._draw_of(tensor, padding)
        except UsageError:
            return Draw(math.nan, math.nan, _digest(self._told(tensor)))

    def draws(self, module: nn.Module) -> Mapping[str, Draw]:
        """What every parameter is drawn from, by name; of a table those rows that no padding keeps at zero.

        Raises:
            UsageError: one was drawn in a way that this cannot follow, or never; the message names it.
        """
        found = {}
        for name, parameter in module.named_parameters():
            try:
                found[name] = self._draw_of(parameter, _padding(module, parameter))
            except UsageError as error:
                raise UsageError(error.findings[0].rule, received=f"{name} {tuple(parameter.shape)}") from None
        return found

    def stds(self, module: nn.Module) -> Mapping[str, float | None]:
        """The std of every parameter by name, see `draws`; None for constants.

        Raises:
            UsageError: one was drawn in a way that this cannot follow, or never; the message names it.
        """
        return {name: draw.std or None for name, draw in self.draws(module).items()}

    def means(self, module: nn.Module) -> Mapping[str, float]:
        """The mean of every parameter's entries by name, of a constant its value; NaN where it is not known."""
        return {name: draw.mean for name, draw in self.draws(module).items()}

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Runs the operation, and notes what it makes of its first argument or of what it returns."""
        result = func(*args, **(kwargs or {}))
        schema = func._schema
        name = schema.name.removeprefix("aten::")
        if schema.is_mutable and args and isinstance(args[0], Tensor):
            after = self._after(name, args[0], args[1:], kwargs or {})
            self.note(args[0], self._or_made(after, name, args, kwargs))
            scaled = name.removesuffix("_") in ("mul", "div")
            self._keep_zeros(args[0], args[0] if scaled else args[1] if name == "copy_" else None)
        elif isinstance(result, Tensor) and name in _CREATED:
            self.note(result, _CREATED[name](args))
        elif (
            isinstance(result, Tensor) and args and isinstance(args[0], Tensor) and name in ("mul", "clone", "_to_copy")
        ):
            before = self._drawn.get(_storage(args[0]), _UNKNOWN)
            after = _scaled(before, _number(args[1])) if name == "mul" else before
            self.note(result, self._or_made(after, name, args, kwargs))
            self._keep_zeros(result, args[0])
        elif isinstance(result, Tensor) and result.is_meta and "empty" not in name and not _is_view(result, args):
            self.note(result, self._or_made(_UNKNOWN, name, args, kwargs))
        return result

    def _or_made(self, draw: Draw, name: str, args: Sequence[Any], kwargs: Mapping[str, Any] | None) -> Draw:
        """A draw; of what has no known std, the operation that made it."""
        if not math.isnan(draw.std):
            return draw
        # what is copied over is gone; of where it goes only the form matters
        told = (name, str(args[0].shape), *args[1:]) if name == "copy_" else (name, *args)
        return replace(draw, made=_digest(self._told((*told, *sorted((kwargs or {}).items())))))

    def told_numbers(self, data: Any) -> str:
        """A digest of numbers, for `Draw.made`; empty where they are something else.

        Args:
            data: that `torch.tensor` is given.
        """
        return _digest(self._told(data))

    def _told(self, value: Any) -> str | None:
        """What decides a value's content, in words that are equal for equal content; None where it is not known."""
        if isinstance(value, list | tuple):
            each = [self._told(part) for part in value]
            return None if None in each else f"({', '.join(map(str, each))})"
        if not isinstance(value, Tensor):
            return repr(value) if value is None or isinstance(value, _TOLD) else None
        place = f"{value.dtype} {tuple(value.shape)} {value.stride()} {value.storage_offset()}"
        if not value.is_meta:
            return f"{value.tolist()} {place}"
        draw = self._drawn.get(_storage(value), _UNKNOWN)
        if math.isnan(draw.std) and not draw.made:
            return None
        return f"{draw} {place} {sorted(self._zeroed.get(_storage(value), ()))}"

    def note(self, tensor: Tensor, draw: Draw) -> None:
        """Says what a tensor's entries are now.

        Args:
            tensor: the whole of a storage, or a part of it.
            draw: what they are drawn from.
        """
        key = _storage(tensor)
        if key not in self._drawn:
            self._kept.append(tensor.untyped_storage())
        whole = _is_whole(tensor)
        before = self._drawn.get(key)
        if not whole and before is not None and draw == _ZERO:
            self._zeroed.setdefault(key, set()).add((int(tensor.storage_offset()), tensor.numel()))
            return
        # of a part, the rest must be the same
        self._drawn[key] = draw if whole or before is None or before == draw else _UNKNOWN

    def _keep_zeros(self, tensor: Tensor, source: Any) -> None:
        """What was written whole has those zeros that its source had."""
        key = _storage(tensor)
        if _is_whole(tensor):
            zeros = self._zeroed.get(_storage(source), set()) if isinstance(source, Tensor) else set()
            self._zeroed[key] = set(zeros)

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
            case "add" | "sub" if self._zeroed.get(_storage(tensor)):
                after = _UNKNOWN  # rows that were zero are so no longer
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


#: what an operation is given besides tensors, with words of its own for each content
_TOLD = (bool, int, float, str, torch.dtype, torch.device, torch.layout, torch.memory_format)


def _digest(told: str | None) -> str:
    return "" if told is None else hashlib.sha256(told.encode()).hexdigest()


def _is_view(result: Tensor, args: Sequence[Any]) -> bool:
    return any(isinstance(each, Tensor) and _storage(each) == _storage(result) for each in args)


def _padding(module: nn.Module, parameter: nn.Parameter) -> frozenset[int]:
    """Rows of a table that its module keeps at zero."""
    return next(
        (
            frozenset({table.padding_idx % table.num_embeddings})
            for table in module.modules()
            if isinstance(table, nn.Embedding) and table.weight is parameter and table.padding_idx is not None
        ),
        frozenset(),
    )


def _is_whole(tensor: Tensor) -> bool:
    return tensor.numel() * tensor.element_size() >= tensor.untyped_storage().nbytes()


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

        turned, made = nn.init.orthogonal_, torch.tensor

        def orthogonal(tensor: Tensor, gain: float = 1.0, *rest: Any, **more: Any) -> Tensor:
            """As above; the squares of the shorter axis' vectors add up to one, whatever is drawn."""
            if tensor.is_meta and tensor.numel():
                longest = max(tensor.shape[0], tensor.numel() // tensor.shape[0])
                record.note(tensor, Draw(0.0, abs(gain) / math.sqrt(longest)))
            return turned(tensor, gain, *rest, **more)

        def literal(data: Any, *rest: Any, **more: Any) -> Tensor:
            """Torch forgets the numbers that a tensor of the meta device is made of."""
            tensor = made(data, *rest, **more)
            if tensor.is_meta and (told := record.told_numbers(data)):
                record.note(tensor, Draw(math.nan, math.nan, told))
            return tensor

        with (
            patch.object(nn.init, "_no_grad_trunc_normal_", truncated),
            patch.object(nn.init, "orthogonal_", orthogonal),
            patch.object(torch, "tensor", literal),
        ):
            yield record
