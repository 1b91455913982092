"""A plan as a value, and its rows: a parameter's rules, brought into a gauge and multiplied out at a size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from hptransfer.errors import UsageError
from hptransfer.parameterization.batch_and_duration import (
    HELD,
    batch_and_duration_source,
    holding_timescale,
    with_batch_and_duration,
)
from hptransfer.parameterization.forward_factor import Carried, brought_in, carried, require_exact, started
from hptransfer.parameterization.gauge import TRANSFORMATION, Gauge, absorbed_factor, transform
from hptransfer.parameterization.role_multipliers import RATE_RATIO, role_multipliers_of
from hptransfer.parameterization.roles import VECTORS, Parameter, Role
from hptransfer.parameterization.rules import (
    ABSOLUTE_SYMBOLS,
    PER_STEP,
    SYMBOLS,
    WITH_EPS,
    Exponents,
    Options,
    Quantity,
    Rule,
    RuleTable,
    SizeRatios,
)
from hptransfer.parameterization.tables import TABLES
from hptransfer.sizes import AXES, MODEL_AXES, Size, rule_name


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
        optimizer: name of the optimizer that trains the parameter; it differs from the plan's for what Muon, AdamH and
            MuonH do not train. None: the plan's.
        absorbed: factor of `forward` in the form with multipliers (Table 8 of Tensor Programs V), over `multiplier`.
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
    absorbed: float = 1.0


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything needed to initialise and optimise a model of `size`, and why.

    Attributes:
        parameterization: its name, with its parameters, for example "completep(alpha=1)".
        gauge: where multipliers live; "plain" keeps none in `forward`.
        optimizer: name of the optimizer, a key of `FAMILIES`.
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
        config_values: key of the model's configuration -> value that makes `forward` multiply as planned at this size;
            empty where there is no such key.
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
    config_values: Mapping[str, float | list[float]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class OptimizerTable:
    """One table with what is needed to plan the parameters that follow it.

    Attributes:
        table: the rules, of one parameterization and optimizer family.
        optimizer: name of the optimizer that trains these parameters.
        base_values: value of each quantity at the base size.
        beside: whether it is for what an optimizer of hidden weights leaves to another.
    """

    table: RuleTable
    optimizer: str
    base_values: Mapping[Quantity, float]
    beside: bool = False


@dataclass(frozen=True, slots=True)
class PlanRequest:
    """What holds for every parameter of a plan; of the hyperparameters, multipliers of roles are read.

    Attributes:
        base: size at which every factor is 1.
        size: size that is planned for.
        alpha: exponent of residual branches; 0 where the table has none.
        gauge: where multipliers live, one of `GAUGES`.
        options: named choices among published rules, defaults filled in.
        hyperparameters: base values by name; only multipliers of roles are read.
    """

    base: Size
    size: Size
    alpha: float
    gauge: Gauge
    options: Options
    hyperparameters: Mapping[str, float] = field(default_factory=dict)


def plan_parameter(column: OptimizerTable, request: PlanRequest, parameter: Parameter) -> PlannedParameter:
    """The row of one parameter.

    Args:
        column: the rules that the parameter follows, with base values.
        request: what holds for every parameter of the plan.
        parameter: the parameter with its role and fans.

    Raises:
        UsageError: the table has no rule for it, or the gauge cannot absorb its multiplier.
    """
    if parameter.role is Role.FROZEN:
        return _frozen(column, parameter)
    table, alpha = column.table, request.alpha
    rules = _rules_of(table, parameter, request.options)
    exponents, sources = _scaled(table, rules, parameter, request.options)
    multipliers = _multipliers(table, parameter, request)
    has = carried(parameter, multipliers, absolute=table.absolute)
    theta = _theta(table, exponents, parameter, alpha, request.gauge, has)
    if theta != _ONE:
        note = _moved(table, exponents[Quantity.MULTIPLIER], sources[Quantity.MULTIPLIER], request, has)
        sources = {quantity: source + note for quantity, source in sources.items()}
        exponents = transform(exponents, table.family, theta)
    if has.output != _ONE:
        exponents[Quantity.MULTIPLIER] *= has.output**-1
        if theta == _ONE:
            sources[Quantity.MULTIPLIER] += f"; {_in_forward(table, has)}"
    factors = {quantity: power.factor(multipliers, alpha) for quantity, power in exponents.items()}
    texts = {quantity: power.text(alpha, _symbols(table)) for quantity, power in exponents.items()}
    if not _decays(rules, parameter, request.options):
        factors[Quantity.WEIGHT_DECAY], texts[Quantity.WEIGHT_DECAY] = 0.0, "0"
    for quantity, by in _tuned(column, parameter, request).items():
        for name, value in by if quantity in factors and texts[quantity] != "0" else ():
            factors[quantity] *= value
            texts[quantity] = f"{name} {texts[quantity]}".removesuffix(" 1")
            sources[quantity] += f"; {name}, tuned"
    values = {quantity: column.base_values[quantity] * factor for quantity, factor in factors.items()}
    std = 1.0 if table.absolute and parameter.base_init_std is not None else parameter.base_init_std
    moved = (theta**-1).factor(multipliers, alpha) * _tuned_behind(parameter, request)
    require_exact(parameter, moved, values[Quantity.WEIGHT_DECAY], table.family)
    return PlannedParameter(
        parameter=started(parameter, moved),
        init_std=None if std is None else std * values[Quantity.INIT_STD],
        learning_rate=values[Quantity.LEARNING_RATE],
        weight_decay=values[Quantity.WEIGHT_DECAY],
        eps=values.get(Quantity.EPS),
        multiplier=values[Quantity.MULTIPLIER],
        factors={quantity.value: factor for quantity, factor in factors.items()},
        sources={quantity.value: source for quantity, source in sources.items()},
        rules={quantity.value: text for quantity, text in texts.items()},
        optimizer=column.optimizer,
    )


def _frozen(column: OptimizerTable, parameter: Parameter) -> PlannedParameter:
    """The row of a parameter that takes no gradient: it is left as it is, and in no group of the optimizer."""
    quantities = [quantity for quantity in Quantity if _has(column.table, quantity)]
    off = (Quantity.LEARNING_RATE, Quantity.WEIGHT_DECAY)
    return PlannedParameter(
        parameter=parameter,
        init_std=None,
        learning_rate=0.0,
        weight_decay=0.0,
        eps=None,
        multiplier=1.0,
        factors={quantity.value: 0.0 if quantity in off else 1.0 for quantity in quantities},
        sources=dict.fromkeys((quantity.value for quantity in quantities), "the model: `requires_grad` is False"),
        rules={quantity.value: "0" if quantity in off else "1" for quantity in quantities},
        optimizer=column.optimizer,
    )


_ONE = Exponents()


def _tuned(
    column: OptimizerTable, parameter: Parameter, request: PlanRequest
) -> dict[Quantity, list[tuple[str, float]]]:
    """The constants of the parameter's role, per quantity: their names, with powers, and values."""
    tuned = role_multipliers_of(parameter, request.hyperparameters)
    found = {quantity: [(by.name, by.value)] for quantity, by in tuned.items()}
    ratio = request.hyperparameters.get(RATE_RATIO, 1.0)
    if column.beside and ratio != 1:
        found.setdefault(Quantity.LEARNING_RATE, []).append((RATE_RATIO, ratio))
    if request.options.weight_decay in PER_STEP and Quantity.LEARNING_RATE in found:
        # the decay per step is the same for every parameter, whatever its learning rate
        found[Quantity.WEIGHT_DECAY] = [(f"{name}^-1", 1 / value) for name, value in found[Quantity.LEARNING_RATE]]
    forward = tuned.get(Quantity.MULTIPLIER)
    if forward is not None and _tuned_behind(parameter, request) != 1:
        del found[Quantity.MULTIPLIER]
        for quantity, power in TRANSFORMATION[column.table.family].items():
            if power and quantity is not Quantity.MULTIPLIER:
                name = forward.name if power == -1 else f"{forward.name}^{-power}"
                found.setdefault(quantity, []).append((name, forward.value**-power))
    return found


