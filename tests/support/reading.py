"""The parameters of a module that a test builds, and of a recipe's model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hptransfer.models.recipe_reading import read_recipe_model
from hptransfer.models.shape_reading import Builder, read_model
from hptransfer.parameterization.roles import Parameter, Role
from hptransfer.recipe.model_sections import Model
from hptransfer.sizes import Size


def read_module(
    build: Builder,
    base: Size,
    size: Size,
    *,
    residual_writers: Sequence[str] = (),
    roles: Mapping[str, Role | str] | None = None,
) -> tuple[Parameter, ...]:
    """The parameters at a size, with the roles that `read_model` finds."""
    return read_model(build, base, size, residual_writers=residual_writers, roles=roles).parameters


def parameters_of(model: Model, base: Size, size: Size) -> tuple[Parameter, ...]:
    """The parameters of a recipe's model at a size."""
    return read_recipe_model(model, base, size).parameters
