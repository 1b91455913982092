"""The role of each parameter, from the axes that grow, the layers that repeat, its module and what stands beside it."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from hptransfer.errors import UsageError
from hptransfer.models.fans import ONE, Fans, base_dim, product, summed
from hptransfer.models.growth import Repetition
from hptransfer.models.one_sided import Decided, one_sided_roles
from hptransfer.models.questions import VECTORS, Question, QuestionError, check_answer, question_about
from hptransfer.models.weights import Weight
from hptransfer.parameterization.role_presets import GivenRole
from hptransfer.parameterization.roles import Init, Parameter, Role

NAMED = re.Pattern[str]


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of a model besides its shapes; patterns match full names.

    Attributes:
        repetition: what repeats with depth.
        roles: named by the user; they go before everything.
        preset: known of the family; they decide where nothing else does. With why.
        queries: query projections whose output is a factor of attention logits.
        readouts: places of weights that a run saw reading out.
        looked_up: places of weights that a run saw looked up and multiplied.
        keeps_init: whether raw vectors may keep the model's own init; False: a plan must know how they start.
    """

    repetition: Repetition
    roles: Sequence[tuple[NAMED, GivenRole]] = ()
    preset: Sequence[tuple[NAMED, GivenRole, str]] = ()
    queries: Sequence[NAMED] = ()
    readouts: frozenset[str] = frozenset()
    looked_up: frozenset[str] = frozenset()
    keeps_init: bool = False


@dataclass(frozen=True, slots=True)
class RoleInference:
    """Decides the parameters of one model, one at a time.

    Attributes:
        weights: every parameter by name.
        known: what is known besides.
        writers: names of parameters whose output is added to the residual stream.
        tied: tables whose tensor also reads out -> the name under which it does.
        beside: matrices in layers that what stands beside them decides.
    """

    weights: Mapping[str, Weight]
    known: Known
    writers: frozenset[str] = frozenset()
    tied: Mapping[str, str] = field(default_factory=dict)
    beside: Mapping[str, Decided] = field(default_factory=dict)

    @classmethod
    def of(
        cls, weights: Mapping[str, Weight], known: Known, writers: frozenset[str], tied: Mapping[str, str]
    ) -> RoleInference:
        """With what stands beside each matrix.

        Args:
            weights: every parameter of the model, by name.
            known: what is known of it besides.
            writers: names of parameters whose output is added to the residual stream.
            tied: tables whose tensor also reads out -> the name under which it does.
        """
        return cls(weights, known, writers, tied, one_sided_roles(weights))

    def decide(self, name: str) -> Parameter:
        """Decide one parameter; what takes no gradient has a role that is asked of nobody.

        Raises:
            QuestionError: nothing decides its role.
            UsageError: the role it was given contradicts the axes that grow.
        """
        weight = self.weights[name]
        if weight.owner.module.get_parameter(weight.owner.local).requires_grad:
            return self._decided(name)
        try:
            found = self._decided(name)
        except UsageError:  # a frozen parameter's fans are those of its module, if any
            last = weight.shape[-1] if weight.shape else 1
            in_block = weight.repeats and bool(self.writers)
            found = Parameter(name, weight.shape, Role.FROZEN, 1, last, 1, last, in_block, False, "kept", "")
        reason = "it takes no gradient (`requires_grad` is False)"
        frozen = replace(found, role=Role.FROZEN, init="kept", reason=reason, base_init_std=None)
        return replace(frozen, scales_attention=False)

    def names_init(self, name: str) -> bool:
        """Whether an init was named with the parameter's role."""
        given = next((role for pattern, role in self.known.roles if pattern.fullmatch(name)), None)
        return given is not None and given.init is not None

    def _decided(self, name: str) -> Parameter:
        """Decide a parameter that is trained.

        Raises:
            QuestionError: nothing decides its role.
            UsageError: the role it was given contradicts the axes that grow.
        """
        weight = self.weights[name]
        in_block = weight.repeats and bool(self.writers)
        found = next(((role, pattern.pattern) for pattern, role in self.known.roles if pattern.fullmatch(name)), None)
        if found is not None:
            given, pattern = found
            read = self._read(weight) or self.beside.get(name)
            pasted = self.known.repetition.pattern(name)
            check_answer(weight, given, (pattern, pasted), read and str(read[0].role), in_block=in_block)
            return self._parameter(weight, _completed(weight, given, self.known), given.role, f"named by {pattern}")
        if weight.fans is not None and weight.fans.kind == "lookup" and weight.infshape[0].isinf():
            why = "the number of entries of a table grows with width"
            raise QuestionError(Question(name, weight.shape, why, hint=_FIXED_TABLE))
        decided = self._read(weight) or self._of_family(name) or self.beside.get(name)
        if decided is None:
            keeps_init = self.known.keeps_init
            raise QuestionError(question_about(weight, self.weights, reads_out=self.reads_out, keeps_init=keeps_init))
        given, reason = decided
        return self._parameter(weight, _completed(weight, given, self.known), given.role, reason)

    @property
    def reads_out(self) -> bool:
        """Whether a readout is known: tied, seen, or a matrix outside the layers whose fan-in alone grows."""
        return (
            bool(self.tied)
            or bool(self.known.readouts)
            or any(each.is_matrix and each.sums == (True, False) and not each.repeats for each in self.weights.values())
        )

    def _parameter(self, weight: Weight, fans: Fans, role: Role, reason: str) -> Parameter:
        base_fan_in = base_dim(fans.fan_in)
        std = 1.0 if fans.kind == "lookup" else 1 / math.sqrt(base_fan_in)
        name = weight.name
        return Parameter(
            name=name,
            shape=weight.shape,
            role=role,
            fan_in=int(fans.fan_in.dim),
            fan_out=int(fans.fan_out.dim),
            base_fan_in=base_fan_in,
            base_fan_out=base_dim(fans.fan_out),
            in_block=weight.repeats and bool(self.writers),
            writes_residual=name in self.writers,
            init=fans.init,
            reason=reason,
            base_init_std=std if fans.init == "normal" else None,
            scales_attention=any(query.fullmatch(name) for query in self.known.queries),
        )

    def _of_family(self, name: str) -> Decided | None:
        return next(((role, why) for pattern, role, why in self.known.preset if pattern.fullmatch(name)), None)

    def _read(self, weight: Weight) -> Decided | None:
        """Role and reason where shapes and the module's type decide."""
        name, fans = weight.name, weight.fans
        match "lookup" if name in self.tied else fans.kind if fans else None:
            case None:
                return self._raw(weight)
            case "lookup":
                return self._table(name)
            case "matrix" if weight.sums == (True, False) and self._looked_up(name):
                return GivenRole(Role.TIED_EMBEDDING), "it reads out, and its rows were seen looked up"
            case "matrix":
                return _matrix_role(weight)
            case "bias" if not weight.repeats and self._belongs_to_readout(weight):
                return GivenRole(Role.READOUT_BIAS), "bias of the readout"
            case kind:
                return _vector(weight, kind)

    def _looked_up(self, name: str) -> bool:
        return self.known.repetition.place(name) in self.known.looked_up

    def _table(self, name: str) -> Decided:
        if name in self.tied:
            return GivenRole(Role.TIED_EMBEDDING), f"rows are looked up, and {self.tied[name]} is the same tensor"
        if self.known.repetition.place(name) in self.known.readouts:
            return GivenRole(Role.TIED_EMBEDDING), "rows are looked up, and the same tensor was seen reading out"
        return GivenRole(Role.EMBEDDING), "rows are looked up"

    def _raw(self, weight: Weight) -> Decided | None:
        """A parameter whose module says nothing, where its shape does."""
        axes = len(weight.infshape)
        if axes >= 3 and weight.infshape[0].dim == 1 and weight.growing == (axes - 1,) and not weight.repeats:
            return GivenRole(Role.EMBEDDING), "rows for every example, which are added or stand beside others"
        if weight.is_vector and self.known.keeps_init and (weight.repeats or self.reads_out):
            return _vector(weight, "raw vector")
        return None

    def _belongs_to_readout(self, bias: Weight) -> bool:
        """Whether the matrix of this bias's module reads out; norms have no matrix."""
        own = self.weights.get(bias.name.removesuffix("bias") + "weight")
        if own is None:  # the weight stands in the table that it is tied to
            path = f"{bias.owner.path}.weight" if bias.owner.path else "weight"
            return path in self.tied.values()
        return own.is_matrix and own.sums == (True, False) and not own.repeats