def _tuned_behind(parameter: Parameter, request: PlanRequest) -> float:
    """The tuned forward multiplier that the parameter takes; that of a tied table stays in `forward`."""
    if request.gauge != "plain" or parameter.role is Role.TIED_EMBEDDING:
        return 1.0
    tuned = role_multipliers_of(parameter, request.hyperparameters).get(Quantity.MULTIPLIER)
    return 1.0 if tuned is None else tuned.value


def _moved(table: RuleTable, wanted: Exponents, source: str, request: PlanRequest, has: Carried) -> str:
    """What the sources say of a multiplier that was moved."""
    text = wanted.text(request.alpha, _symbols(table))
    change = "absorbed" if request.gauge == "plain" else f"moved into gauge {request.gauge}"
    if not has:
        return f"; forward multiplier {text} {change} ({source})"
    return f"; {_in_forward(table, has)}: the difference from {text} {change} ({source})"


def _in_forward(table: RuleTable, has: Carried) -> str:
    """The factors that `forward` has, as sources name them."""
    uses = {"": has.output, " where it is looked up": has.lookup}
    told = (f"by {power.text(0.0, _symbols(table))}{use}" for use, power in uses.items() if power != _ONE)
    return f"forward multiplies {' and '.join(told)} already"


def _symbols(table: RuleTable) -> Mapping[str, str]:
    return ABSOLUTE_SYMBOLS if table.absolute else SYMBOLS


