"""Starts that no operation tells: measured on the CPU, where a model is built twice with different seeds."""

from __future__ import annotations

import contextlib
import math
import random
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn

from hptransfer.probe.own_init import OwnInit

#: seeds of the two models that are compared
_SEEDS = (20, 21)
#: fewer entries than these tell no distribution
_FEWEST = 16
#: standard errors within which a mean counts as zero
_NOISE = 4.0


@dataclass(frozen=True, slots=True)
class Measured:
    """How one parameter was found to start.

    Attributes:
        init: kind and root mean square; "kept" where it has a structure.
        shape: lengths of its axes.
        error: relative standard error of the root mean square; 0 where nothing is random.
    """

    init: OwnInit
    shape: tuple[int, ...]
    error: float = 0.0


def measured_inits(build: Callable[[], nn.Module], names: Collection[str]) -> dict[str, Measured]:
    """How some parameters start, from two models with different seeds; one is in memory at a time.

    Args:
        build: makes the module on the CPU; a seed that it sets by itself is not obeyed.
        names: full names of the parameters that are wanted; those that the module does not have are left out.

    Returns:
        Start by name: equal in both models is a constant or a structure; random around zero has a std; random around
        another value is a structure too.
    """
    found: list[dict[str, Tensor]] = []
    frozen: dict[str, bool] = {}
    for seed in _SEEDS:
        with _seeded(seed):
            module = build()
        values = {name: tensor for name, tensor in module.named_parameters() if name in names}
        frozen = {name: not tensor.requires_grad for name, tensor in values.items()}
        found.append({name: tensor.detach().clone() for name, tensor in values.items()})
        del module, values
    one, other = found
    return {name: _compared(one[name], other[name], frozen[name]) for name in one if name in other}


def _compared(one: Tensor, other: Tensor, frozen: bool) -> Measured:
    shape = tuple(one.shape)
    kept = Measured(OwnInit("kept", frozen=frozen), shape)
    if one.shape != other.shape or not (one.is_floating_point() and one.numel()):
        return kept
    first, second = one.double().flatten(), other.double().flatten()
    if torch.equal(first, second):
        value = float(first[0])
        if not bool((first == first[0]).all()):
            return kept
        kind = "zeros" if value == 0 else "ones" if value == 1 else "constant"
        return replace(kept, init=OwnInit(kind, value=value, frozen=frozen))  # type: ignore[arg-type]  # names of inits
    both = torch.cat([first, second])
    drawn = both[both != 0]
    count = drawn.numel()
    if count < _FEWEST or not bool(drawn.isfinite().all()):
        return kept
    square = float(drawn.square().mean().sqrt())
    if abs(float(drawn.mean())) > _NOISE * square / math.sqrt(count):
        return kept
    return Measured(OwnInit("normal", square, frozen=frozen), shape, 1 / math.sqrt(2 * count))


def std_at(base: Measured, grown: Mapping[str, tuple[Measured, float]], growth: Mapping[str, float]) -> float | None:
    """The std at another size, by the powers of width and depth that two measurements show.

    Args:
        base: what was measured at the base.
        grown: axis of size -> (what was measured where it alone is larger, by which factor).
        growth: axis of size -> its growth at the size that is asked for; axes that do not grow may be left out.

    Returns:
        The std; None where an axis grows whose power is no multiple of a quarter within three standard errors.
    """
    if base.init.std is None:
        return None
    std = base.init.std
    for axis, factor in growth.items():
        if factor == 1:
            continue
        other, by = grown.get(axis, (None, 1.0))
        if other is None or other.init.std is None:
            return None
        power = math.log(other.init.std / base.init.std) / math.log(by)
        snapped = round(power * 4) / 4
        if abs(power - snapped) > 3 * math.hypot(base.error, other.error) / math.log(by) + 1e-3:
            return None
        std *= factor**snapped
    return std


def _unmoved(seed: object) -> torch.Generator:  # in the place of torch's own
    """What `torch.manual_seed` does while seeds are compared: nothing."""
    return torch.default_generator


@contextlib.contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Every generator that a model may draw from starts at a seed, and is put back afterwards."""
    states = (random.getstate(), np.random.get_state())  # the user's code may draw from it
    ignored = torch.manual_seed
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        random.seed(seed)
        np.random.seed(seed)
        torch.manual_seed = torch.random.manual_seed = _unmoved
        try:
            yield
        finally:
            torch.manual_seed = torch.random.manual_seed = ignored
            random.setstate(states[0])
            np.random.set_state(states[1])