def _vector(weight: Weight, kind: str) -> Decided:
    where = "repeats with depth" if weight.repeats else "outside the repeated layers"
    return GivenRole(Role.HIDDEN_VECTOR if weight.repeats else Role.OUTER_VECTOR), f"{kind}, {where}"


def _matrix_role(weight: Weight) -> Decided | None:
    if weight.sums == (True, True):
        return GivenRole(Role.HIDDEN_WEIGHT), "fan-in and fan-out grow"
    if weight.repeats:
        return None
    match weight.sums:
        case (True, False):
            return GivenRole(Role.READOUT), "fan-in grows, fan-out does not"
        case (False, True):
            return GivenRole(Role.EMBEDDING), "fan-out grows, fan-in does not"
    return GivenRole(Role.EMBEDDING), "no axis grows with width"


def _completed(weight: Weight, given: GivenRole, known: Known) -> Fans:
    """The fans of a parameter whose role is known; what was named goes before what the module says."""
    fans = weight.fans
    if given.role is Role.TIED_EMBEDDING:
        fans = Fans("lookup", ONE, weight.infshape[1])
    elif given.fan_in_axes is not None and (fans is None or fans.kind != "matrix"):
        fans = summed(weight.infshape, given.fan_in_axes)
    if fans is None:
        fans = _raw(weight, given, known)
    return fans if given.init is None else Fans(fans.kind, fans.fan_in, fans.fan_out, given.init)


def _raw(weight: Weight, given: GivenRole, known: Known) -> Fans:
    """A parameter whose module says nothing, but whose role is known."""
    infshape = weight.infshape
    growing = [infshape[axis] for axis in weight.growing]
    fan_out = product(growing) if growing else infshape[-1] if len(infshape) else ONE
    if given.role is Role.EMBEDDING:
        return Fans("lookup", ONE, fan_out, given.init or "normal")
    if given.role in VECTORS:
        init: Init | None = given.init or ("kept" if known.keeps_init else None)
        if init is None:
            raise QuestionError(
                Question(weight.name, weight.shape, "its init is not known", f"{given.role}, zeros", "or ones")
            )
        return Fans("bias" if init == "zeros" else "norm gain", ONE, fan_out, init)
    question = question_about(weight, {}, reads_out=True, keeps_init=known.keeps_init)
    axes = re.search(r"fan-in [0-9+]+", question.role)
    role = f"{given.role}, {axes[0] if axes else f'fan-in {max(len(infshape) - 2, 0)}'}"
    raise QuestionError(
        Question(weight.name, weight.shape, "the axis summed over is not known", role, "or another axis")
    )


_FIXED_TABLE = "embed a fixed number of entries"