def _multipliers(table: RuleTable, parameter: Parameter, request: PlanRequest) -> SizeRatios:
    """Ratios to the base; an absolute table counts fans and depth from 1, and `forward`'s own factors by the others."""
    base, size = request.base, request.size
    base_in, base_out, base_depth = (
        (1, 1, 1) if table.absolute else (parameter.base_fan_in, parameter.base_fan_out, base.depth)
    )
    run_axes = (axis for axis in AXES if axis not in MODEL_AXES and rule_name(axis) in SYMBOLS)
    return SizeRatios(
        fan_in=parameter.fan_in / base_in,
        fan_out=parameter.fan_out / base_out,
        larger=max(parameter.fan_in, parameter.fan_out) / max(base_in, base_out),
        width=size.width / base.width,
        depth=size.depth / base_depth if parameter.in_block else 1.0,
        layers=size.depth / base.depth,
        **{rule_name(axis): getattr(size, axis) / getattr(base, axis) for axis in run_axes},
    )


def _rules_of(table: RuleTable, parameter: Parameter, options: Options) -> dict[Quantity, Rule]:
    """The table's rules for one parameter, all of them or an error."""
    rules = table.rules_for(parameter.role, options)
    missing = [quantity for quantity in Quantity if quantity not in rules and _has(table, quantity)]
    if missing:
        known = sorted(
            {
                name
                for (name, family), of in TABLES.items()
                if family == table.family and of.rules_for(parameter.role, of.defaults)
            }
        )
        raise UsageError(
            f"a rule for a {parameter.role.value} under `{table.name}` must have a source, and none is known for "
            f"{', '.join(quantity.value for quantity in missing)}",
            received=f"{parameter.name} {parameter.shape}",
            hint=f"known under {', '.join(known) or 'no parameterization'} for this optimizer"
            + (", or untie the weights" if parameter.role is Role.TIED_EMBEDDING else ""),
        )
    return rules


def _has(table: RuleTable, quantity: Quantity) -> bool:
    return table.family in WITH_EPS or quantity is not Quantity.EPS


def _decays(rules: Mapping[Quantity, Rule], parameter: Parameter, options: Options) -> bool:
    """Whether the parameter is decayed at all, by its rule and by the choice for vectors."""
    if rules[Quantity.WEIGHT_DECAY].off:
        return False
    return options.decay_vectors is not False or not (parameter.role in VECTORS or len(parameter.shape) < MATRIX_AXES)


#: a tensor with fewer axes is a vector, whatever it is for
MATRIX_AXES = 2


