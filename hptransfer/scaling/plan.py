"""`hptransfer plan`: every parameter at a size, with its values and the rule behind each."""

from __future__ import annotations

from hptransfer.parameterization.gauge import Gauge
from hptransfer.parameterization.plan import Plan
from hptransfer.parameterization.tables import Parameterization, ParameterizationSpec
from hptransfer.recipe.schema import Recipe
from hptransfer.sizes import Size

#: columns of a table that goes into a file or a pipe, where nothing wraps
_PIPE_WIDTH = 240


def _with(recipe: Recipe, name: str, size: Size, values: dict[str, float], gauge: Gauge) -> Plan:
    """The plan under a parameterization; the recipe's own keeps its alpha and its options, others have defaults."""
    other = None if recipe.parameterization.name == name else Parameterization(name)
    return plan_recipe(recipe, size, values, gauge, other)


def plan_recipe(
    recipe: Recipe,
    size: Size,
    hyperparameters: dict[str, float],
    gauge: Gauge = "plain",
    parameterization: ParameterizationSpec | None = None,
) -> Plan:
    """The plan of a recipe's model at a size, for base-size hyperparameters; the model is built on the meta device.

    Args:
        recipe: gives model, base, optimizer and, where none is named, the parameterization.
        size: planned for.
        hyperparameters: base values.
        gauge: where multipliers live.
        parameterization: another than the recipe's, with its default options.

    Raises:
        UsageError: the model cannot be read, or a rule is not known.
    """
    from hptransfer.models.api import options_of, plan_reading
    from hptransfer.models.shape_reading import read_recipe_model

    base = recipe.size(recipe.sizes.base.width, recipe.sizes.base.depth)
    reading = read_recipe_model(recipe.model, base, size)
    applied = plan_reading(
        parameterization or recipe.parameterization,
        base,
        size,
        reading,
        hyperparameters,
        optimizer=recipe.training.optimizer,
        gauge=gauge,
        options=options_of(recipe.parameterization) if parameterization is None else None,
    )
    return applied.whole_plan
