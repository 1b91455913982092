"""A plan's init applied to tensors in place: what a model's own code drew is scaled, the rest is drawn or filled."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable

import torch
from torch import Tensor

from hptransfer.errors import UsageError
from hptransfer.parameterization.groups import ParameterGroup
from hptransfer.parameterization.roles import Role

#: by how many standard errors, and by which share besides, entries may differ from their own std
_ERRORS, _SHARE = 5.0, 0.02

Matched = tuple[str, Tensor, ParameterGroup]


def initialise(matched: Iterable[Matched], seed: int | None) -> None:
    """Start every parameter as its row says; nothing is touched where one of them is not as its model starts it.

    Args:
        matched: name, tensor with memory, and row of every parameter.
        seed: of what is drawn anew; None draws from torch's global generator.

    Raises:
        UsageError: values that would be scaled are not those of the model's own init.
    """
    pairs = list(matched)
    with torch.no_grad():
        _require_own(pairs)
        for name, tensor, group in pairs:
            _start(tensor, group, seed, name)


def is_left(group: ParameterGroup) -> bool:
    """Whether a plan leaves these parameters as the model starts them.

    Args:
        group: a row of the plan.
    """
    return group.role == Role.FROZEN or group.init == "kept"


def starts_by_itself(groups: Iterable[ParameterGroup]) -> bool:
    """Whether the model's own init is part of the run: something of it is scaled, or left as it is.

    Args:
        groups: all rows of a plan.
    """
    return any(group.own_init_std is not None or is_left(group) for group in groups)


def _require_own(pairs: Iterable[Matched]) -> None:
    for name, tensor, group in pairs:
        own = group.own_init_std
        if own is None or is_left(group) or group.init_std is None or _is_one(group.init_std / own):
            continue
        found, count = _root_mean_square(tensor)
        if not abs(found / own - 1) <= _ERRORS / math.sqrt(max(count, 1)) + _SHARE or count == 0:
            raise UsageError(
                "a module must be as its own code starts it when `init_` scales it, once",
                received=f"{name}: root mean square {found:.4g}, by its own init {own:.4g}",
                hint="build the model anew, call `init_` before anything trains or scales it, and only once; after "
                "`to_empty` run the model's own init first (transformers: `model.init_weights()`)",
            )


def _is_one(factor: float) -> bool:
    """Whether a factor is 1 but for the rounding of its own arithmetic."""
    return abs(factor - 1.0) < 1e-12


def _root_mean_square(tensor: Tensor) -> tuple[float, int]:
    """Over all entries but zeros, which a model sets beside what it draws (padding), and their number."""
    values = tensor.detach()
    count = int(_whole((values != 0).sum()))
    square = float(_whole(values.float().square().sum()))
    return math.sqrt(square / count) if count else 0.0, count


def _whole(value: Tensor) -> Tensor:
    """The sum over ranks of a sharded number."""
    whole: Tensor = value.full_tensor() if hasattr(value, "full_tensor") else value
    return whole


def _start(tensor: Tensor, group: ParameterGroup, seed: int | None, name: str) -> None:
    if is_left(group):
        return
    if group.own_init_std is not None and group.init_std is not None:
        factor = group.init_std / group.own_init_std
        if not _is_one(factor):
            tensor.mul_(factor)
        return
    _draw(tensor, group, seed, name)


def _draw(tensor: Tensor, group: ParameterGroup, seed: int | None, name: str) -> None:
    if hasattr(tensor, "device_mesh"):  # a DTensor; its module takes a second to import
        from torch.distributed.tensor import DTensor, distribute_tensor

        assert isinstance(tensor, DTensor)  # noqa: S101  # for the type checker
        # the same numbers whatever the number of ranks: draw the whole parameter, keep this rank's part
        local = tensor.to_local()
        whole = torch.empty(tensor.shape, dtype=tensor.dtype, device=local.device)
        _draw(whole, group, seed, name)
        local.copy_(distribute_tensor(whole, tensor.device_mesh, tensor.placements).to_local())
        return
    generator = None if seed is None else _generator(tensor.device, seed, name)
    if group.init == "normal":
        if group.init_std is None:
            raise UsageError("a normal init must have an `init_std`", received=group.pattern)
        # drawn at std 1 and scaled, so that every std gives the same draw
        tensor.normal_(generator=generator).mul_(group.init_std)
        return
    value = {"ones": 1.0, "zeros": 0.0, "constant": group.init_value}.get(group.init)
    if value is None:
        rule = (
            "`init` must be normal, ones, zeros, kept, or constant with an `init_value`; others have an `own_init_std`"
        )
        raise UsageError(rule, received=f"{group.pattern}: {group.init}")
    tensor.fill_(value)


def _generator(device: torch.device, seed: int, name: str) -> torch.Generator:
    digest = hashlib.sha256(f"{seed}:{name}".encode()).digest()
    return torch.Generator(device).manual_seed(int.from_bytes(digest[:8], "little") >> 1)
