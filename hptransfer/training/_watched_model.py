"""What one forward pass of an unknown model shows: its layers, its readout, who writes a residual stream, and factors.

Nothing is taken from names but that numbers are indices. A readout is where logits come out. A factor in `forward`, as
mup's MuReadout has one, is read from what goes into and comes out of a module. A block is residual if what it adds to
its input is a sum of what its modules return.

Tensor names carry their shape: N any axes, D fan-in, V fan-out.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from hptransfer.statistics.arrays import Array as Values
from hptransfer.training.attention_logits import AttentionLogits

#: entries of a tensor that are compared; all would take as long as the pass itself
_COMPARED = 2**14
#: how far from equal two tensors may be that are called proportional, in roundings of their type
_ROUNDINGS = 32.0
#: the same, as a share, where one of them is a product of matrices that was computed in another way: TF32
_PRODUCT = 3e-3
#: how far from a sum its terms may be, in roundings of its type
_SUMMED = 4.0
#: a term below this share of the sum is taken for rounding
_NEGLIGIBLE = 1e-3
#: modules whose weight has rows for outputs, or is looked up by row; of others the axes are tried
_KNOWN = (nn.Linear, nn.Embedding, nn.Conv1d, nn.Conv2d, nn.Conv3d)


@dataclass(slots=True)
class Call:
    """One call of a module.

    Attributes:
        name: the module's, as `named_modules()` gives it.
        read: the first tensor among its arguments.
        returned: its first tensor of floating numbers, as it was before later modules changed it in place.
    """

    name: str
    read: Tensor | None
    returned: Tensor


@dataclass(slots=True)
class Look:
    """What a forward pass shows.

    Attributes:
        calls: the last one of every module, in order of computation.
        logits: the model's output; None where it returns no tensor of floating numbers with two axes or more.
        attention: what softmax sees, as "attention.0", "attention.1", ...
        summed: scale times head_dim, by name of attention logits.
    """

    calls: dict[str, Call]
    logits: Tensor | None
    attention: dict[str, Tensor]
    summed: dict[str, float]


@dataclass(slots=True)
class Structure:
    """What looks have shown so far; see `learn`.

    Attributes:
        maps: modules that own a weight matrix, in order of computation.
        readout: the one whose output is the model's; None where there is none.
        factors: by which `forward` multiplies what a map's weight gives; a map that is left out is not understood, or
            shows zeros so far.
        blocks: modules whose name ends in a number and which return what they read in another state, to the modules
            whose outputs they add to it; empty where that sum was not found.
    """

    maps: tuple[str, ...] = ()
    readout: str | None = None
    factors: dict[str, float] = field(default_factory=dict)
    blocks: dict[str, dict[str, float]] = field(default_factory=dict)

    @property
    def writers_known(self) -> bool:
        """Whether all that blocks add to what they read comes from maps that were found."""
        return all(terms and set(terms) <= set(self.maps) for terms in self.blocks.values())

    def writes(self, module: str) -> bool:
        """Whether a module's output is added to what its block read.

        Args:
            module: name of a map.
        """
        return any(module in terms for terms in self.blocks.values())

    def kind(self, name: str) -> str:
        """What a module's output is.

        Args:
            name: of a map or of a block.
        """
        if name == self.readout:
            return "logits"
        if name in self.blocks:
            return "residual"
        return "branch" if self.writes(name) else "hidden"

    def factor(self, name: str) -> float | None:
        """By which the whole forward pass multiplies what a map's weight gives; None where that is not known.

        Args:
            name: of a map, as `named_modules()` gives it.
        """
        own = self.factors.get(name)
        added = next((terms[name] for terms in self.blocks.values() if name in terms), 1.0)
        return None if own is None else own * added


def look(model: nn.Module, forward: Callable[[], Any]) -> Look:
    """Keep what every module returns in one forward pass.

    Args:
        model: as `unwrapped` gives it.
        forward: calls the model once.
    """
    calls: dict[str, Call] = {}
    compared = {name for name, module in model.named_modules() if has_matrix(module) or _is_numbered(name)}

    def keep(name: str, args: Any, kwargs: Mapping[str, Any], output: Any) -> None:
        returned = _first_floating(output)
        if returned is not None:
            calls.pop(name, None)  # of several calls the last, at its place
            read = next(_tensors((args, kwargs)), None) if name in compared else None
            calls[name] = Call(name, None if read is None else read.clone(), returned.clone())

    hooks = [
        module.register_forward_hook(
            lambda _module, args, kwargs, output, name=name: keep(name, args, kwargs, output), with_kwargs=True
        )
        for name, module in model.named_modules()
        if name
    ]
    attention = AttentionLogits()
    try:
        with attention:
            output = forward()
    finally:
        for hook in hooks:
            hook.remove()
    named = {f"attention.{call}": seen for call, seen in enumerate(attention.seen)}
    return Look(calls, _logits(output), named, dict(zip(named, attention.summed, strict=True)))


def learn(model: nn.Module, seen: Look, known: Structure) -> Structure:
    """What a look adds to what is known: at init zeros hide factors and sums, which the first step shows.

    Args:
        model: as `unwrapped` gives it, whose weights are those of the look.
        seen: what a forward pass showed.
        known: of the looks before; none at first.
    """
    modules = dict(model.named_modules())
    maps = tuple(name for name in seen.calls if has_matrix(modules[name]))
    readout = known.readout or _readout(seen, maps)
    found = Structure(maps, readout, dict(known.factors), dict(known.blocks))
    for name in maps:
        if name not in found.factors:
            factor = _own_factor(modules[name], seen.calls[name])
            if factor is not None and name == readout:
                factor = _outer_factor(seen, name, factor)
            if factor is not None:
                found.factors[name] = factor
    for name in _blocks(seen, modules):
        if not found.blocks.get(name):
            found.blocks[name] = _terms(name, seen)
    return found


def orientation(module: nn.Module, local: str, call: Call | None) -> bool | None:
    """Whether `UpdateMeter` takes the right axis for outputs, the rows of a weight; None where that is not known.

    Args:
        module: that owns the parameter.
        local: the parameter's name in it.
        call: what the module read and returned; None where it was not called.
    """
    known = (
        (isinstance(module, _KNOWN) and local == "weight")
        or (isinstance(module, nn.MultiheadAttention) and local.endswith("proj_weight"))
        or (isinstance(module, nn.RNNBase) and local.startswith("weight_"))
        or _is_conv1d(module)
    )
    if known:
        return True
    weight = getattr(module, local)
    if call is None or call.read is None or weight.ndim != 2 or not call.read.is_floating_point():
        return None
    for rows_are_outputs, matrix_VxD in ((True, weight), (False, weight.T)):
        if call.read.shape[-1] == matrix_VxD.shape[1] and call.returned.shape[-1] == matrix_VxD.shape[0]:
            given = functional.linear(call.read, matrix_VxD.to(call.read.dtype))
            if _factor(given, call.returned - _bias(module), _PRODUCT) is not None:
                return rows_are_outputs
    return None


def has_matrix(module: nn.Module) -> bool:
    """Whether a module itself owns a weight of two axes or more."""
    return any(tensor is not None and tensor.ndim >= 2 for tensor in module._parameters.values())


def is_plain(module: nn.Module) -> bool:
    """Whether a module is of a class that is known to multiply by its weight and by nothing else."""
    return type(module) in _KNOWN or type(module).__module__.startswith("torch.nn.modules.") or _is_conv1d(module)


def _is_conv1d(module: nn.Module) -> bool:
    """Whether it is the linear layer of transformers' GPT-2, which keeps its weight as inputs x outputs."""
    return type(module).__name__ == "Conv1D" and hasattr(module, "nf")


