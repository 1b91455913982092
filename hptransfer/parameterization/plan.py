"""The plan: every parameter's init, learning rate, weight decay and eps at a size, with the rule behind each."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from hptransfer.errors import UsageError
from hptransfer.parameterization.gauge import Gauge, theta_of, transform
from hptransfer.parameterization.horizon import covered_axes, horizon_source, optimizer_values, over_horizon
from hptransfer.parameterization.notes import plan_notes
from hptransfer.parameterization.options import Options
from hptransfer.parameterization.preconditions import (
    require_branches,
    require_decoupled,
    require_known,
    require_relevant,
)
from hptransfer.parameterization.roles import Parameter, Role
from hptransfer.parameterization.rules import (
    ABSOLUTE_SYMBOLS,
    OPTION_OF,
    SYMBOLS,
    Exponents,
    Multipliers,
    Quantity,
    Rule,
    Table,
)
from hptransfer.parameterization.tables import TABLES, ParameterizationSpec, find_table
from hptransfer.sizes import Size

#: base values a plan needs; eps for Adam only
NEEDED = ("learning_rate", "weight_decay", "init_scale")


@dataclass(frozen=True, slots=True)
class PlannedParameter:
    """One row of a plan; absolute values, ready for an optimizer's parameter group.

    Attributes:
        parameter: what the row is about.
        init_std: standard deviation of a normal init; None where the init is constant.
        learning_rate: peak learning rate of this parameter.
        weight_decay: as torch's AdamW and SGD take it.
        eps: Adam's eps; None for other optimizers.
        multiplier: factor that `forward` must apply to this weight's output; 1 in gauge `plain`.
        factors: what the base value was multiplied by, per quantity name ("init_std", "learning_rate", ...).
        sources: paper, table and row of the rule, per quantity name.
        rules: the factors as powers of multipliers, per quantity name, for example "m_in^-1".
        optimizer: which optimizer the row is for; it differs from the plan's beside Muon. None: the plan's.
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
        size: the size planned.
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


@dataclass(frozen=True, slots=True)
class _Column:
    """One table with what is needed to plan the parameters that follow it."""

    table: Table
    optimizer: str
    base_values: Mapping[Quantity, float]


@dataclass(frozen=True, slots=True)
class _Request:
    """What holds for every parameter of a plan."""

    base: Size
    size: Size
    alpha: float
    gauge: Gauge
    options: Options


def plan(
    parameterization: ParameterizationSpec,
    base: Size,
    size: Size,
    parameters: Sequence[Parameter],
    hyperparameters: Mapping[str, float],
    *,
    optimizer: str,
    gauge: Gauge = "plain",
    options: Options | None = None,
    head_dims: tuple[int, int] | None = None,
) -> Plan:
    """Scale base values to every parameter of a model of another size.

    Args:
        parameterization: name and alpha; a recipe's `parameterization` section will do.
        base: the size at which every factor is 1.
        size: the size planned for.
        parameters: the model's parameters at `size`, each with its role.
        hyperparameters: base values; learning_rate, weight_decay, init_scale and, for Adam, eps are needed. Beside
            Muon, `beside_learning_rate` is the rate of embeddings, readouts and vectors.
        optimizer: a name in `FAMILIES`.
        gauge: "plain" for models without multipliers in `forward`, "multipliers" for models that apply them as the
            table prints them; the others are in `gauge.GAUGES`.
        options: named choices among published rules; None takes the table's defaults.
        head_dims: size of a head at the base and at `size`, where attention must be looked after.

    Returns:
        The plan, one row per parameter.

    Raises:
        UsageError: an unknown parameterization, a missing value, or a parameter for which the table has no rule.
    """
    table, alpha = find_table(parameterization, optimizer)
    given = options or Options()
    beside = _beside(table, given)
    chosen = given.filled(table.defaults if beside is None else table.defaults.filled(beside.defaults))
    tables = [table] if beside is None else [table, beside]
    require_known(tables, chosen)
    require_relevant(tables, given)
    require_decoupled(optimizer, hyperparameters)
    require_branches(table, base, size, parameters)
    main = _Column(table, optimizer, _base_values(table, chosen, hyperparameters))
    others = None
    if beside is not None:
        rates = {"learning_rate": hyperparameters.get("beside_learning_rate", hyperparameters.get("learning_rate"))}
        values = {**hyperparameters, **{name: rate for name, rate in rates.items() if rate is not None}}
        others = _Column(beside, str(chosen.beside_muon), _base_values(beside, chosen, values))
    request = _Request(base, size, alpha, gauge, chosen)
    rows = tuple(_plan_parameter(_column(main, others, parameter), request, parameter) for parameter in parameters)
    result = Plan(
        parameterization=table.name if table.alpha is None else f"{table.name}(alpha={alpha:g})",
        gauge=gauge,
        optimizer=optimizer,
        base=base,
        size=size,
        hyperparameters=dict(hyperparameters),
        rows=rows,
        covers=covered_axes(table, chosen),
        options=chosen,
        optimizer_values=optimizer_values(beside or table, chosen, base, size, hyperparameters),
    )
    return replace(result, notes=tuple(plan_notes(result, table, head_dims)))


