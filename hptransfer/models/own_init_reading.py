"""A model's own init joined to its parameters: its std at the base, which a plan scales, and at the size planned."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import nn

from hptransfer.parameterization.groups import collapsed_names
from hptransfer.parameterization.roles import DRAWN, Parameter, Role
from hptransfer.probe.measured_init import Measured, measured_inits, std_at
from hptransfer.probe.own_init import OwnInit, own_inits
from hptransfer.sizes import Size

#: by how much a model grows whose init is measured beside the base's
_LARGER = 2
#: entries of the largest model that is built on the CPU to measure an init: 4 GB in float32
_MOST_ENTRIES = 2**30


@dataclass(frozen=True, slots=True)
class ModelInits:
    """How the parameters of a model start, at the base and at a size, and how more is measured.

    Attributes:
        build: (width, depth) -> module, on the current device.
        base: width, depth, batch and tokens of the base.
        size: those of the size that is planned.
        at_base: the model's parameters at the base, with their roles.
        base_laws: start by name at the base, as it was read without memory.
        size_laws: start by name at the size.
        place: what a name and its counterparts in other layers have in common.
        given: names of parameters whose init was named with their role; they keep it.
    """

    build: Callable[[int, int], nn.Module]
    base: Size
    size: Size
    at_base: Sequence[Parameter]
    base_laws: Mapping[str, OwnInit]
    size_laws: Mapping[str, OwnInit]
    place: Callable[[str], str]
    given: Collection[str] = field(default_factory=frozenset)


def built_on_meta(build: Callable[[], nn.Module]) -> tuple[nn.Module, Mapping[str, OwnInit]]:
    """A module without memory, and how its parameters start.

    Args:
        build: makes the module, on the current device.
    """
    with torch.device("meta"):
        return own_inits(build)


def with_own_inits(parameters: Sequence[Parameter], inits: ModelInits) -> tuple[tuple[Parameter, ...], tuple[str, ...]]:
    """The parameters with their own init in the place of the tables'.

    What was read without memory is exact at both sizes. The rest is measured on the CPU at the base and, where it is
    random and the size differs, at twice the base's width and depth, one model after another; where those would take
    more than 4 GB, it is kept as the model has it.

    Args:
        parameters: at the size, with their roles.
        inits: how they start at the base and at the size.

    Returns:
        The parameters, and one sentence for each kind of start that could not be followed to the size.
    """
    twins = _twins(parameters, inits)
    concerned = {
        each.name: twins.get(each.name)
        for each in parameters
        if each.role is not Role.FROZEN and each.name not in inits.given
    }
    asked = {twin for twin in concerned.values() if twin is not None and _law(inits.base_laws, twin).kind is None}
    measured = _measured(inits, asked)
    joined, lost, moved = [], [], []
    for each in parameters:
        if each.name not in concerned:
            joined.append(each)
            continue
        twin = concerned[each.name]
        before = None if twin is None else measured.at_base(twin, inits)
        now = _law(inits.size_laws, each.name)
        if now.kind is None and before is not None:
            now = measured.at_size(str(twin), before, inits)
        if now.kind is None or before is None or (now.kind in DRAWN) != (before.kind in DRAWN):
            lost += [each.name] if now.kind is None or now.kind in DRAWN else []
            now = now if now.kind is not None and now.kind not in DRAWN else OwnInit("kept")
        if (
            before is not None
            and None not in (_constant(before), _constant(now))
            and _constant(before) != _constant(now)
        ):
            moved.append((each.name, _constant(before), _constant(now)))
        joined.append(_joined(each, before, now))
    return tuple(joined), (*_notes(lost), *_moved_notes(moved), *_uneven_notes(parameters, twins, inits))


def _joined(parameter: Parameter, before: OwnInit | None, now: OwnInit) -> Parameter:
    drawn = now.kind in DRAWN and before is not None
    assert now.kind is not None  # noqa: S101  # for the type checker
    return replace(
        parameter,
        init=now.kind,
        base_init_std=before.std if drawn and before is not None else None,
        own_init_std=now.std if drawn else None,
        init_value=now.value if now.kind == "constant" else None,
    )


def _notes(lost: Sequence[str]) -> tuple[str, ...]:
    if not lost:
        return ()
    return (
        f"the own init of {collapsed_names(lost)} could not be followed to this size, so it is kept as the model's "
        "code has it there: no factor of the tables changes it. `roles` with `, normal` takes the tables' init instead",
    )


def _constant(start: OwnInit) -> float | None:
    """The value of all entries; None where they differ."""
    return {"ones": 1.0, "zeros": 0.0}.get(str(start.kind), start.value if start.kind == "constant" else None)


def _moved_notes(moved: Sequence[tuple[str, float | None, float | None]]) -> tuple[str, ...]:
    """Constants of the model's code that follow the size in a way of their own, on top of the rules."""
    if not moved:
        return ()
    _, before, now = moved[0]
    return (
        f"the model's code starts {collapsed_names([name for name, *_ in moved])} at {now:.4g} at this size and at "
        f"{before:.4g} at the base: constants are left as they are, so this comes on top of what the rules do",
    )


