"""What a parameter of a framework's model is trained with, planned or read back; what two such lists differ in."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from hptransfer.handover.causes import NOT_GROWN, Growth, cause_of
from hptransfer.handover.counting import Counting
from hptransfer.parameterization.groups import ParameterGroup, collapsed_names, layer_template

#: largest relative difference of what is written in decimal and read back
EXACT = 1e-12
#: what is as good as zero, of a mean that is one
_ZERO = 1e-30
#: largest relative difference of a std: of one that was estimated from draws, see `Reading.draws`
SAMPLED = 0.05


@dataclass(frozen=True, slots=True)
class Trained:
    """One parameter, with final values at the target's size.

    Attributes:
        name: its full name in the framework's model.
        init_std: standard deviation of what is drawn there; None where it starts at a constant, or where that is not
            known.
        learning_rate: peak learning rate, before the schedule multiplies it.
        weight_decay: coefficient as torch's AdamW takes it: decay per step is learning rate times this; None where the
            user's own configuration decides it.
        eps: Adam's eps; None for other optimizers.
        multiplier: factor by which `forward` multiplies what it gives, over that at the base.
        optimizer: which optimizer trains it, by hptransfer's name; None where that is not known.
        init_mean: mean of what it starts at: 0 of what is drawn, the value of a constant; of one that is left as the
            model has it, the factor on that; None where that is not known.
        rules: of the plan, per quantity what the base's value was multiplied by, "m_in^-1 m_L^-1"; a quantity that is
            missing is not scaled. None where the rules are not known.
    """

    name: str
    init_std: float | None
    learning_rate: float
    weight_decay: float | None
    eps: float | None
    multiplier: float = 1.0
    optimizer: str | None = None
    init_mean: float | None = None
    rules: Mapping[str, str] | None = field(default=None, compare=False)


def at_rate_times(each: Trained, factor: float) -> Trained:
    """The same with another rate, and the decay per step that it had.

    Args:
        each: what a parameter is trained with.
        factor: on the learning rate, positive.
    """
    decay = None if each.weight_decay is None else each.weight_decay / factor
    return replace(each, learning_rate=each.learning_rate * factor, weight_decay=decay)


def trained(name: str, group: ParameterGroup, *, optimizer: str | None = None) -> Trained:
    """What a plan's group says of one of its parameters.

    Args:
        name: in the framework's model.
        group: in the form that the framework has: `multiplier` is what its `forward` applies.
        optimizer: which optimizer trains it, where there are two.
    """
    return Trained(
        name,
        group.init_std,
        group.learning_rate,
        group.weight_decay,
        group.eps,
        group.multiplier,
        group.optimizer or optimizer,
        start_mean(group),
        group.rules,
    )


def start_mean(group: ParameterGroup) -> float:
    """Mean of what a parameter starts at; of one that is left as the model has it, the factor on that.

    Args:
        group: one row of a plan, frozen or not.
    """
    if group.init_std is not None:
        return 0.0
    constants = {"ones": 1.0, "zeros": 0.0, "constant": group.init_value}
    value = constants.get(group.init)
    return 1.0 if value is None else value


@dataclass(frozen=True, slots=True)
class Reading:
    """What a framework makes of an exported file.

    Attributes:
        parameters: of the framework's own model, one entry each.
        through: whose code said so, for example "ai2-olmo-core 3.0.0: its model, init and optimizer".
        draws: whether stds are estimates from what was drawn; exact where not.
        unread: what could not be read back, a sentence each.
        schedule: factor on every group's peak rate by optimizer step, from 0; None where the file has no schedule.
        values: what the framework uses for all parameters alike, of `beta1`, `beta2`, `momentum`, `clip` (largest
            norm of a step's gradient, 0: none), `floor` (share of the peak to which the rate falls), `batch_size`
            (examples per step), `steps`, `sequence_length`, `precision` and `muon_scale` (torch's `adjust_lr_fn`), and
            of its model what `planned_values.MODEL_FACTS` names; what could not be read back is left out.
        defaulted: names in `values` that the files do not say, so that the framework's default is used.
        unsaid: (parameter, field of `Trained`) that the files do not say, likewise.
        rates: learning rate by parameter's name at an optimizer step, from 0, where a scheduler may treat groups
            differently (a minimum that is absolute); None where one factor multiplies all.
        others: what else would be trained otherwise, found without a value of the plan: a setting of a group's own, or
            an option of the optimizer that is not torch's default.
        counted: how the framework's own code counts the steps of `schedule`, where that is not as a plan does; None:
            it must be the plan's at every step.
    """

    parameters: Sequence[Trained]
    through: str
    draws: bool = False
    unread: tuple[str, ...] = ()
    schedule: Callable[[int], float] | None = None
    values: Mapping[str, float | str] = field(default_factory=dict)
    defaulted: frozenset[str] = frozenset()
    unsaid: frozenset[tuple[str, str]] = frozenset()
    rates: Callable[[int], Mapping[str, float]] | None = None
    others: tuple[Difference, ...] = ()
    counted: Counting | None = None


@dataclass(frozen=True, slots=True)
class Difference:
    """A quantity of some parameters that a framework would train otherwise than planned.

    Attributes:
        names: of the parameters, as the framework calls them, all with the same two values; empty: all alike.
        quantity: field of `Trained`, key of `Reading.values`, or "parameter" where one of the lists lacks it.
        planned: value of the plan; None: nothing, or no such parameter.
        used: what the framework would use.
        cause: what such a difference comes from; empty where nothing is known.
    """

    names: tuple[str, ...]
    quantity: str
    planned: float | str | None
    used: float | str | None
    cause: str = ""

    @property
    def sentence(self) -> str:
        """The difference in one line."""
        names = collapsed_names(self.names) or "all parameters"
        if self.quantity == "parameter":
            missing = "the framework's model has no such parameter" if self.used is None else "no row of the plan"
            return f"{names}: {missing}"
        said = f"{names}: {self.quantity} {_text(self.used)}, planned {_text(self.planned)}"
        return f"{said}: {self.cause}" if self.cause else said


_QUANTITIES = ("init_std", "init_mean", "learning_rate", "weight_decay", "eps", "multiplier", "optimizer")


def differences(planned: Iterable[Trained], reading: Reading, growth: Growth = NOT_GROWN) -> tuple[Difference, ...]:
    """What a framework would train otherwise than planned.

    Args:
        planned: the plan in the framework's names.
        reading: what the framework makes of the file.
        growth: of the target over the base, to name causes; none where nobody asks for them.

    Returns:
        Differences, equal ones of all layers together; empty where there is none.
    """
    wanted = {each.name: each for each in planned}
    found = {each.name: each for each in reading.parameters}
    single = [
        *(Difference((name,), "parameter", name, None) for name in wanted if name not in found),
        *(Difference((name,), "parameter", None, name) for name in found if name not in wanted),
    ]
    for name, each in wanted.items():
        if name in found:
            single += _between(each, found[name], reading, growth)
    return tuple(_together(_one_rate(single, wanted, growth)))


def _one_rate(single: list[Difference], wanted: Mapping[str, Trained], growth: Growth) -> list[Difference]:
    """Where every rate is off by one factor, the base's rate is what differs, so that is said once."""
    rates = {each.names[0]: each for each in single if each.quantity == "learning_rate"}
    base = growth.base.get("learning_rate")
    families = {layer_template(name) for name in rates}
    if not base or len(families) < 2 or set(rates) != {name for name, each in wanted.items() if each.learning_rate}:
        return single
    factors = [float(each.used or 0.0) / float(each.planned or 1.0) for each in rates.values()]
    if not all(math.isclose(factor, factors[0], rel_tol=EXACT) for factor in factors):
        return single
    twice = next((each.cause for each in rates.values() if each.cause.startswith("scaled twice")), "")
    cause = f"all rates are off by {factors[0]:.6g}" + (f"; what the rules scale is {twice}" if twice else "")
    whole = Difference((), "learning_rate", base, base * factors[0], cause)
    return [whole, *(each for each in single if each.quantity != "learning_rate")]


_DEFAULTED = "no file says it, so that is the framework's default"


def value_differences(planned: Mapping[str, float | str], reading: Reading) -> tuple[Difference, ...]:
    """What a framework uses for all parameters alike, and otherwise than planned.

    Args:
        planned: the plan's values by name, as `Reading.values` names them; a name that is missing was not planned.
        reading: what the framework makes of the file.
    """
    return tuple(
        Difference((), name, planned[name], used, _DEFAULTED if name in reading.defaulted else "")
        for name, used in reading.values.items()
        if name in planned and not _same(planned[name], used, EXACT)
    )


def _same(planned: float | str, used: float | str, tolerance: float) -> bool:
    if isinstance(planned, str) or isinstance(used, str):
        return planned == used
    return math.isclose(planned, used, rel_tol=tolerance, abs_tol=_ZERO)


def _between(planned: Trained, used: Trained, reading: Reading, growth: Growth) -> Iterator[Difference]:
    for quantity in _QUANTITIES:
        wanted, got = getattr(planned, quantity), getattr(used, quantity)
        if quantity in ("init_std", "init_mean", "weight_decay", "eps", "optimizer") and (
            wanted is None or got is None
        ):
            if quantity == "init_std" and (wanted is None) != (got is None):
                yield Difference((planned.name,), quantity, wanted, got)
            continue
        tolerance = SAMPLED if quantity == "init_std" and reading.draws else EXACT
        if not _same(wanted, got, tolerance):
            unsaid = (planned.name, quantity) in reading.unsaid
            cause = _DEFAULTED if unsaid else cause_of(quantity, wanted, got, growth, planned.rules, tolerance)
            yield Difference((planned.name,), quantity, wanted, got, cause)


def _together(single: Iterable[Difference]) -> Iterator[Difference]:
    """Differences with equal values of the same parameter in all layers, once."""
    families: dict[tuple[object, ...], list[Difference]] = {}
    for each in single:
        values = (None, None) if each.quantity == "parameter" else (each.planned, each.used)
        key = (
            layer_template(each.names[0]) if each.names else "",
            each.quantity,
            *values,
            each.used is None,
            each.cause,
        )
        families.setdefault(key, []).append(each)
    for family in families.values():
        first = family[0]
        names = tuple(name for each in family for name in each.names)
        yield Difference(names, first.quantity, first.planned, first.used, first.cause)


def _text(value: float | str | None) -> str:
    if value is None:
        return "none (a constant)"
    return value if isinstance(value, str) else f"{value:.12g}"
