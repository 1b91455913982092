"""What a parameter is for, which decides how its hyperparameters scale."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Literal

#: how a parameter starts: a distribution whose std a plan sets, a constant, or a structure that is kept as it is
Init = Literal["normal", "uniform", "truncated normal", "ones", "zeros", "constant", "kept"]
#: those that can be given with a role
GivenInit = Literal["normal", "ones", "zeros"]
#: whose init a plan scales: the model's own, or that of the tables
InitSource = Literal["own", "rule"]
#: those that are drawn
DRAWN: frozenset[Init] = frozenset({"normal", "uniform", "truncated normal"})


class Role(StrEnum):
    """The roles the tables distinguish; an axis grows when it changes with the width."""

    EMBEDDING = "embedding"  # finite fan-in: token and position tables, input layers
    HIDDEN_WEIGHT = "hidden weight"  # both axes grow
    HIDDEN_VECTOR = "hidden vector"  # bias or norm gain inside a layer that repeats with depth
    OUTER_VECTOR = "outer vector"  # bias or norm gain outside the repeated layers
    READOUT = "readout"  # fan-in grows, finite fan-out
    READOUT_BIAS = "readout bias"  # added to the logits: no axis grows
    ROUTER = "router"  # scores experts: fan-in grows, as many outputs as experts; may lie inside a block
    TIED_EMBEDDING = "tied embedding"  # one tensor that is looked up and reads out; fans are those of the lookup
    FROZEN = "frozen"  # takes no gradient: neither drawn nor optimised


@dataclass(frozen=True, slots=True)
class Parameter:
    """One named parameter, as the rules see it, at one size.

    Attributes:
        name: full name, as `named_parameters()` gives it.
        shape: length of every axis at this size.
        role: what it is for.
        fan_in: inputs summed into one output at this size (1 for vectors).
        fan_out: outputs at this size (the length of a vector).
        base_fan_in: fan_in at the base size.
        base_fan_out: fan_out at the base size.
        in_block: whether it lies inside a residual block that repeats with depth; False in a network without residual
            branches, for which no table has a depth rule.
        writes_residual: whether its output is added to the residual stream.
        init: the distribution whose scale `init_std` sets, or a constant.
        reason: how the role was decided, one clause.
        base_init_std: std of the init at the base size where init_scale is 1; None where nothing is drawn.
        scales_attention: whether a factor of its output is a factor of attention logits: a query projection without a
            norm behind it.
        own_init_std: std that the model's own init gives it at this size, for a plan that scales that init; None where
            the plan draws by the tables' rule, or nothing is drawn.
        init_value: where `init` is "constant", the value.
        forward_width: power of the width's growth by which the model's own `forward` multiplies its output; of a tied
            table, where it reads out.
        forward_depth: power of the depth's growth by which the model's own `forward` multiplies its output.
        lookup_width: of a tied table, power of the width's growth by which `forward` multiplies what is looked up.
        zero_centred: whether `forward` multiplies by one plus it: a norm's gain that starts at zero.
    """

    name: str
    shape: tuple[int, ...]
    role: Role
    fan_in: int
    fan_out: int
    base_fan_in: int
    base_fan_out: int
    in_block: bool
    writes_residual: bool
    init: Init
    reason: str
    base_init_std: float | None = None
    scales_attention: bool = False
    own_init_std: float | None = None
    init_value: float | None = None
    forward_width: float = 0.0
    forward_depth: float = 0.0
    lookup_width: float = 0.0
    zero_centred: bool = False

    def forward_factor(self, width: float, depth: float) -> float:
        """What `forward` multiplies the output by, over that at the base.

        Args:
            width: growth of the model's width since the base, positive.
            depth: growth of its depth, positive.
        """
        return float(width**self.forward_width * depth**self.forward_depth)

    def without_factors(self) -> Parameter:
        """The same in a model whose `forward` multiplies by no power of the size."""
        return replace(self, forward_width=0.0, forward_depth=0.0, lookup_width=0.0)


#: gains and biases, whatever their module calls them
VECTORS: frozenset[Role] = frozenset({Role.HIDDEN_VECTOR, Role.OUTER_VECTOR, Role.READOUT_BIAS})
#: roles that are read of a model and never given
READ_ONLY: frozenset[Role] = frozenset({Role.TIED_EMBEDDING, Role.FROZEN})
