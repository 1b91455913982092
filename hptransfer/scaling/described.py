"""What a target says of its parameters and hyperparameters: from a plan, from a program's own rules, or from a law."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from hptransfer.artifacts.target import ModelRecord, TrainingRecord
from hptransfer.models.model_record import model_record, said_options
from hptransfer.models.planning import options_of
from hptransfer.parameterization.groups import ParameterGroup
from hptransfer.parameterization.plan import Plan
from hptransfer.parameterization.tables import MEASURED, find_table, name_with_alpha
from hptransfer.recipe.schema import Recipe
from hptransfer.recipe.trainer_sections import SECTIONS
from hptransfer.scaling.groups import groups_of
from hptransfer.sizes import Size

#: hyperparameters of optimizers that hold at every size where no plan moves them
_OPTIMIZER_VALUES = ("beta1", "beta2", "momentum")


@dataclass(frozen=True, slots=True)
class Described:
    """The parts of a target that depend on how its model is known.

    Attributes:
        parameterization: name with its exponents.
        hyperparameters: by name; at the base size where rules carry them on, at the target's own where a law does.
        optimizer_values: betas and momentum at the target's size.
        notes: what a reader must know, a sentence each.
        parameters: groups of parameters with their values; none where the model cannot be read.
        covers: the axes that have rules, as rules call them.
        muon_scale: the factor of a matrix's shape that the rates leave to Muon; None where the plan has no Muon.
        options: named choices among published rules, those that were made or are a table's defaults.
        plan: what all of it was taken from; None where there is no model to plan.
    """

    parameterization: str
    hyperparameters: Mapping[str, float]
    optimizer_values: Mapping[str, float]
    notes: tuple[str, ...]
    parameters: tuple[ParameterGroup, ...]
    covers: frozenset[str]
    muon_scale: str | None = None
    options: Mapping[str, bool | float | str] = field(default_factory=dict)
    plan: Plan | None = None


def has_model(recipe: Recipe) -> bool:
    """Whether the recipe names a model that can be read."""
    return recipe.model.kind != "external"


def described_plan(plan: Plan, recipe: Recipe) -> Described:
    """What a plan says.

    Args:
        plan: of the target, one row per parameter.
        recipe: what the plan is of.
    """
    return Described(
        plan.parameterization,
        plan.hyperparameters,
        plan.optimizer_values,
        tuple(plan.notes),
        groups_of(plan, recipe),
        frozenset(plan.covers),
        plan.options.muon_scale,
        said_options(plan.options),
        plan,
    )


def described_alone(recipe: Recipe, values: Mapping[str, float]) -> Described:
    """What is known without a model: the values of the base, which the program carries on, or a law.

    Args:
        recipe: one that names no model.
        values: base-size value of every hyperparameter.
    """
    name = recipe.parameterization.name
    note = f"the program applies {name} by itself: hyperparameters are values of the base size, as the trials had them"
    notes = () if name == MEASURED else (note,)
    optimizer_values = {each: values[each] for each in _OPTIMIZER_VALUES}
    options = said_options(options_of(recipe.parameterization))
    if name != MEASURED:
        table, alpha = find_table(recipe.parameterization, recipe.training.optimizer)
        name = name_with_alpha(table, alpha)
    return Described(name, values, optimizer_values, notes, (), frozenset(), options=options)


def described_model(recipe: Recipe, size: Size, described: Described) -> ModelRecord:
    """The model of the target, for whoever builds it elsewhere.

    Args:
        recipe: names the model, or nothing.
        size: width and depth of the target.
        described: what the target says of it.
    """
    return model_record(recipe.model, size, described.plan)


def training_record(recipe: Recipe, size: Size, warmup: float) -> TrainingRecord:
    """How the target trains; where a function or a command trained the trials, its own schedule and clipping.

    Args:
        recipe: says who trains, and how where that is the built-in trainer.
        size: width, depth, batch and tokens of the target.
        warmup: share of the steps, where the recipe gives no other length.
    """
    if recipe.trainer.name in SECTIONS:
        return TrainingRecord(
            steps=recipe.steps(size), batch_size=size.batch_size, schedule="own", warmup=None, clip=None
        )
    return TrainingRecord.of(recipe, size, warmup)
