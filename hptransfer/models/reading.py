"""Reading a model: which axes grow with width, which layers repeat with depth, and hence each parameter's role.

Nothing is guessed from one size. The model is built on the meta device at the base size, at twice its depth and twice
its width; a layer repeats when the deeper one has more of it, an axis grows when it differs in the wider one. Shapes
are compared with microsoft/mup's InfShape arithmetic. What cannot be decided is an error that names the parameter.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from mup.infshape import InfDim, InfShape, zip_infshape
from mup.shape import get_shapes
from torch import nn

from hptransfer.errors import Finding, UsageError
from hptransfer.models.build import build_model
from hptransfer.parameterization.groups import template
from hptransfer.parameterization.roles import Parameter, Role
from hptransfer.recipe.schema import Model
from hptransfer.sizes import Size

#: (width, depth) -> module; called under the meta device
Builder = Callable[[int, int], nn.Module]

#: full names of the parameters whose output is added to the residual stream, per built-in model
RESIDUAL_WRITERS: Mapping[str, tuple[str, ...]] = {
    "mlp": (),
    "gpt": (r"blocks\.\d+\.(attention_out|down)\.(weight|bias)",),
}


def read_parameters(model: Model, base: Size, size: Size) -> tuple[Parameter, ...]:
    """The parameters of a recipe's model at a size, without allocating any.

    Args:
        model: the recipe's `model` section.
        base: the size at which every factor of a rule is 1.
        size: the size to read.

    Returns:
        One entry per parameter in `named_parameters()` order.

    Raises:
        UsageError: the model cannot be built at one of the sizes.
    """

    def build(width: int, depth: int) -> nn.Module:
        return build_model(model, width, depth, device="meta")

    return read_module(build, base, size, residual_writers=RESIDUAL_WRITERS[model.kind])


def read_module(
    build: Builder,
    base: Size,
    size: Size,
    *,
    residual_writers: Sequence[str] = (),
    roles: Mapping[str, Role] | None = None,
) -> tuple[Parameter, ...]:
    """The parameters of any module at a size, without allocating any.

    Args:
        build: makes the module at a width and a depth.
        base: the size at which every factor of a rule is 1.
        size: the size to read.
        residual_writers: regular expressions that match full names of parameters whose output is added to a residual
            stream; empty for a network without one.
        roles: regular expressions that match full names -> role, where shapes do not decide it.

    Returns:
        One entry per parameter in `named_parameters()` order.

    Raises:
        UsageError: tied weights, or parameters whose role the shapes and module types do not decide.
    """
    with torch.device("meta"):
        shallow = get_shapes(build(base.width, base.depth))
        deep = get_shapes(build(base.width, 2 * base.depth))
        wide = get_shapes(build(2 * base.width, 2 * base.depth))
        module = build(size.width, size.depth)
    _refuse_tied(module)
    reader = _Reader(
        infshapes=_base_infshapes(deep, wide),
        repeated=_repeated(shallow, deep),
        writers=tuple(re.compile(pattern) for pattern in residual_writers),
        roles=tuple((re.compile(pattern), role) for pattern, role in (roles or {}).items()),
    )
    owners = {
        f"{prefix}.{name}" if prefix else name: (owner, name)
        for prefix, owner in module.named_modules()
        for name, _ in owner.named_parameters(recurse=False)
    }
    parameters: list[Parameter] = []
    findings: list[Finding] = []
    for name, shape in get_shapes(module).items():
        try:
            parameters.append(reader.read(name, tuple(shape), *owners[name]))
        except UsageError as error:
            findings.extend(error.findings)
    if findings:
        every = UsageError(findings[0].rule, received=findings[0].received, hint=findings[0].hint)
        every.findings = tuple(findings)
        raise every
    reader.check_patterns(parameters)
    return tuple(parameters)


def _refuse_tied(module: nn.Module) -> None:
    first: dict[int, str] = {}
    for name, tensor in module.named_parameters(remove_duplicate=False):
        if id(tensor) in first:
            raise UsageError(
                "weights must not be tied: an embedding and a readout scale differently, and what their shared weight "
                "cannot absorb must stay in `forward`",
                received=f"{first[id(tensor)]} and {name} are one tensor",
                hint="untie them",
            )
        first[id(tensor)] = name


def _base_infshapes(base: Mapping[str, Sequence[int]], wide: Mapping[str, Sequence[int]]) -> dict[str, InfShape]:
    """Base shape and growing axes, under the exact name and, where all layers agree, under the name's template."""
    exact = {name: zip_infshape(tuple(shape), tuple(wide[name])) for name, shape in base.items()}
    by_template: dict[str, list[InfShape]] = {}
    for name, infshape in exact.items():
        by_template.setdefault(template(name), []).append(infshape)
    agreed = {
        pattern: infshapes[0]
        for pattern, infshapes in by_template.items()
        if all(infshape.serialize() == infshapes[0].serialize() for infshape in infshapes)
    }
    return {**agreed, **exact}


def _repeated(shallow: Mapping[str, object], deep: Mapping[str, object]) -> frozenset[str]:
    """Templates of names of which a deeper model has more."""
    counts, deeper = Counter(map(template, shallow)), Counter(map(template, deep))
    return frozenset(pattern for pattern, count in deeper.items() if count > counts[pattern])


@dataclass(frozen=True, slots=True)
class _Fans:
    """What a parameter's module says of it.

    Attributes:
        kind: "matrix", "lookup", "norm gain" or "bias".
        fan_in: inputs summed into one output, as mup's dimension; finite 1 for lookups and vectors.
        fan_out: outputs.
    """

    kind: Literal["matrix", "lookup", "norm gain", "bias"]
    fan_in: InfDim
    fan_out: InfDim


