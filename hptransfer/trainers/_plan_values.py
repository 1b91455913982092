"""What a program must take of a plan: one number per kind of parameters, or a refusal that names what it lacks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

from hptransfer.errors import UsageError
from hptransfer.hyperparameters import MULTIPLIERS
from hptransfer.parameterization.gauge import Gauge
from hptransfer.parameterization.plan import plan as plan_rows
from hptransfer.parameterization.plan_parameter import Plan, PlannedParameter
from hptransfer.parameterization.roles import Parameter, Role
from hptransfer.recipe.command_sections import CommandTrainer
from hptransfer.recipe.defaults import defaults
from hptransfer.recipe.placeholders import KINDS, QUANTITIES, WHOLE_PLAN, Planned, names_in_all, planned
from hptransfer.recipe.schema import Recipe
from hptransfer.sizes import Size
from hptransfer.trials.identity import ModelReader, options_of

_KINDS: Mapping[Role, str] = {
    Role.TIED_EMBEDDING: "embedding",
    Role.HIDDEN_WEIGHT: "hidden",
    Role.READOUT: "readout",
    Role.ROUTER: "router",
    Role.HIDDEN_VECTOR: "hidden_vectors",
    Role.OUTER_VECTOR: "outer_vectors",
    Role.READOUT_BIAS: "readout_bias",
}
_REPAIR = (
    "let the program read the whole plan: '{plan_file}' (`hptransfer.load_plan`), or split it by kinds of parameters"
)
#: values that no default has, so that a rule that moves them is seen
_SEARCHED_MULTIPLIER, _SEARCHED_DECAY = 2.0, 0.125


def kind_of(parameter: Parameter) -> str:
    """What commands call a parameter's role, one of `placeholders.KINDS`.

    Args:
        parameter: with its role and fans.
    """
    return _KINDS.get(parameter.role) or ("embedding" if parameter.fan_in == 1 else "input")


def one_number(plan: Plan, name: str) -> float:
    """The value that a name such as `plan.hidden.learning_rate` stands for.

    Args:
        plan: of the run's size.
        name: as a text has it, without its braces.

    Raises:
        UsageError: the model has no such parameters, or they need different values.
    """
    asked = planned(name)
    if asked is None:
        return plan.optimizer_values[name.removeprefix(f"{WHOLE_PLAN}.")]
    values = {row.parameter.name: _value(row, asked.quantity) for row in _rows(plan, asked)}
    numbers = {parameter: value for parameter, value in values.items() if value is not None}
    if not numbers:
        kinds = ", ".join(dict.fromkeys(kind_of(row.parameter) for row in _trained(plan)))
        what = "such parameters" if not values else f"a {asked.quantity}"
        rule = "a value of the plan must be that of parameters which the model has"
        raise UsageError(rule, received=f"{{{name}}}: none has {what}", hint=f"the model's kinds: {kinds}")
    if len(set(numbers.values())) > 1:
        examples = {value: parameter for parameter, value in reversed(numbers.items())}
        told = ", ".join(f"{examples[value]} {value:.6g}" for value in list(dict.fromkeys(numbers.values()))[:3])
        raise UsageError(
            "one number must be right for all the parameters that it is for",
            received=f"{{{name}}} at {plan.size.label}: {told}",
            hint=_REPAIR,
        )
    return next(iter(numbers.values()))


def plans_of(recipe: Recipe, reader: ModelReader) -> Callable[[Size, Mapping[str, float]], Plan]:
    """What makes the plan of a size from what was read of the model there, without torch.

    Args:
        recipe: with a model that can be read.
        reader: of its model, asked once per size.
    """

    def plan_at(size: Size, values: Mapping[str, float]) -> Plan:
        reading = reader.at(size.width, size.depth)

        def planned_in(gauge: Gauge) -> Plan:
            return plan_rows(
                recipe.parameterization,
                recipe.base_size,
                size,
                reading.parameters,
                values,
                optimizer=recipe.training.optimizer,
                gauge=gauge,
                options=options_of(recipe),
            )

        result = planned_in(recipe.parameterization.gauge)
        if not reading.multiplied:
            return result
        pairs = zip(result.rows, planned_in("multipliers").rows, strict=True)
        rows = tuple(other if row.parameter.name in reading.multiplied else row for row, other in pairs)
        return replace(result, rows=rows)

    return plan_at


def require_taken(
    recipe: Recipe, command: CommandTrainer, plan_at: Callable[[Size, Mapping[str, float]], Plan]
) -> None:
    """Every value that the plan moves must reach the program, at the proxy and along every ladder.

    Args:
        recipe: with a model that can be read.
        command: its `trainer` section, with all that it names.
        plan_at: the plan of a size with these hyperparameters.

    Raises:
        UsageError: the program would train some parameters with other values than the plan says.
    """
    named = {*names_in_all(command.texts), *command.accepts}
    values = _searched_values(recipe)
    whole = bool(named & {"plan_file", WHOLE_PLAN})
    for size in sizes_of(recipe):
        plan = plan_at(size, values)
        for name in sorted(name for name in named if name.startswith(f"{WHOLE_PLAN}.")):
            one_number(plan, name)
        lacking = [] if whole else list(_lacking(plan, named, values))
        if lacking:
            kinds = dict.fromkeys(lacking)
            passed = " ".join(f"'{{plan.{name}}}'" for name in list(kinds)[:2])
            raise UsageError(
                "a command must take what the plan sets",
                received=f"nothing names {', '.join(kinds)} at {size.label}",
                hint=f"pass {passed}; or write in `accepts` what the program sets so by itself "
                f"(`accepts: [{next(iter(kinds))}]`); or {_REPAIR}",
            )


def require_applied(recipe: Recipe, reader: ModelReader) -> None:
    """Refuse a gauge whose factors the model's `forward` is known not to apply, for whoever trains it as it is.

    A model that was not run is believed: the recipe says that its `forward` multiplies.

    Args:
        recipe: with a model that can be read.
        reader: of its model, asked at every size that trains.

    Raises:
        UsageError: at some size a factor is asked for that `forward` does not have; at the base every factor is 1.
    """
    gauge, plan_at, values = recipe.parameterization.gauge, plans_of(recipe, reader), defaults(recipe.training)
    if gauge == "plain":
        return
    for size in sizes_of(recipe):
        reading = reader.at(size.width, size.depth)
        asked = [
            row
            for row in plan_at(size, values).rows
            if row.multiplier != 1 and row.parameter.name not in reading.multiplied
        ]
        if asked and reading.probed:
            row, more = asked[0], f" and {len(asked) - 1} more" if len(asked) > 1 else ""
            raise UsageError(
                f"in the gauge `{gauge}` the model's `forward` must multiply as the plan says",
                received=f"{row.parameter.name} is not multiplied by {row.multiplier:.6g} at {size.label}{more}",
                hint="write `gauge: plain`: factors then go into inits and rates, and logits of a tied table are "
                "multiplied by a hook",
            )


def sizes_of(recipe: Recipe) -> tuple[Size, ...]:
    """The proxy and every size of the recipe's ladders, each once.

    Args:
        recipe: whose sizes are listed.
    """
    sizes, proxy = recipe.sizes, recipe.proxy
    found = [recipe.proxy_size, *(recipe.size(width, proxy.depth) for width in sizes.widths)]
    found += [recipe.size(proxy.width, depth) for depth in sizes.depths]
    found += [recipe.size(proxy.width, proxy.depth, batch_size=batch) for batch in sizes.batch_sizes]
    found += [recipe.size(proxy.width, proxy.depth, tokens=tokens) for tokens in sizes.tokens]
    if sizes.corner and sizes.depths:
        found.append(recipe.size(sizes.widths[-1], sizes.depths[-1]))
    return tuple(dict.fromkeys(found))


def _searched_values(recipe: Recipe) -> dict[str, float]:
    """Base values with which every rule that a search can reach shows."""
    values = defaults(recipe.training)
    values |= {name: _SEARCHED_MULTIPLIER for name in recipe.tune.space if name in MULTIPLIERS}
    if "weight_decay" in recipe.tune.space:
        values["weight_decay"] = _SEARCHED_DECAY
    return values


def _lacking(plan: Plan, named: set[str], values: Mapping[str, float]) -> Iterator[str]:
    """`KIND.QUANTITY` of what the plan moves, or sets, and no text names."""
    taken = [asked for name in named if (asked := planned(name) or planned(f"{WHOLE_PLAN}.{name}")) is not None]
    base = {quantity: values[quantity] for quantity in ("learning_rate", "weight_decay", "eps") if quantity in values}
    for quantity in QUANTITIES:
        for kind in KINDS:
            if any(asked.quantity == quantity and kind in asked.kinds for asked in taken):
                continue
            rows = [row for row in _trained(plan) if kind_of(row.parameter) == kind]
            if any(_moved(row, quantity, base, named) for row in rows):
                yield f"{kind}.{quantity}"


def _moved(row: PlannedParameter, quantity: str, base: Mapping[str, float], named: set[str]) -> bool:
    value = _value(row, quantity)
    if value is None:
        return False
    if quantity == "init_std":
        return value != row.parameter.base_init_std
    if quantity == "multiplier":
        return value != 1
    # a rate must be told even where it is the base's: no program guesses it
    return value != base[quantity] or (quantity == "learning_rate" and quantity not in named)


def _value(row: PlannedParameter, quantity: str) -> float | None:
    value: float | None = getattr(row, quantity)
    return value


def _rows(plan: Plan, asked: Planned) -> Sequence[PlannedParameter]:
    return [row for row in _trained(plan) if kind_of(row.parameter) in asked.kinds]


def _trained(plan: Plan) -> Sequence[PlannedParameter]:
    """The rows of what takes a gradient."""
    return [row for row in plan.rows if row.parameter.role is not Role.FROZEN]
