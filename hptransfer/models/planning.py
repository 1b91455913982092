"""From what was read of a model to its plan, for a recipe and for `hptransfer.plan`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from hptransfer.errors import UsageError
from hptransfer.models.applied_plan import AppliedPlan
from hptransfer.models.config_multipliers import in_configuration
from hptransfer.models.probing import with_unknown
from hptransfer.models.recipe_reading import read_recipe_model
from hptransfer.models.shape_reading import ModelParameters
from hptransfer.parameterization.decay_timescale import DecayTimescale, decay_timescales
from hptransfer.parameterization.gauge import Gauge
from hptransfer.parameterization.plan import Plan
from hptransfer.parameterization.plan import plan as plan_rows
from hptransfer.parameterization.roles import Parameter
from hptransfer.parameterization.rules import Options
from hptransfer.parameterization.tables import ABSOLUTE, Parameterization, ParameterizationSpec, covered_axes_of
from hptransfer.recipe.schema import ParameterizationChoice, Recipe
from hptransfer.sizes import Size


def plan_reading(
    parameterization: ParameterizationSpec,
    base: Size,
    size: Size,
    reading: ModelParameters,
    hyperparameters: Mapping[str, float],
    *,
    optimizer: str,
    gauge: Gauge = "plain",
    options: Options | None = None,
) -> AppliedPlan:
    """The plan of what was read; weights that mup's readouts multiply in `forward` are not given the multiplier twice.

    Args:
        parameterization: name and alpha of the parameterization; a recipe's section will do.
        base: size at which every factor of a rule is 1.
        size: size that the plan is for, any.
        reading: what was read of the model at `size`: its parameters, with their roles.
        hyperparameters: base values by name, such as `learning_rate`; multipliers of roles are 1 where left out.
        optimizer: name of the optimizer, a key of `parameterization.tables.FAMILIES`.
        gauge: where multipliers live, one of `parameterization.gauge.GAUGES`.
        options: named choices among published rules; None takes the table's defaults.

    Returns:
        The plan, with the multipliers that it absorbed.
    """

    def planned(form: Gauge, parameters: Sequence[Parameter]) -> Plan:
        return plan_rows(
            parameterization,
            base,
            size,
            parameters,
            hyperparameters,
            optimizer=optimizer,
            gauge=form,
            options=options,
            head_dims=reading.head_dims,
        )

    try:
        result, in_forward = planned(gauge, reading.parameters), planned("multipliers", reading.parameters)
    except UsageError as error:
        raise with_unknown(error, reading.notes) from None
    rows = tuple(
        other if row.parameter.name in reading.multiplied else row
        for row, other in zip(result.rows, in_forward.rows, strict=True)
    )
    notes = (*result.notes, *reading.notes, *_readout_notes(reading, hyperparameters.get("output_multiplier", 1.0)))
    bare = tuple(parameter.without_factors() for parameter in reading.parameters)
    if bare != reading.parameters:
        in_forward = planned("multipliers", bare)
    growth = (size.width / base.width, size.depth / base.depth)
    whole = [row.multiplier * row.parameter.forward_factor(*growth) for row in rows]
    absorbed = {
        row.parameter.name: other.multiplier / multiplier
        for row, other, multiplier in zip(rows, in_forward.rows, whole, strict=True)
        if other.multiplier != multiplier
    }
    rows = tuple(replace(row, absorbed=absorbed.get(row.parameter.name, 1.0)) for row in rows)
    return AppliedPlan.from_plan(replace(result, rows=rows, notes=notes), absorbed)


def plan_recipe(
    recipe: Recipe,
    size: Size,
    hyperparameters: Mapping[str, float],
    gauge: Gauge | None = None,
    parameterization: str | None = None,
) -> Plan:
    """The plan of a recipe's model at a size; the model is built on the meta device, so no memory is allocated.

    Args:
        recipe: gives model, base size, optimizer and, where none is named, the parameterization with its options.
        size: width, depth, examples per step and tokens to plan for.
        hyperparameters: name -> value at the base size.
        gauge: where multipliers live; None takes the recipe's.
        parameterization: name of another than the recipe's, taken with its default options.

    Raises:
        UsageError: the model cannot be built or read, or no rule is known for one of its parameters.
    """
    base = recipe.base_size
    source = recipe.init_source
    if parameterization in ABSOLUTE and recipe.parameterization.init is None:
        source = "rule"
    covers = covered_axes_of(parameterization or recipe.parameterization.name, recipe.training.optimizer)
    reading = read_recipe_model(recipe.model, base, size, source, covers)
    own = parameterization is None or parameterization == recipe.parameterization.name
    applied = plan_reading(
        recipe.parameterization if own else Parameterization(str(parameterization)),
        base,
        size,
        reading,
        hyperparameters,
        optimizer=recipe.training.optimizer,
        gauge=gauge or recipe.parameterization.gauge,
        options=options_of(recipe.parameterization) if own else None,
    )
    return in_configuration(applied, recipe.model, reading.head_dims).whole_plan


def recipe_timescales(recipe: Recipe, plan: Plan, hyperparameters: Mapping[str, float]) -> tuple[DecayTimescale, ...]:
    """Over how much of the run weight decay averages, at a planned size and at the proxy; empty where nothing decays.

    Args:
        recipe: what the plan is of.
        plan: of the recipe's model at any size.
        hyperparameters: base value of each at the proxy.
    """
    if not any(row.learning_rate * row.weight_decay > 0 for row in plan.rows):
        return ()
    proxy = recipe.proxy_size
    there = plan if plan.size == proxy else plan_recipe(recipe, proxy, hyperparameters)
    return decay_timescales(plan, recipe.steps(plan.size), there, recipe.steps(proxy))


def options_of(choice: ParameterizationChoice) -> Options:
    """The named choices of a recipe's `parameterization` section."""
    return Options(
        weight_decay=choice.weight_decay,
        eps=choice.eps,
        token_exponent=choice.token_exponent,
        batch_rule=choice.batch_rule,
        betas=choice.betas,
        muon_scale=choice.muon_scale,
        update_rank=choice.update_rank,
        decay_vectors=choice.decay_vectors,
        decay_timescale=choice.decay_timescale,
    )


def _readout_notes(reading: ModelParameters, output: float) -> Sequence[str]:
    if not reading.multiplied:
        return ()
    names = ", ".join(sorted(reading.multiplied))
    tuned = "" if output == 1 else f"; construct it with `output_mult={output!r}`"
    return (
        f"{names}: mup's readout divides by the width's growth in `forward`, so its multiplier stays there; call "
        "`set_base_shapes(..., rescale_params=False)`, then `init_`, and give the plan's groups to a plain optimizer"
        f"{tuned}",
    )