def _bias(module: nn.Module) -> Tensor | float:
    bias = getattr(module, "bias", None)
    return bias.detach() if isinstance(bias, Tensor) else 0.0


def _is_numbered(name: str) -> bool:
    return name.rpartition(".")[2].isdigit()


def _blocks(seen: Look, modules: Mapping[str, nn.Module]) -> Iterator[str]:
    """Numbered modules with others inside that return what they read in another state, the outermost of each."""
    outer: list[str] = []
    for name, module in modules.items():
        inside = any(name.startswith(f"{block}.") for block in outer)
        if _is_numbered(name) and name in seen.calls and not inside:
            call = seen.calls[name]
            deep = any(has_matrix(each) for each in module.modules() if each is not module)
            if deep and call.read is not None and call.read.shape == call.returned.shape:
                outer.append(name)
    return iter(outer)


def _own_factor(module: nn.Module, call: Call) -> float | None:
    """By which a module multiplies what its weight gives; None where zeros hide it, or where it does something else."""
    if type(module) in _KNOWN or not isinstance(module, _KNOWN):
        return 1.0
    if call.read is None or not isinstance(module, nn.Linear | nn.Embedding):
        return None
    weight = module.weight.detach()
    if isinstance(module, nn.Embedding):
        if call.read.is_floating_point() or not _are_rows(call.read, weight):
            return None  # it makes its own indices, of positions for example
        return _factor(functional.embedding(call.read, weight), call.returned, _PRODUCT)
    given = functional.linear(call.read, weight.to(call.read.dtype))
    return _factor(given, call.returned - _bias(module), _PRODUCT)


def _are_rows(indices: Tensor, weight: Tensor) -> bool:
    """Whether all of them are rows of a table."""
    return indices.numel() > 0 and int(indices.min()) >= 0 and int(indices.max()) < len(weight)


