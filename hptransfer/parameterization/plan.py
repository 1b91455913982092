"""The plan: every parameter's init, learning rate, weight decay and eps at a size, with the rule behind each."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from hptransfer.errors import UsageError
from hptransfer.parameterization.batch_and_duration import covered_axes, optimizer_values
from hptransfer.parameterization.gauge import Gauge, gauge_named
from hptransfer.parameterization.notes import plan_notes
from hptransfer.parameterization.plan_parameter import (
    OptimizerTable,
    Plan,
    PlannedParameter,
    PlanRequest,
    plan_parameter,
)
from hptransfer.parameterization.role_multipliers import require_covered
from hptransfer.parameterization.roles import Parameter, Role
from hptransfer.parameterization.rules import (
    DECOUPLED,
    HIDDEN_ONLY,
    ON_SPHERE,
    PER_STEP,
    WITH_EPS,
    OptimizerFamily,
    Options,
    Quantity,
    RuleTable,
    option_of,
)
from hptransfer.parameterization.tables import (
    COUPLED_DECAY,
    ParameterizationSpec,
    find_table,
    name_with_alpha,
    table_beside,
)
from hptransfer.sizes import Size

__all__ = ["NEEDED", "Plan", "PlannedParameter", "plan"]

#: base values a plan needs; eps for Adam only
NEEDED = ("learning_rate", "weight_decay", "init_scale")


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
        hyperparameters: base values; learning_rate, weight_decay, init_scale and, for Adam, eps are needed. With
            Muon, AdamH and MuonH, `adam_learning_rate` times `learning_rate` is the rate of embeddings, readouts and
            vectors. Multipliers (`role_multipliers`) are 1 where they are left out.
        optimizer: a name in `FAMILIES`.
        gauge: where multipliers live, one of `gauge.GAUGES`: "plain" for models without any in `forward`,
            "multipliers" for models that apply those of Tensor Programs V's Table 8, "unit" for unit init.
        options: named choices among published rules; None takes the table's defaults.
        head_dims: size of a head at the base and at `size`, where heads grow; None: they do not.

    Returns:
        The plan, one row per parameter.

    Raises:
        UsageError: an unknown parameterization, a missing value, or a parameter for which the table has no rule.
    """
    table, alpha = find_table(parameterization, optimizer)
    gauge = gauge_named(gauge)
    given = options or Options()
    other = table_beside(table, given)
    chosen = given.filled(table.defaults if other is None else table.defaults.filled(other.defaults))
    tables = [table] if other is None else [table, other]
    require_known(tables, chosen)
    require_relevant(tables, given)
    require_decoupled(optimizer, hyperparameters)
    require_branches(table, base, size, parameters)
    require_ratios(table, parameters)
    require_matrices(table, optimizer, parameters)
    main = OptimizerTable(table, optimizer, _base_values(table, chosen, hyperparameters))
    others = None
    if other is not None:
        beside = chosen.beside_muon or "adamw"
        others = OptimizerTable(other, beside, _base_values(other, chosen, hyperparameters), beside=True)
    require_covered(parameters, hyperparameters, parted=other is not None)
    request = PlanRequest(base, size, alpha, gauge, chosen, hyperparameters)
    rows = tuple(plan_parameter(_column(main, others, parameter), request, parameter) for parameter in parameters)
    result = Plan(
        parameterization=name_with_alpha(table, alpha),
        gauge=gauge,
        optimizer=optimizer,
        base=base,
        size=size,
        hyperparameters=dict(hyperparameters),
        rows=rows,
        covers=covered_axes(table, chosen),
        options=chosen,
        optimizer_values=optimizer_values(other or table, chosen, base, size, hyperparameters),
    )
    return replace(result, notes=tuple(plan_notes(result, table, head_dims)))


def _column(main: OptimizerTable, others: OptimizerTable | None, parameter: Parameter) -> OptimizerTable:
    return main if others is None or parameter.role is Role.HIDDEN_WEIGHT else others


def _base_values(table: RuleTable, chosen: Options, hyperparameters: Mapping[str, float]) -> dict[Quantity, float]:
    needed = (*NEEDED, "eps") if table.family in WITH_EPS else NEEDED
    for name in needed:
        value = hyperparameters.get(name)
        low = 0.0 if name == "weight_decay" else math.ulp(0.0)
        if value is None or not (math.isfinite(value) and value >= low):
            raise UsageError(
                f"`{name}` must be a finite number {'>= 0' if name == 'weight_decay' else '> 0'}", received=str(value)
            )
    # the independent choices give the decay per step; torch multiplies by the learning rate again
    per_step = chosen.weight_decay in PER_STEP
    decay = hyperparameters["weight_decay"]
    values = {
        Quantity.INIT_STD: hyperparameters["init_scale"],
        Quantity.MULTIPLIER: 1.0,
        Quantity.LEARNING_RATE: hyperparameters["learning_rate"],
        Quantity.WEIGHT_DECAY: decay / hyperparameters["learning_rate"] if per_step else decay,
    }
    if table.family in WITH_EPS:
        values[Quantity.EPS] = hyperparameters["eps"]
    return values


