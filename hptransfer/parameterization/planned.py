"""A plan as a value: every parameter's init, learning rate, weight decay and eps at a size, and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from hptransfer.parameterization.options import Options
from hptransfer.parameterization.roles import Parameter
from hptransfer.sizes import Size


@dataclass(frozen=True, slots=True)
class PlannedParameter:
    """One row of a plan; absolute values, ready for an optimizer's parameter group.

    Attributes:
        parameter: what the row is about.
        init_std: standard deviation of a normal init; None where the init is constant.
        learning_rate: peak learning rate of this parameter.
        weight_decay: coefficient as torch's AdamW and SGD take it; decay per step is learning rate times this.
        eps: Adam's eps; None for other optimizers.
        multiplier: factor that `forward` must apply to this weight's output; 1 in gauge `plain`.
        factors: what the base value was multiplied by, per quantity name ("init_std", "learning_rate", ...).
        sources: paper, table and row of the rule, per quantity name.
        rules: the factors as powers of multipliers, per quantity name, for example "m_in^-1".
        optimizer: name of the optimizer that trains the parameter; it differs from the plan's for what Muon does not
            train. None: the plan's.
    """

    parameter: Parameter
    init_std: float | None
    learning_rate: float
    weight_decay: float
    eps: float | None
    multiplier: float
    factors: Mapping[str, float]
    sources: Mapping[str, str]
    rules: Mapping[str, str] = field(default_factory=dict)
    optimizer: str | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything needed to initialise and optimise a model of `size`, and why.

    Attributes:
        parameterization: its name, with its parameters, for example "completep(alpha=1)".
        gauge: where multipliers live; "plain" keeps none in `forward`.
        optimizer: "adamw", "sgd", "lion", "muon" or another of `FAMILIES`.
        base: the size at which every factor is 1.
        size: size that the plan is for; factors are ratios of it to the base.
        hyperparameters: base values by name (learning_rate, weight_decay, init_scale, warmup, beta1, beta2, eps,
            momentum).
        rows: one per parameter, in `named_parameters()` order.
        notes: what a reader must know (what was chosen among published rules, what no rule covers, what is not
            gauge-invariant).
        covers: axes of a size ("width", "depth", "batch", "tokens") for which there is a rule.
        options: the named choices, defaults filled in.
        optimizer_values: beta1, beta2 and momentum at this size, those that `hyperparameters` has.
    """

    parameterization: str
    gauge: str
    optimizer: str
    base: Size
    size: Size
    hyperparameters: Mapping[str, float]
    rows: Sequence[PlannedParameter]
    notes: Sequence[str] = ()
    covers: frozenset[str] = frozenset()
    options: Options = field(default_factory=Options)
    optimizer_values: Mapping[str, float] = field(default_factory=dict)