def _outer_factor(seen: Look, name: str, own: float) -> float | None:
    """Of the readout, with factors on its input and its output outside of it; None where zeros hide the latter."""
    call = seen.calls[name]
    if seen.logits is None or call.read is None:
        return own
    if not call.returned.any():
        return None
    names = list(seen.calls)
    before = [seen.calls[each] for each in names[: names.index(name)]]
    alike = [each for each in before if each.returned.shape == call.read.shape]
    inner = _factor(alike[-1].returned, call.read) if alike else None
    return own * (inner or 1.0) * (_factor(call.returned, seen.logits) or 1.0)


def _readout(seen: Look, maps: Sequence[str]) -> str | None:
    """The last map whose output is the model's, up to a factor."""
    if seen.logits is None:
        return None
    alike = [name for name in maps if seen.calls[name].returned.shape == seen.logits.shape]
    for name in reversed(alike):
        returned = seen.calls[name].returned
        if torch.equal(returned, seen.logits) or _factor(returned, seen.logits) is not None:
            return name
    return None


def _terms(block: str, seen: Look) -> dict[str, float]:
    """The modules within a block whose outputs add up to what it adds to its input, each with its factor; else none."""
    call = seen.calls[block]
    assert call.read is not None  # noqa: S101  # of `_blocks`; for the type checker
    place = _places(call.returned)
    start, end = (_sample(each, place) for each in (call.read, call.returned))
    added = end - start
    tolerance = _SUMMED * torch.finfo(call.returned.dtype).eps * _rms(end)
    columns: dict[str, Values] = {}
    for name, inner in seen.calls.items():
        if name.startswith(f"{block}.") and inner.returned.shape == call.returned.shape:
            column = _sample(inner.returned, place)
            if not column.any():
                return {}  # what it adds cannot be seen yet
            # a container returns what its last module returned, dropout what it read: the first of them counts
            if not any(np.array_equal(column, other) for other in columns.values()):
                columns[name] = column
    if not columns or not np.isfinite([added, *columns.values()]).all() or _rms(added) <= 2 * tolerance:
        return {}
    # rounding gives every column an amount; those that are left must explain the sum by themselves
    large = {
        name: columns[name]
        for name, factor in _amounts(columns, added).items()
        if abs(factor) * _rms(columns[name]) > _NEGLIGIBLE * _rms(added)
    }
    factors = _amounts(large, added)
    left = added - sum((factor * columns[name] for name, factor in factors.items()), np.zeros_like(added))
    if _rms(left) > tolerance:
        return {}
    return {name: 1.0 if abs(factor - 1) < _NEGLIGIBLE else factor for name, factor in factors.items()}


def _amounts(columns: Mapping[str, Values], added: Values) -> dict[str, float]:
    """Least squares: the factor of every column in a sum of them."""
    if not columns:
        return {}
    sizes = [_rms(column) for column in columns.values()]
    matrix = np.stack([column / size for column, size in zip(columns.values(), sizes, strict=True)], axis=1)
    found, *_ = np.linalg.lstsq(matrix, added, rcond=None)
    return {name: float(amount) / size for name, amount, size in zip(columns, found, sizes, strict=True)}


def _factor(given: Tensor, made: Tensor, tolerance: float = 0.0) -> float | None:
    """The number c with made = c * given, to a share of rounding at least; None where there is none."""
    if given.shape != made.shape or not (given.is_floating_point() and made.is_floating_point()):
        return None
    place = _places(given)
    x, y = _sample(given, place), _sample(made, place)
    scale = float(x @ x)
    if not (math.isfinite(scale) and scale > 0 and np.isfinite(y).all() and y.any()):
        return None
    factor = float(x @ y) / scale
    eps = max(torch.finfo(given.dtype).eps, torch.finfo(made.dtype).eps)
    if _rms(y - factor * x) > max(tolerance, _ROUNDINGS * eps) * _rms(y):
        return None
    return 1.0 if abs(factor - 1) <= 4 * eps else factor


def _places(like: Tensor) -> Tensor:
    """Positions of some entries, evenly and by a step that is no multiple of usual sizes."""
    count = like.numel()
    return torch.arange(0, count, max(1, count // _COMPARED) | 1, device=like.device)


def _sample(tensor: Tensor, place: Tensor) -> Values:
    return np.asarray(tensor.detach().flatten()[place].double().cpu().numpy())


def _rms(values: Values) -> float:
    return float(np.sqrt(np.mean(values**2)))


def _logits(output: Any) -> Tensor | None:
    """The first tensor of two axes or more; that which is named logits where one is."""
    named = output.get("logits") if isinstance(output, Mapping) else getattr(output, "logits", None)
    found = _first_floating(named if isinstance(named, Tensor) else output, axes=2)
    return None if found is None else found.detach().clone()


def _first_floating(value: Any, axes: int = 1) -> Tensor | None:
    return next((each for each in _tensors(value) if each.is_floating_point() and each.ndim >= axes), None)


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Mapping):
        for each in value.values():
            yield from _tensors(each)
    elif isinstance(value, tuple | list):
        for each in value:
            yield from _tensors(each)