def _beside(table: Table, given: Options) -> Table | None:
    """The table of what Muon does not train."""
    if table.family != "orthogonal":
        return None
    return TABLES[table.name, "sign" if given.beside_muon == "lion" else "adam"]


def _column(main: _Column, others: _Column | None, parameter: Parameter) -> _Column:
    return main if others is None or parameter.role is Role.HIDDEN_WEIGHT else others


def _base_values(table: Table, chosen: Options, hyperparameters: Mapping[str, float]) -> dict[Quantity, float]:
    needed = (*NEEDED, "eps") if table.family == "adam" else NEEDED
    for name in needed:
        value = hyperparameters.get(name)
        low = 0.0 if name == "weight_decay" else math.ulp(0.0)
        if value is None or not (math.isfinite(value) and value >= low):
            raise UsageError(
                f"`{name}` must be a finite number {'>= 0' if name == 'weight_decay' else '> 0'}", received=str(value)
            )
    # the independent choices give the decay per step; torch multiplies by the learning rate again
    per_step = chosen.weight_decay in {"independent", "inverse"}
    decay = hyperparameters["weight_decay"]
    values = {
        Quantity.INIT_STD: hyperparameters["init_scale"],
        Quantity.MULTIPLIER: 1.0,
        Quantity.LEARNING_RATE: hyperparameters["learning_rate"],
        Quantity.WEIGHT_DECAY: decay / hyperparameters["learning_rate"] if per_step else decay,
    }
    if table.family == "adam":
        values[Quantity.EPS] = hyperparameters["eps"]
    return values


