"""Factors that a model's own `forward` has already, and how a plan takes account of them.

`forward` applies W = F A w: F is its own factor, a power of the model's growth; A is what the plan asks `forward` for
in addition, 1 in the gauge `plain`. A table that wants the multiplier M is met by theta = F A / M, moved as gauge.py
says, which is exact for every family of optimizers. So a readout that is multiplied by base/width in `forward` is not
scaled twice, and a factor sqrt(width) behind an embedding is taken back by its init, rate and eps.

A tied table has two uses, W = G w where it is looked up and W = F A w where it reads out. The lookup wants 1, so
theta = G, and what is left of the readout's multiplier stays in `forward`: A = M G / F.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from hptransfer.errors import UsageError
from hptransfer.parameterization.gauge import Gauge
from hptransfer.parameterization.roles import Parameter, Role
from hptransfer.parameterization.rules import Exponents, OptimizerFamily, SizeRatios

_ONE = Exponents()
#: roles that read out, and the fan that their rules follow
_READING_OUT = {Role.READOUT: "fan_in", Role.ROUTER: "fan_in", Role.TIED_EMBEDDING: "fan_out"}
#: families whose step does not follow the size of a weight, so that an offset of it changes nothing
_FREE_OF_SIZE: frozenset[OptimizerFamily] = frozenset({"adam", "sign", "sgd"})
_KNOWN_CONSTANT = frozenset({"ones", "constant"})


@dataclass(frozen=True, slots=True)
class Carried:
    """What `forward` already multiplies one parameter's output by, as powers of the model's growth.

    Attributes:
        output: where it is a matrix, a gain or a bias; of a tied table, where it reads out.
        lookup: of a tied table, where it is looked up.
    """

    output: Exponents = _ONE
    lookup: Exponents = _ONE

    def __bool__(self) -> bool:
        return self.output != _ONE or self.lookup != _ONE


def carried(parameter: Parameter, ratios: SizeRatios | None = None, *, absolute: bool = False) -> Carried:
    """The factors of a parameter.

    Args:
        parameter: with the powers that `forward` has.
        absolute: whether fans and depth of the table count from 1; what `forward` has stays relative to the base.
        ratios: growth since the base, for the letters in which a readout's rule is written: where its fan grows as the
            model does, a factor is written as a power of the fan. None keeps the width.
    """
    axis = _READING_OUT.get(parameter.role, "width")
    if absolute or ratios is None or getattr(ratios, axis) != ratios.width:
        axis = "width"
    depth = "depth" if parameter.in_block and not absolute else "layers"
    output = Exponents(**{axis: parameter.forward_width, depth: parameter.forward_depth})
    lookup = Exponents(**{axis: parameter.lookup_width}) if parameter.role is Role.TIED_EMBEDDING else _ONE
    return Carried(output, lookup)


def brought_in(wanted: Exponents, has: Carried, gauge: Gauge) -> Exponents:
    """The whole multiplier that a parameter is trained behind, its model's own factor included.

    Args:
        wanted: multiplier that the gauge has for it.
        has: factors that `forward` has already.
        gauge: where multipliers live: `plain` asks `forward` for nothing; others ask where their form has a multiplier.
    """
    asked_for_nothing = gauge == "plain" or wanted == _ONE
    return has.output if has.output != _ONE and asked_for_nothing else wanted


def started(parameter: Parameter, factor: float) -> Parameter:
    """The parameter with the constant at which it starts, where a plan moves it; any other as it is.

    A gain g of a multiplied norm starts at `factor`; one that multiplies by 1 + g starts at `factor` - 1.

    Args:
        parameter: with its init in the tables' form.
        factor: what the plan multiplies its init with, positive.
    """
    if factor == 1 or not (parameter.init in _KNOWN_CONSTANT or parameter.zero_centred):
        return parameter
    return replace(parameter, init="constant", init_value=_value(parameter, factor))


def _value(parameter: Parameter, factor: float) -> float:
    given = {"ones": 1.0, "zeros": 0.0}.get(parameter.init, parameter.init_value)
    if given is None:
        raise UsageError(
            "a constant must have a value to be scaled", received=f"{parameter.name} {parameter.shape}, a constant"
        )
    return factor * (1 + given) - 1 if parameter.zero_centred else factor * given


def require_exact(parameter: Parameter, factor: float, decay: float, family: OptimizerFamily) -> None:
    """Refuse a factor that a parameter cannot take exactly.

    Args:
        parameter: one that the plan moves.
        factor: what moving a multiplier multiplies its start with.
        decay: weight decay of the parameter in the plan.
        family: of the optimizer that trains it.

    Raises:
        UsageError: its start is a structure that is kept; or it is a gain 1 + g, whose decay would pull it elsewhere.
    """
    if factor == 1:
        return
    if parameter.init == "kept":
        raise UsageError(
            "a factor can be absorbed only by a parameter whose start can be scaled",
            received=f"{parameter.name} {parameter.shape}: a factor {factor:.6g}, and its start is kept",
            hint="apply the factor in `forward`, or give the parameter a role with `, normal`",
        )
    if not parameter.zero_centred or (decay == 0 and family in _FREE_OF_SIZE):
        return
    received = f"{parameter.name} {parameter.shape}: a gain 1 + g, times {factor:.6g}"
    if family not in _FREE_OF_SIZE:
        raise UsageError(
            "a gain 1 + g can take a factor only where steps do not follow the size of g",
            received=f"{received}, with an optimizer of the family {family}",
            hint="train with adamw, lion or sgd, or keep the depth at the base's",
        )
    raise UsageError(
        "a gain 1 + g can take a factor only where it does not decay: decay pulls g to 0, the planned gain to 1",
        received=f"{received}, weight decay {decay:g}",
        hint="leave vectors out of weight decay (`decay_vectors: false`, as published recipes do), or keep the depth "
        "at the base's",
    )
