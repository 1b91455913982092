"""The plan: every parameter's init, learning rate, weight decay and eps at a size, with the rule behind each."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from hptransfer.errors import UsageError
from hptransfer.parameterization.gauge import Gauge, absorb
from hptransfer.parameterization.roles import Parameter
from hptransfer.parameterization.rules import Exponents, Multipliers, Quantity, Table
from hptransfer.parameterization.tables import ParameterizationSpec, find_table
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
        eps: Adam's eps; None for SGD.
        multiplier: factor that `forward` must apply to this weight's output; 1 in gauge `plain`.
        factors: what the base value was multiplied by, per quantity name ("init_std", "learning_rate", ...).
        sources: paper, table and row of the rule, per quantity name.
        rules: the factors as powers of multipliers, per quantity name, for example "m_in^-1".
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


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything needed to initialise and optimise a model of `size`, and why.

    Attributes:
        parameterization: its name, with its parameters, for example "completep(alpha=1)".
        gauge: where multipliers live; "plain" keeps none in `forward`.
        optimizer: "adamw" or "sgd".
        base: the size at which every factor is 1.
        size: the size planned.
        hyperparameters: base values by name (learning_rate, weight_decay, init_scale, warmup, beta1, beta2, eps,
            momentum).
        rows: one per parameter, in `named_parameters()` order.
        notes: what a reader must know (what no rule covers, what is not gauge-invariant).
        covers: axes of a size ("width", "depth", "batch", "tokens") for which the parameterization has rules.
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


def plan(
    parameterization: ParameterizationSpec,
    base: Size,
    size: Size,
    parameters: Sequence[Parameter],
    hyperparameters: Mapping[str, float],
    *,
    optimizer: str,
    gauge: Gauge = "plain",
) -> Plan:
    """Scale base values to every parameter of a model of another size.

    Args:
        parameterization: name and alpha; a recipe's `parameterization` section will do.
        base: the size at which every factor is 1.
        size: the size planned for.
        parameters: the model's parameters at `size`, each with its role.
        hyperparameters: base values; learning_rate, weight_decay, init_scale and, for Adam, eps are needed.
        optimizer: "adamw" or "sgd".
        gauge: "plain" for models without multipliers in `forward`, "multipliers" for models that apply them.

    Returns:
        The plan, one row per parameter.

    Raises:
        UsageError: an unknown parameterization, a missing value, or a parameter for which the table has no rule.
    """
    table, alpha = find_table(parameterization, optimizer)
    base_values = _base_values(table, hyperparameters)
    _require_branches(table, base, size, parameters)
    rows = tuple(_plan_parameter(table, alpha, base, size, parameter, base_values, gauge) for parameter in parameters)
    label = table.name if table.alpha is None else f"{table.name}(alpha={alpha:g})"
    notes = tuple(_notes(table, base, size, rows, hyperparameters, gauge))
    return Plan(label, gauge, optimizer, base, size, dict(hyperparameters), rows, notes, table.covers)


def _base_values(table: Table, hyperparameters: Mapping[str, float]) -> dict[Quantity, float]:
    needed = (*NEEDED, "eps") if table.family == "adam" else NEEDED
    for name in needed:
        value = hyperparameters.get(name)
        low = 0.0 if name == "weight_decay" else math.ulp(0.0)
        if value is None or not (math.isfinite(value) and value >= low):
            raise UsageError(
                f"`{name}` must be a finite number {'>= 0' if name == 'weight_decay' else '> 0'}", received=str(value)
            )
    values = {
        Quantity.INIT_STD: hyperparameters["init_scale"],
        Quantity.MULTIPLIER: 1.0,
        Quantity.LEARNING_RATE: hyperparameters["learning_rate"],
        Quantity.WEIGHT_DECAY: hyperparameters["weight_decay"],
    }
    if table.family == "adam":
        values[Quantity.EPS] = hyperparameters["eps"]
    return values


def _require_branches(table: Table, base: Size, size: Size, parameters: Iterable[Parameter]) -> None:
    if table.residual is None or base.depth == size.depth or any(parameter.writes_residual for parameter in parameters):
        return
    raise UsageError(
        f"`{table.name}` scales residual branches with depth, so the model must have parameters that write a residual "
        "stream",
        received=f"depth {base.depth} -> {size.depth} and no such parameter",
        hint="keep the depth at the base's, use `mup` (it has no depth rule), or choose a model with residual branches",
    )


def _plan_parameter(
    table: Table,
    alpha: float,
    base: Size,
    size: Size,
    parameter: Parameter,
    base_values: Mapping[Quantity, float],
    gauge: Gauge,
) -> PlannedParameter:
    multipliers = Multipliers(
        fan_in=parameter.fan_in / parameter.base_fan_in,
        fan_out=parameter.fan_out / parameter.base_fan_out,
        depth=size.depth / base.depth if parameter.in_block else 1.0,
        batch=size.batch_size / base.batch_size,
        tokens=size.tokens / base.tokens,
    )
    exponents, sources = _rules_of(table, parameter)
    moved = exponents[Quantity.MULTIPLIER]
    if gauge == "plain":
        exponents = absorb(exponents, table.family)
        if moved.resolved(alpha):
            _require_random_init(parameter)
            note = f"; forward multiplier {moved.text(alpha)} absorbed ({sources[Quantity.MULTIPLIER]})"
            sources = {quantity: source + note for quantity, source in sources.items()}
    factors = {quantity: power.factor(multipliers, alpha) for quantity, power in exponents.items()}
    values = {quantity: base_values[quantity] * factor for quantity, factor in factors.items()}
    std = parameter.base_init_std
    return PlannedParameter(
        parameter=parameter,
        init_std=None if std is None else std * values[Quantity.INIT_STD],
        learning_rate=values[Quantity.LEARNING_RATE],
        weight_decay=values[Quantity.WEIGHT_DECAY],
        eps=values.get(Quantity.EPS),
        multiplier=values[Quantity.MULTIPLIER],
        factors={quantity.value: factor for quantity, factor in factors.items()},
        sources={quantity.value: source for quantity, source in sources.items()},
        rules={quantity.value: power.text(alpha) for quantity, power in exponents.items()},
    )


def _rules_of(table: Table, parameter: Parameter) -> tuple[dict[Quantity, Exponents], dict[Quantity, str]]:
    """The table's powers for one parameter, its residual branch included, and their sources."""
    rules = {quantity: table.rules[role, quantity] for role, quantity in table.rules if role is parameter.role}
    exponents = {quantity: rule.exponents for quantity, rule in rules.items()}
    sources = {quantity: str(rule.source) for quantity, rule in rules.items()}
    if table.residual is not None and parameter.writes_residual:
        exponents[Quantity.MULTIPLIER] *= table.residual.exponents
        sources[Quantity.MULTIPLIER] = str(table.residual.source)
    return exponents, sources