def _plan_parameter(column: _Column, request: _Request, parameter: Parameter) -> PlannedParameter:
    table, alpha = column.table, request.alpha
    rules = _rules_of(table, parameter, request.options)
    exponents, sources = _scaled(table, rules, parameter, request.options)
    theta = _theta(table, exponents, parameter, request)
    if theta != _ONE:
        moved = exponents[Quantity.MULTIPLIER]
        change = "absorbed" if request.gauge == "plain" else f"moved into gauge {request.gauge}"
        note = f"; forward multiplier {moved.text(alpha, _symbols(table))} {change} ({sources[Quantity.MULTIPLIER]})"
        sources = {quantity: source + note for quantity, source in sources.items()}
        exponents = transform(exponents, table.family, theta)
    multipliers = _multipliers(table, parameter, request)
    factors = {quantity: power.factor(multipliers, alpha) for quantity, power in exponents.items()}
    texts = {quantity: power.text(alpha, _symbols(table)) for quantity, power in exponents.items()}
    if rules[Quantity.WEIGHT_DECAY].off:
        factors[Quantity.WEIGHT_DECAY], texts[Quantity.WEIGHT_DECAY] = 0.0, "0"
    values = {quantity: column.base_values[quantity] * factor for quantity, factor in factors.items()}
    std = 1.0 if table.absolute and parameter.base_init_std is not None else parameter.base_init_std
    return PlannedParameter(
        parameter=parameter,
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


_ONE = Exponents()


def _symbols(table: Table) -> Mapping[str, str]:
    return ABSOLUTE_SYMBOLS if table.absolute else SYMBOLS


def _multipliers(table: Table, parameter: Parameter, request: _Request) -> Multipliers:
    """Ratios to the base; an absolute table counts width and depth from 1."""
    base, size = request.base, request.size
    base_in, base_out, base_width, base_depth = (
        (1, 1, 1, 1) if table.absolute else (parameter.base_fan_in, parameter.base_fan_out, base.width, base.depth)
    )
    layers = size.depth / base_depth
    return Multipliers(
        fan_in=parameter.fan_in / base_in,
        fan_out=parameter.fan_out / base_out,
        larger=max(parameter.fan_in, parameter.fan_out) / max(base_in, base_out),
        width=size.width / base_width,
        depth=layers if parameter.in_block else 1.0,
        layers=layers,
        batch=size.batch_size / base.batch_size,
        tokens=size.tokens / base.tokens,
    )


def _rules_of(table: Table, parameter: Parameter, options: Options) -> dict[Quantity, Rule]:
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


def _has(table: Table, quantity: Quantity) -> bool:
    return table.family == "adam" or quantity is not Quantity.EPS


def _scaled(
    table: Table, rules: Mapping[Quantity, Rule], parameter: Parameter, options: Options
) -> tuple[dict[Quantity, Exponents], dict[Quantity, str]]:
    """Powers of one parameter with batch, duration and its residual branch, and their sources."""
    exponents = over_horizon({quantity: rule.exponents for quantity, rule in rules.items()}, table.family, options)
    for quantity, unmoved in ((Quantity.WEIGHT_DECAY, "unscaled"), (Quantity.EPS, "none")):
        if quantity in exponents and getattr(options, OPTION_OF[quantity]) == unmoved:
            exponents[quantity] = rules[quantity].exponents
    if rules[Quantity.WEIGHT_DECAY].per_step:
        exponents[Quantity.WEIGHT_DECAY] = (
            rules[Quantity.WEIGHT_DECAY].exponents * exponents[Quantity.LEARNING_RATE] ** -1
        )
    sources = {
        quantity: str(rule.source)
        + ("" if rule.per_step else horizon_source(rule, exponents[quantity], table.family, options))
        for quantity, rule in rules.items()
    }
    if table.residual is not None and parameter.writes_residual:
        exponents[Quantity.MULTIPLIER] *= table.residual.exponents
        sources[Quantity.MULTIPLIER] = str(table.residual.source)
    return exponents, sources


def _theta(table: Table, exponents: Mapping[Quantity, Exponents], parameter: Parameter, request: _Request) -> Exponents:
    """What moves the parameter into the gauge, where it can be moved."""
    branch = table.residual.exponents if table.residual is not None and parameter.writes_residual else _ONE
    theta = theta_of(exponents, branch.at(request.alpha), parameter.role, request.gauge)
    theta = theta.at(request.alpha)
    if theta == _ONE:
        return theta
    if parameter.role is Role.TIED_EMBEDDING:
        factor = exponents[Quantity.MULTIPLIER]
        value = factor.factor(_multipliers(table, parameter, request), request.alpha)
        raise UsageError(
            "the readout's multiplier must stay in `forward` where the readout shares its weight with the embedding: "
            "scaling the shared weight would scale the embedding too",
            received=f"{parameter.name} {parameter.shape}, tied, gauge {request.gauge}",
            hint=f"multiply the logits by {factor.text(request.alpha)} = {value:.6g} in `forward`, for example "
            f'`logits = {value:.6g} * readout(h)`, and plan in the gauge "table8"; or untie the weights',
        )
    if parameter.init == "ones":
        if request.gauge != "plain":
            return _ONE  # a gain keeps its own form: the tables' multipliers are for inputs and biases
        raise UsageError(
            "a forward multiplier can be absorbed only by a parameter with a random or zero init",
            received=f"{parameter.name} {parameter.shape}, initialised to ones",
            hint='plan it in the gauge "multipliers" and apply the multiplier in `forward`',
        )
    return theta
