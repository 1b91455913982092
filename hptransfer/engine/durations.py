"""Durations in tokens per parameter: the counts that a recipe's sizes need, from what was read of its model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from hptransfer.engine.readings import Readings
from hptransfer.execution.pool import TaskPool
from hptransfer.parameterization.parameter_count import count_parameters
from hptransfer.recipe.load import LoadedRecipe
from hptransfer.recipe.schema import Recipe
from hptransfer.sizes import shape_label
from hptransfer.trials.identity import ModelReader

Shape = tuple[int, int]


def with_durations(
    loaded: LoadedRecipe,
    pool: TaskPool | None = None,
    cache: Path | None = None,
    *,
    further: Sequence[Shape] = (),
    writable: bool = False,
) -> LoadedRecipe:
    """The recipe with the number of parameters at each of its shapes, where its duration follows them.

    Its hash stays that of what the user wrote: the counts follow from the model.

    Args:
        loaded: the recipe as it was read; its model is read where the duration follows it and no counts are given.
        pool: of idle workers that read the model where the cache does not have it; None reads it in this process.
        cache: a JSON file of earlier readings; None remembers nothing.
        further: width and depth of sizes that the recipe does not name.
        writable: whether new readings are kept in the cache.

    Raises:
        UsageError: the model cannot be read at a size.
    """
    reader = Readings(loaded.recipe, loaded.root, pool, cache, writable=writable)
    recipe = counted_recipe(loaded.recipe, reader, *further)
    return loaded if recipe is loaded.recipe else replace(loaded, recipe=recipe)


def counted_recipe(recipe: Recipe, reader: ModelReader, *further: Shape) -> Recipe:
    """As `with_durations`, for the recipe alone.

    Args:
        recipe: gives shapes, duration and which parameters count.
        reader: of the recipe's model.
        further: width and depth of sizes that the recipe does not name.

    Raises:
        UsageError: the model cannot be read at a size.
    """
    if recipe.training.tokens_per_parameter is None:
        return recipe
    counts = dict(recipe.sizes.parameters)
    for shape in (*recipe.shapes(), *further):
        if shape_label(*shape) not in counts:
            found = count_parameters(reader.at(*shape).parameters, recipe.training.counted_parameters)
            counts[shape_label(*shape)] = max(found, 1)
    sizes = recipe.sizes.model_copy(update={"parameters": counts})
    return recipe.model_copy(update={"sizes": sizes})