def _require_random_init(parameter: Parameter) -> None:
    if parameter.init == "ones":
        raise UsageError(
            "a forward multiplier can be absorbed only by a parameter with a random or zero init",
            received=f"{parameter.name} {parameter.shape}, initialised to ones",
            hint='plan it in the gauge "multipliers" and apply the multiplier in `forward`',
        )


def _notes(
    table: Table,
    base: Size,
    size: Size,
    rows: Iterable[PlannedParameter],
    hyperparameters: Mapping[str, float],
    gauge: Gauge,
) -> Iterator[str]:
    changed = {
        "width": (base.width, size.width),
        "depth": (base.depth, size.depth),
        "batch": (base.batch_size, size.batch_size),
        "tokens": (base.tokens, size.tokens),
    }
    for axis, (low, high) in changed.items():
        if low != high and axis not in table.covers:
            kept = "learning rates keep their base values" if axis == "width" else "base values are kept"
            yield f"`{table.name}` has no rule for {axis} ({low} -> {high}): {kept}"
    if hyperparameters["weight_decay"] > 0:
        yield f"weight decay is `{table.weight_decay}`: learning_rate * weight_decay does not change with the width"
    absorbed = any("absorbed" in row.sources[Quantity.MULTIPLIER] for row in rows)
    if gauge == "plain" and absorbed and size != base:
        yield (
            "forward multipliers are absorbed into init and optimizer; clipping by the global gradient norm would see "
            "other gradients than with multipliers in `forward`, so a clip threshold does not carry over by this rule"
        )