_INIT: Mapping[str, Literal["normal", "ones", "zeros"]] = {
    "matrix": "normal",
    "lookup": "normal",
    "norm gain": "ones",
    "bias": "zeros",
}


@dataclass(frozen=True, slots=True)
class _Reader:
    """What was learned from the base and its two deltas, applied to one parameter of the target at a time."""

    infshapes: Mapping[str, InfShape]
    repeated: frozenset[str]
    writers: Sequence[re.Pattern[str]]
    roles: Sequence[tuple[re.Pattern[str], Role]]

    def read(self, name: str, shape: tuple[int, ...], owner: nn.Module, local: str) -> Parameter:
        """Decide one parameter; `local` is its name in the module `owner`."""
        infshape = self._infshape(name, shape)
        fans = _fans(name, shape, owner, local, infshape)
        repeats = template(name) in self.repeated
        role, reason = self._role(name, shape, fans, repeats)
        base_fan_in = _base_dim(fans.fan_in)
        std = {"matrix": 1 / math.sqrt(base_fan_in), "lookup": 1.0}.get(fans.kind)
        return Parameter(
            name=name,
            shape=shape,
            role=role,
            fan_in=int(fans.fan_in.dim),
            fan_out=int(fans.fan_out.dim),
            base_fan_in=base_fan_in,
            base_fan_out=_base_dim(fans.fan_out),
            in_block=repeats and bool(self.writers),
            writes_residual=any(writer.fullmatch(name) for writer in self.writers),
            init=_INIT[fans.kind],
            reason=reason,
            base_init_std=std,
        )

    def check_patterns(self, parameters: Sequence[Parameter]) -> None:
        """A pattern that matches nothing is a typing error, and silence would leave a rule unapplied."""
        for pattern in (*self.writers, *(pattern for pattern, _ in self.roles)):
            if not any(pattern.fullmatch(parameter.name) for parameter in parameters):
                raise UsageError("a pattern must match the full name of a parameter", received=pattern.pattern)

    def _infshape(self, name: str, shape: tuple[int, ...]) -> InfShape:
        base = self.infshapes.get(name, self.infshapes.get(template(name)))
        if base is None:
            raise _undecided(name, shape, "it has no counterpart at the base size")
        if len(base) != len(shape) or any(
            not dim.isinf() and dim.dim != length for dim, length in zip(base, shape, strict=True)
        ):
            raise _undecided(
                name, shape, f"an axis changed that does not grow with width: {tuple(base.shape())} at the base width"
            )
        return zip_infshape(base, shape)

    def _role(self, name: str, shape: tuple[int, ...], fans: _Fans, repeats: bool) -> tuple[Role, str]:
        for pattern, role in self.roles:
            if pattern.fullmatch(name):
                return role, f"named by {pattern.pattern}"
        where = "repeats with depth" if repeats else "outside the repeated layers"
        if fans.kind == "lookup":
            return Role.EMBEDDING, "rows are looked up"
        if fans.kind == "matrix":
            return self._matrix_role(name, shape, fans, repeats)
        if fans.kind == "bias" and self._belongs_to_readout(name):
            return Role.READOUT_BIAS, "bias of the readout"
        return (Role.HIDDEN_VECTOR if repeats else Role.OUTER_VECTOR), f"{fans.kind}, {where}"

    def _matrix_role(self, name: str, shape: tuple[int, ...], fans: _Fans, repeats: bool) -> tuple[Role, str]:
        grows = (fans.fan_in.isinf(), fans.fan_out.isinf())
        if grows == (True, True):
            return Role.HIDDEN_WEIGHT, "fan-in and fan-out grow"
        if repeats:
            raise _undecided(name, shape, "it repeats with depth, but only one of its axes grows with width, or none")
        if grows == (True, False):
            return Role.READOUT, "fan-in grows, fan-out does not"
        return Role.EMBEDDING, "fan-out grows, fan-in does not" if fans.fan_out.isinf() else "no axis grows with width"

    def _belongs_to_readout(self, bias: str) -> bool:
        """Whether the matrix beside this bias reads out; norms have no matrix."""
        weight = self.infshapes.get(bias.removesuffix("bias") + "weight")
        return weight is not None and len(weight) == 2 and bool(weight[1].isinf()) and not weight[0].isinf()


def _fans(name: str, shape: tuple[int, ...], owner: nn.Module, local: str, infshape: InfShape) -> _Fans:
    one = InfDim(None, 1)
    if isinstance(owner, nn.Linear) and local == "weight":
        return _Fans("matrix", fan_in=infshape[1], fan_out=infshape[0])
    if isinstance(owner, nn.Embedding):
        if infshape[0].isinf():
            raise _undecided(name, shape, "the number of entries of a lookup table grows with width")
        return _Fans("lookup", fan_in=one, fan_out=infshape[1])
    if len(shape) == 1 and local == "bias":
        return _Fans("bias", fan_in=one, fan_out=infshape[0])
    if len(shape) == 1 and local == "weight" and type(owner).__name__.endswith("Norm"):
        return _Fans("norm gain", fan_in=one, fan_out=infshape[0])
    raise _undecided(
        name,
        shape,
        f"`{type(owner).__name__}.{local}` is not known to be a weight, a bias or a norm's gain",
        hint="parameters are read from Linear, Embedding and norm modules",
    )


def _base_dim(dim: InfDim) -> int:
    return int(dim.base_dim if dim.isinf() else dim.dim)


def _undecided(name: str, shape: tuple[int, ...], why: str, hint: str | None = None) -> UsageError:
    return UsageError(
        "every parameter's role must follow from its module and from the axes that grow",
        received=f"{name} {shape}: {why}",
        hint=hint or f'name it: roles={{r"{re.escape(name)}": Role.HIDDEN_WEIGHT}}, or another role',
    )