def require_known(tables: Iterable[RuleTable], chosen: Options) -> None:
    """Every choice must be one that a table knows.

    Raises:
        UsageError: a table does not know the choice.
    """
    quantities = (Quantity.WEIGHT_DECAY, Quantity.EPS, Quantity.LEARNING_RATE)
    for table, quantity in itertools.product(tables, quantities):
        option = option_of(quantity, table.family)
        known = [choice for of, choice in table.choices if of is quantity]
        choice = getattr(chosen, option)
        if known and choice not in known:
            raise UsageError(
                f"`{option}` must be one of {', '.join(known)} for {table.name} with the family {table.family}",
                received=str(choice),
                hint="no source is known for others; a plan never guesses one",
            )


_NEEDS: Mapping[str, frozenset[OptimizerFamily]] = {
    "eps": WITH_EPS,
    "betas": WITH_EPS,
    "muon_scale": frozenset({"orthogonal"}),
    "beside_muon": frozenset({"orthogonal"}),
    "update_rank": ON_SPHERE,
    "decay_timescale": DECOUPLED,
}


def require_relevant(tables: Iterable[RuleTable], given: Options) -> None:
    """An option must concern an optimizer in use.

    Raises:
        UsageError: it would have no effect.
    """
    families = [table.family for table in tables]
    for option, needed in _NEEDS.items():
        if getattr(given, option) is not None and needed.isdisjoint(families):
            raise UsageError(
                f"`{option}` must be left out where no parameter follows the family {' or '.join(sorted(needed))}",
                received=f"{option}={getattr(given, option)} with {' and '.join(families)}",
            )


def require_decoupled(optimizer: str, hyperparameters: Mapping[str, float]) -> None:
    """Weight decay must be decoupled from the gradient's normalisation.

    Raises:
        UsageError: the optimizer couples them, and weight decay is not 0.
    """
    if optimizer in COUPLED_DECAY and hyperparameters.get("weight_decay", 0) > 0:
        raise UsageError(
            f"weight decay must be 0 for `{optimizer}`, which adds it to the gradient before normalising it: no "
            "rule is known for that",
            received=f"weight_decay={hyperparameters['weight_decay']:g}",
            hint="use adamw, whose decay is decoupled",
        )


def require_matrices(table: RuleTable, optimizer: str, parameters: Iterable[Parameter]) -> None:
    """What an optimizer of matrices trains must be one: two axes for a polar factor, a norm to keep on a sphere.

    Args:
        table: the rules in use.
        optimizer: name of the optimizer, for messages.
        parameters: all parameters of the model.

    Raises:
        UsageError: a hidden weight is no matrix, or starts at zero where its norm is kept.
    """
    if table.family not in HIDDEN_ONLY:
        return
    for parameter in parameters:
        if parameter.role is not Role.HIDDEN_WEIGHT:
            continue
        if table.family != "sphere" and len(parameter.shape) != 2:
            raise UsageError(
                f"`{optimizer}` takes polar factors, so a hidden weight must have two axes",
                received=f"{parameter.name} {parameter.shape}",
                hint="train a model with convolutions or stacked experts by adamw or adamh",
            )
        if table.family in ON_SPHERE and parameter.init == "zeros":
            raise UsageError(
                f"`{optimizer}` keeps the norm of a hidden weight, so it must not start at zero",
                received=f"{parameter.name} {parameter.shape}, initialised to zeros",
                hint="give it a normal init, or train with muon or adamw",
            )


def require_ratios(table: RuleTable, parameters: Iterable[Parameter]) -> None:
    """A table that draws every weight at std 1 has no factor for a model's own init.

    Args:
        table: the rules in use.
        parameters: all parameters of the model.

    Raises:
        UsageError: the parameters have their own init.
    """
    if table.absolute and any(parameter.own_init_std is not None for parameter in parameters):
        raise UsageError(
            f"`{table.name}` draws every weight at std 1, so it must not scale a model's own init",
            received="`init: own`",
            hint='leave `init` out, or write `init: rule` (from Python `init="rule"`)',
        )


def require_branches(table: RuleTable, base: Size, size: Size, parameters: Iterable[Parameter]) -> None:
    """A depth rule over residual branches needs some.

    Args:
        table: the rules in use.
        base: size at which the base values hold.
        size: size that is planned for.
        parameters: all parameters of the model.

    Raises:
        UsageError: the depth grows and no parameter writes a residual stream.
    """
    same_depth = base.depth == size.depth
    if table.residual is None or same_depth or any(parameter.writes_residual for parameter in parameters):
        return
    raise UsageError(
        f"`{table.name}` scales residual branches with depth, so the model must have parameters that write a residual "
        "stream",
        received=f"depth {base.depth} -> {size.depth} and no such parameter",
        hint="name them (`residual_writers` or `preset`, docs/models.md), keep the depth at the base's, or use `mup`, "
        "which has no depth rule",
    )
