"""The role of one parameter, from the axes that grow, the layers that repeat and the type of its module."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from mup.infshape import InfShape, zip_infshape

from hptransfer.errors import UsageError
from hptransfer.models.fans import ONE, Fans, base_dim, fans_of
from hptransfer.parameterization.groups import name_template
from hptransfer.parameterization.role_presets import GivenRole
from hptransfer.parameterization.roles import Init, Parameter, Role

if TYPE_CHECKING:
    from torch import nn

_VECTORS = (Role.HIDDEN_VECTOR, Role.OUTER_VECTOR, Role.READOUT_BIAS)


@dataclass(frozen=True, slots=True)
class RoleInference:
    """What was learned from the base and its two deltas, applied to one parameter of the target at a time.

    Attributes:
        infshapes: base length of each growing axis, by name and by template of names.
        repeated: templates of names of which a deeper model has more.
        writers: parameters whose output is added to the residual stream.
        roles: named by the user; they go before everything.
        tied: tables whose tensor also reads out -> the name under which it does.
        queries: query projections whose output is a factor of attention logits.
        preset: known of the family; they decide where nothing else does. With why.
    """

    infshapes: Mapping[str, InfShape]
    repeated: frozenset[str]
    writers: Sequence[re.Pattern[str]]
    roles: Sequence[tuple[re.Pattern[str], GivenRole]]
    tied: Mapping[str, str]
    preset: Sequence[tuple[re.Pattern[str], GivenRole, str]] = ()
    queries: Sequence[re.Pattern[str]] = ()
    own_init: bool = False

    def decide(self, name: str, shape: tuple[int, ...], owner: nn.Module, local: str) -> Parameter:
        """Decide one parameter; `local` is its name in the module `owner`.

        Raises:
            UsageError: nothing decides its role.
        """
        infshape = self._infshape(name, shape)
        fans = fans_of(owner, local, infshape)
        repeats = name_template(name) in self.repeated
        given, reason = self._given(name)
        if given is None:
            if fans is not None and fans.kind == "lookup" and infshape[0].isinf():
                raise undecided(name, shape, "the number of entries of a table grows with width", hint=_FIXED_TABLE)
            role_and_reason = None if fans is None else self._read(name, fans, repeats)
            if role_and_reason is None:
                given, reason = self._known(name)
            else:
                given, reason = GivenRole(role_and_reason[0]), role_and_reason[1]
        if given is None:
            raise undecided(name, shape, *_question(infshape, owner, local, fans, repeats, self.own_init))
        return self._parameter(
            name, infshape, _completed(name, infshape, given, fans, self.own_init), given.role, repeats, reason
        )

    def names_init(self, name: str) -> bool:
        """Whether an init was named with the parameter's role."""
        given, _ = self._given(name)
        return given is not None and given.init is not None

    def decide_frozen(self, name: str, shape: tuple[int, ...], owner: nn.Module, local: str) -> Parameter:
        """A parameter that takes no gradient; its role is asked of nobody, its fans are those of its module if any."""
        try:
            found = self.decide(name, shape, owner, local)
        except UsageError:
            last = shape[-1] if shape else 1
            repeats = name_template(name) in self.repeated and bool(self.writers)
            found = Parameter(name, shape, Role.FROZEN, 1, last, 1, last, repeats, False, "kept", "")
        return replace(
            found,
            role=Role.FROZEN,
            init="kept",
            reason="it takes no gradient (`requires_grad` is False)",
            base_init_std=None,
            scales_attention=False,
        )

    def _parameter(
        self, name: str, infshape: InfShape, fans: Fans, role: Role, repeats: bool, reason: str
    ) -> Parameter:
        base_fan_in = base_dim(fans.fan_in)
        std = 1.0 if fans.kind == "lookup" else 1 / math.sqrt(base_fan_in)
        return Parameter(
            name=name,
            shape=tuple(infshape.shape()),
            role=role,
            fan_in=int(fans.fan_in.dim),
            fan_out=int(fans.fan_out.dim),
            base_fan_in=base_fan_in,
            base_fan_out=base_dim(fans.fan_out),
            in_block=repeats and bool(self.writers),
            writes_residual=any(writer.fullmatch(name) for writer in self.writers),
            init=fans.init,
            reason=reason,
            base_init_std=std if fans.init == "normal" else None,
            scales_attention=any(query.fullmatch(name) for query in self.queries),
        )

    def _infshape(self, name: str, shape: tuple[int, ...]) -> InfShape:
        base = self.infshapes.get(name, self.infshapes.get(name_template(name)))
        if base is None:
            raise undecided(name, shape, "it has no counterpart at the base size", hint=_SAME_NAMES)
        lengths = zip(base.base_shape(), base.shape(), shape, strict=False)
        if len(base) != len(shape) or any(
            grows is None and fixed is not None and fixed != length for grows, fixed, length in lengths
        ):
            raise undecided(
                name,
                shape,
                f"an axis changed that does not grow with width: {tuple(base.shape())} at the base width",
                hint="the function must give this axis the same length at every size, or make it grow with the width",
            )
        return zip_infshape(base, shape)

    def _given(self, name: str) -> tuple[GivenRole | None, str]:
        found = next(((role, pattern.pattern) for pattern, role in self.roles if pattern.fullmatch(name)), None)
        return (None, "") if found is None else (found[0], f"named by {found[1]}")

    def _known(self, name: str) -> tuple[GivenRole | None, str]:
        return next(((role, why) for pattern, role, why in self.preset if pattern.fullmatch(name)), (None, ""))

    def _read(self, name: str, fans: Fans, repeats: bool) -> tuple[Role, str] | None:
        """Role and reason where shapes and the module's type decide."""
        if name in self.tied:
            return Role.TIED_EMBEDDING, f"rows are looked up, and {self.tied[name]} is the same tensor"
        if fans.kind == "lookup":
            return Role.EMBEDDING, "rows are looked up"
        if fans.kind == "matrix":
            return _matrix_role(fans, repeats)
        if fans.kind == "bias" and not repeats and self._belongs_to_readout(name):
            return Role.READOUT_BIAS, "bias of the readout"
        where = "repeats with depth" if repeats else "outside the repeated layers"
        return (Role.HIDDEN_VECTOR if repeats else Role.OUTER_VECTOR), f"{fans.kind}, {where}"

    def _belongs_to_readout(self, bias: str) -> bool:
        """Whether the matrix of this bias's module reads out; norms have no matrix."""
        weight = self.infshapes.get(bias.removesuffix("bias") + "weight")
        return weight is not None and len(weight) == 2 and bool(weight[1].isinf()) and not weight[0].isinf()


