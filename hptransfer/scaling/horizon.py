"""A target's batch and tokens: values moved by measured exponents, published alternatives, and decay's timescale."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from hptransfer.artifacts.horizon import HorizonRecord, PublishedRecord, TimescaleRecord
from hptransfer.artifacts.transfer import TransferFile
from hptransfer.hyperparameters import from_log_coordinate, log_coordinate, log_name
from hptransfer.models.planning import options_of, plan_recipe, recipe_timescales
from hptransfer.parameterization.decay_timescale import timescale_notes
from hptransfer.parameterization.published_horizons import own_power, published_powers
from hptransfer.parameterization.rules import PER_STEP, Options, RuleTable
from hptransfer.parameterization.tables import MEASURED, find_table
from hptransfer.recipe.schema import Recipe
from hptransfer.scaling.described import Described, described_alone, described_plan, has_model
from hptransfer.sizes import AXES, MODEL_AXES, Size, SizeAxis
from hptransfer.transfer.horizon import CarriedExponent
from hptransfer.transfer.scope import Outlook
from hptransfer.verdict import Verdict


@dataclass(frozen=True, slots=True)
class Horizon:
    """How a target's hyperparameters were carried along batch and tokens.

    Attributes:
        values: base value of every hyperparameter, those with a measured exponent moved.
        exponents: of every ladder of the run's axes on which the target is not the proxy, used or not.
        records: of every such axis, with ladder or without.
        notes: what a reader of the plan must know, a sentence each.
    """

    values: Mapping[str, float]
    exponents: tuple[CarriedExponent, ...]
    records: tuple[HorizonRecord, ...]
    notes: tuple[str, ...]


def verdict_besides(checked: TransferFile, exponents: Sequence[CarriedExponent]) -> Verdict:
    """The check's verdict without the axes along which a measured exponent carries the value, and says it well enough.

    Args:
        checked: the content of `transfer.json`.
        exponents: of the target, used or not.
    """
    used = {(each.axis, each.hyperparameter) for each in exponents if each.resolved}
    against = [axis for axis in checked.axes if axis.verdict is not Verdict.TRANSFERS]
    if not against or any((axis.axis, axis.hyperparameter) not in used for axis in against):
        return checked.verdict
    return Verdict.TRANSFERS


def objections_of_check(checked: TransferFile, ahead: Outlook) -> Iterator[str]:
    """Why the check does not support a target; none where values carry over, or laws or exponents carry them.

    Args:
        checked: the content of `transfer.json`.
        ahead: what it says of the target.
    """
    if ahead.laws:
        for law in ahead.laws:
            if not law.bounded:
                yield law.objection
        return
    against = verdict_besides(checked, ahead.exponents) is not Verdict.TRANSFERS
    if against:
        yield f"the check says {checked.verdict}: {checked.sentence}"
    coordinate = checked.coordinate
    # the sentence of a verdict has it, but that of an earlier version
    if coordinate is not None and coordinate.fails and not (against and coordinate.sentence in checked.sentence):
        yield coordinate.clause


def described_target(
    recipe: Recipe, size: Size, horizon: Horizon, proxy_values: Mapping[str, float]
) -> tuple[Described, tuple[TimescaleRecord, ...]]:
    """What is said of a target, and over how much of its run weight decay averages.

    Args:
        recipe: with a model or without.
        size: width, depth, batch and tokens of the target.
        horizon: base values as the target has them, with what moved them.
        proxy_values: base value of every hyperparameter as it was tuned.
    """
    if not has_model(recipe):
        described = described_alone(recipe, horizon.values)
        return replace(described, notes=(*described.notes, *horizon.notes)), ()
    plan = plan_recipe(recipe, size, horizon.values)
    timescales = recipe_timescales(recipe, plan, proxy_values)
    notes = (*horizon.notes, *timescale_notes(timescales, held=recipe.parameterization.decay_timescale == "held"))
    described = described_plan(replace(plan, notes=(*plan.notes, *notes)), recipe)
    return described, tuple(map(TimescaleRecord.of, timescales))


def horizon_of(
    recipe: Recipe, size: Size, exponents: tuple[CarriedExponent, ...], values: Mapping[str, float]
) -> Horizon:
    """Carry base values along batch and tokens.

    Args:
        recipe: gives the proxy, the rules and the optimizer.
        size: width, depth, batch and tokens of the target.
        exponents: that a check measured along them, used or not.
        values: base value of every hyperparameter, as it was tuned or is used instead.
    """
    names = {log_name(name): name for name in values}
    moved, notes = dict(values), []
    for each in exponents:
        if each.used:
            name = names[each.hyperparameter]
            moved[name] = from_log_coordinate(name, log_coordinate(name, moved[name]) + each.octaves.estimate)
            notes.append(each.sentence)
    rate = moved["learning_rate"] / values["learning_rate"]
    options = _rules(recipe)[1] if rate != 1 and has_model(recipe) else None
    if options is not None and options.decay_timescale == "held" and options.weight_decay not in PER_STEP:
        moved["weight_decay"] /= rate
        notes.append(
            f"weight_decay is divided by {rate:.3g}, by which the learning rate was moved: `decay_timescale: held` "
            "keeps the share of the run over which it averages, at which the ladder did not measure it"
        )
    records = _records(recipe, size, exponents, moved["learning_rate"])
    return Horizon(moved, exponents, tuple(records), tuple(notes))


def _records(recipe: Recipe, size: Size, exponents: Sequence[CarriedExponent], rate: float) -> Iterator[HorizonRecord]:
    """One per exponent, and one per axis of the run that moves without a ladder."""
    if recipe.parameterization.name == MEASURED:
        return
    usual = recipe.size(size.width, size.depth)
    for axis in AXES:
        reference, target = getattr(usual, axis), getattr(size, axis)
        if axis in MODEL_AXES or reference == target:
            continue
        found = [each for each in exponents if each.axis == axis]
        for each in found:
            unmoved = not each.used and each.hyperparameter == "learning_rate"
            published = _published(recipe, axis, target / reference, rate) if unmoved else ()
            yield HorizonRecord.carried(each, published)
        if not found:
            yield _unmeasured(axis, reference, target, _published(recipe, axis, target / reference, rate))


def _unmeasured(axis: SizeAxis, reference: int, target: int, published: tuple[PublishedRecord, ...]) -> HorizonRecord:
    name = axis.replace("_", " ")
    return HorizonRecord(
        axis=axis,
        hyperparameter="learning_rate",
        checked=reference,
        target=target,
        exponent=None,
        used=False,
        factor=1.0,
        factor_low=1.0,
        factor_high=1.0,
        published=published,
        sentence=f"no ladder measured how learning_rate goes with {name} ({reference} -> {target})",
    )


def _published(recipe: Recipe, axis: SizeAxis, ratio: float, rate: float) -> tuple[PublishedRecord, ...]:
    """What others would make of the base rate; the rules' own power is taken off, so that rows follow the account."""
    families, own = None, 0.0  # a program of its own may apply any rule with any optimizer
    if has_model(recipe):
        table, options = _rules(recipe)
        families, own = {table.family}, own_power(axis, table, options)
    return tuple(
        PublishedRecord(
            rule=each.name,
            source=each.source,
            holds=each.holds,
            power=each.power,
            value=each.value(rate, ratio) * ratio**-own,
        )
        for each in published_powers(axis, families)
    )


def _rules(recipe: Recipe) -> tuple[RuleTable, Options]:
    """The rules of the rate, and the recipe's choices with defaults filled in."""
    table, _ = find_table(recipe.parameterization, recipe.training.optimizer)
    return table, options_of(recipe.parameterization).filled(table.defaults)