def _uneven_notes(parameters: Sequence[Parameter], twins: Mapping[str, str], inits: ModelInits) -> tuple[str, ...]:
    """Kinds whose layers start differently at the base, where deeper layers have no counterpart of their own."""
    taken = {twin for name, twin in twins.items() if name != twin}
    stds: dict[str, set[float]] = {}
    for each in inits.at_base:
        std = _law(inits.base_laws, each.name).std
        if std is not None:
            stds.setdefault(inits.place(each.name), set()).add(std)
    uneven = [name for name in sorted(taken) if len(stds.get(inits.place(name), ())) > 1]
    if not uneven:
        return ()
    return (
        f"layers of {collapsed_names(uneven)} start differently from one another at the base: layers beyond the base's "
        "depth take the std of its last",
    )


def _law(laws: Mapping[str, OwnInit], name: str) -> OwnInit:
    return laws.get(name, OwnInit(None))


def _twins(parameters: Sequence[Parameter], inits: ModelInits) -> dict[str, str]:
    """Each parameter's counterpart at the base: of the same name, or the last that has its place and fans."""
    known: dict[tuple[str, int, int], list[str]] = {}
    for each in inits.at_base:
        known.setdefault((inits.place(each.name), each.fan_in, each.fan_out), []).append(each.name)
    found = {}
    for each in parameters:
        names = known.get((inits.place(each.name), each.base_fan_in, each.base_fan_out), [])
        if names:
            found[each.name] = each.name if each.name in names else names[-1]
    return found


@dataclass(frozen=True, slots=True)
class _Measurements:
    base: Mapping[str, Measured]
    grown: Mapping[str, Mapping[str, Measured]]

    def at_base(self, name: str, inits: ModelInits) -> OwnInit:
        law = _law(inits.base_laws, name)
        return self.base[name].init if law.kind is None and name in self.base else law

    def at_size(self, name: str, before: OwnInit, inits: ModelInits) -> OwnInit:
        """The start at the size of what was measured at the base."""
        if before.kind not in DRAWN or name not in self.base:
            return before if before.kind not in DRAWN else OwnInit(None)
        base = self.base[name]
        grown = {axis: (of[name], float(_LARGER)) for axis, of in self.grown.items() if name in of}
        growth = {"width": inits.size.width / inits.base.width, "depth": inits.size.depth / inits.base.depth}
        std = std_at(base, grown, growth)
        return OwnInit(None) if std is None else OwnInit(before.kind, std)


def _measured(inits: ModelInits, names: Collection[str]) -> _Measurements:
    """What no operation told, by models on the CPU, one after another; none where everything was told."""
    entries = sum(math.prod(each.shape) for each in inits.at_base)
    if not names or entries > _MOST_ENTRIES:
        return _Measurements({}, {})
    base, size = inits.base, inits.size

    def measured(width: int, depth: int) -> dict[str, Measured]:
        def build() -> nn.Module:
            with torch.device("cpu"):
                return inits.build(width, depth)

        return measured_inits(build, names)

    at_base = measured(base.width, base.depth)
    grown: dict[str, Mapping[str, Measured]] = {}
    if any(each.init.kind in DRAWN for each in at_base.values()) and entries * _LARGER**2 <= _MOST_ENTRIES:
        if size.width != base.width:
            grown["width"] = measured(_LARGER * base.width, base.depth)
        if size.depth != base.depth:
            grown["depth"] = measured(base.width, _LARGER * base.depth)
    return _Measurements(at_base, grown)