def _matrix_role(fans: Fans, repeats: bool) -> tuple[Role, str] | None:
    match (fans.fan_in.isinf(), fans.fan_out.isinf()):
        case (True, True):
            return Role.HIDDEN_WEIGHT, "fan-in and fan-out grow"
        case _ if repeats:
            return None
        case (True, False):
            return Role.READOUT, "fan-in grows, fan-out does not"
        case (False, True):
            return Role.EMBEDDING, "fan-out grows, fan-in does not"
    return Role.EMBEDDING, "no axis grows with width"


def _completed(name: str, infshape: InfShape, given: GivenRole, fans: Fans | None, own_init: bool) -> Fans:
    """The fans of a parameter whose role is known; what was named goes before what the module says."""
    shape = tuple(infshape.shape())
    if given.fan_in_axis is not None:
        if given.fan_in_axis >= len(shape):
            raise undecided(name, shape, f"it has no axis {given.fan_in_axis}")
        others = [dim for axis, dim in enumerate(infshape) if axis != given.fan_in_axis]
        fan_out = next((dim for dim in others if dim.isinf()), others[-1] if others else ONE)
        fans = Fans("matrix", infshape[given.fan_in_axis], fan_out)
    if fans is None:
        fans = _raw(name, infshape, given, own_init)
    return fans if given.init is None else Fans(fans.kind, fans.fan_in, fans.fan_out, given.init)


def _raw(name: str, infshape: InfShape, given: GivenRole, own_init: bool) -> Fans:
    """A parameter whose module says nothing, but whose role was named."""
    shape = tuple(infshape.shape())
    growing = [dim for dim in infshape if dim.isinf()]
    last = infshape[-1] if len(infshape) else ONE
    if given.role is Role.EMBEDDING:
        return Fans("lookup", ONE, growing[0] if growing else last, given.init or "normal")
    if given.role in _VECTORS:
        # the model's own start takes its place
        init: Init | None = given.init or ("zeros" if own_init else None)
        if init is None:
            raise undecided(name, shape, "its init is not known", hint=_line(name, f"{given.role}, zeros", "or ones"))
        return Fans("bias" if init == "zeros" else "norm gain", ONE, growing[0] if growing else last, init)
    hint = _line(name, f"{given.role}, fan-in {max(len(shape) - 2, 0)}", "or another axis")
    raise undecided(name, shape, "the axis summed over is not known", hint=hint)


def _question(
    infshape: InfShape, owner: nn.Module, local: str, fans: Fans | None, repeats: bool, own_init: bool
) -> tuple[str, tuple[str, str] | None]:
    """Why nothing decides, and the role to suggest with the alternative."""
    if fans is None:
        why = f"`{type(owner).__name__}.{local}` is not known to be a weight, a bias or a norm's gain"
        growing = sum(1 for dim in infshape if dim.isinf())
        if len(infshape) >= 2 and growing >= 2:
            axis = len(infshape) - 2
            return why, (f"hidden weight, fan-in {axis}", f"fan-in {axis + 1} where rows are outputs")
        if len(infshape) <= 1:
            vector = Role.HIDDEN_VECTOR if repeats else Role.OUTER_VECTOR
            if own_init:
                return why, (str(vector), "it starts as the model has it")
            return why, (f"{vector}, ones", "zeros for a bias")
        return why, ("embedding", "`readout, fan-in AXIS` if its growing axis is summed over")
    why = "it repeats with depth, but only one of its axes grows with width, or none"
    match (fans.fan_in.isinf(), fans.fan_out.isinf()):
        case (True, False):
            return why, ("hidden weight", "for keys and values of fixed heads; `router` for scores of experts")
        case _:
            return why, ("embedding", "its inputs do not grow")


_SAME_NAMES = "layers must be numbered in their names (`layers.0.`, `layers.1.`), as nn.ModuleList does"
_FIXED_TABLE = "embed a fixed number of entries"


def _line(name: str, role: str, alternative: str) -> str:
    pattern = r"\.".join(r"\d+" if part.isdigit() else re.escape(part) for part in name.split("."))
    return (
        f"add to `model` of the recipe: `roles: {{'{pattern}': '{role}'}}` ({alternative}); "
        f'from Python: roles={{r"{pattern}": "{role}"}}'
    )


def undecided(
    name: str, shape: tuple[int, ...], why: str, suggested: tuple[str, str] | None = None, hint: str | None = None
) -> UsageError:
    """The error for a parameter whose role nothing decides, with the line that would."""
    return UsageError(
        "every parameter's role must follow from its module and from the axes that grow",
        received=f"{name} {shape}: {why}",
        hint=_line(name, *suggested) if suggested else hint,
    )