def _scaled(
    table: RuleTable, rules: Mapping[Quantity, Rule], parameter: Parameter, options: Options
) -> tuple[dict[Quantity, Exponents], dict[Quantity, str]]:
    """Powers of one parameter with batch, duration and its residual branch, and their sources."""
    exponents = with_batch_and_duration(
        {quantity: rule.exponents for quantity, rule in rules.items()}, table.family, options
    )
    for quantity, chosen, unmoved in (
        (Quantity.WEIGHT_DECAY, options.weight_decay, "unscaled"),
        (Quantity.EPS, options.eps, "none"),
    ):
        if quantity in exponents and chosen == unmoved:
            exponents[quantity] = rules[quantity].exponents
    if rules[Quantity.WEIGHT_DECAY].per_step:
        exponents[Quantity.WEIGHT_DECAY] = (
            rules[Quantity.WEIGHT_DECAY].exponents * exponents[Quantity.LEARNING_RATE] ** -1
        )
    held = options.decay_timescale == "held"
    if held:
        exponents[Quantity.WEIGHT_DECAY] = holding_timescale(exponents)
    sources = {
        quantity: str(rule.source)
        + ("" if rule.per_step else batch_and_duration_source(rule, exponents[quantity], table.family, options))
        for quantity, rule in rules.items()
    }
    if held:
        sources[Quantity.WEIGHT_DECAY] = f"{rules[Quantity.WEIGHT_DECAY].source}; {HELD}"
    if table.residual is not None and parameter.writes_residual:
        exponents[Quantity.MULTIPLIER] *= table.residual.exponents
        sources[Quantity.MULTIPLIER] = str(table.residual.source)
    return exponents, sources


def _theta(
    table: RuleTable,
    exponents: Mapping[Quantity, Exponents],
    parameter: Parameter,
    alpha: float,
    gauge: Gauge,
    has: Carried,
) -> Exponents:
    """What moves the parameter into the gauge, by way of what `forward` has already."""
    if parameter.role is Role.TIED_EMBEDDING:
        return has.lookup  # the lookup's use fixes the table; what the readout lacks stays in its own factor
    branch = table.residual.exponents if table.residual is not None and parameter.writes_residual else _ONE
    theta = absorbed_factor(exponents, branch.at(alpha), parameter.role, gauge).at(alpha)
    if (parameter.init in _GAINS or parameter.zero_centred) and gauge != "plain":
        theta = _ONE  # a gain keeps its own form: the tables' multipliers are for inputs and biases
    if has.output == _ONE:
        return theta
    wanted = exponents[Quantity.MULTIPLIER]
    return (brought_in((theta * wanted).at(alpha), has, gauge) * wanted**-1).at(alpha)


#: what starts at a constant
_GAINS = ("ones", "constant")


def exponents_of(
    table: RuleTable, parameter: Parameter, alpha: float, gauge: Gauge, options: Options
) -> dict[Quantity, Exponents | None]:
    """The powers by which a plan scales each quantity of one parameter, at whatever size.

    Args:
        table: the parameterization, for the optimizer that trains this parameter.
        parameter: with its role; the lengths of its axes do not matter.
        alpha: residual exponent, between 0.5 and 1; 0 where the table has none.
        gauge: where multipliers live: "plain", "multipliers" or "unit".
        options: named choices among published rules, defaults filled in.

    Returns:
        Powers by quantity, alpha put in; None for a weight decay that the rule switches off.

    Raises:
        UsageError: the table has no rule for the parameter's role.
    """
    if parameter.role is Role.FROZEN:
        return {}
    rules = _rules_of(table, parameter, options)
    exponents, _ = _scaled(table, rules, parameter, options)
    theta = _theta(table, exponents, parameter, alpha, gauge, carried(parameter, absolute=table.absolute))
    moved = exponents if theta == _ONE else transform(exponents, table.family, theta)
    return {
        quantity: moved[quantity].at(alpha)
        if quantity is not Quantity.WEIGHT_DECAY or _decays(rules, parameter, options)
        else None
        for quantity in Quantity
        if quantity in moved
    }
