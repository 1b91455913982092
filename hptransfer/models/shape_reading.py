"""Reading the model of a recipe: its parameters with their roles at a size, and the kinds of its layers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

from hptransfer.errors import UsageError
from hptransfer.models.build import model_builder
from hptransfer.models.comparison import Builder
from hptransfer.models.huggingface import family_of, head_dims
from hptransfer.models.module_reading import ModelParameters, read_model
from hptransfer.parameterization.role_presets import PRESETS
from hptransfer.parameterization.roles import InitSource, Parameter, Role
from hptransfer.recipe.model_sections import MODEL, ExternalModel, GptModel, HuggingFaceModel, MlpModel, Model
from hptransfer.sizes import Size
from hptransfer.trials.identity import READING, ParameterReading

__all__ = ["Builder", "ModelParameters", "layer_kinds", "read_model", "read_recipe_model", "read_sizes", "reading_of"]


def read_recipe_model(model: Model, base: Size, size: Size, init: InitSource = "rule") -> ModelParameters:
    """Read a recipe's model at a size, without allocating any parameter of that size.

    Args:
        model: the recipe's `model` section.
        base: size at which every factor of a rule is 1.
        size: size to read, any.
        init: whose init is planned, the recipe's `init_source`.

    Returns:
        One parameter per name in `named_parameters()` order, with what else a plan must know of the model.

    Raises:
        UsageError: the model cannot be built at one of the sizes, or the role of a parameter cannot be decided.
    """
    if isinstance(model, MlpModel | GptModel):
        return read_model(model_builder(model), base, size, preset=model.kind, init=init)
    if isinstance(model, ExternalModel):
        raise UsageError("a model must be named to be read", received="a recipe without `model`: its trainer builds it")
    family = model.config if isinstance(model, HuggingFaceModel) and model.config in PRESETS else None
    reading = read_model(
        model_builder(model),
        base,
        size,
        preset=model.preset or family,
        residual_writers=model.residual_writers or None,
        roles=dict(model.roles),
        queries=model.queries or None,
        init=init,
    )
    if isinstance(model, HuggingFaceModel):
        return replace(reading, head_dims=head_dims(model.settings, family_of(model), base.width, size.width))
    return reading


@lru_cache(maxsize=64)
def reading_of(model: str, base: Size, size: Size, init: InitSource) -> ModelParameters:
    """What `read_recipe_model` reads, once per process.

    Args:
        model: the recipe's section as JSON, because sections with mappings cannot be hashed.
        base: the size at which every factor of a rule is 1.
        size: width, depth, batch and tokens of the model that is read.
        init: whose init is planned.
    """
    return read_recipe_model(MODEL.validate_json(model), base, size, init)


#: up to the first index in a name, `3` or `layer_3`: the block that repeats
_BLOCK = re.compile(r"((?:.*?\.)?(?:[^.]*_)?\d+)(?:\..*)?$")


def layer_kinds(parameters: Sequence[Parameter]) -> dict[str, str]:
    """Module name -> what its output is.

    Args:
        parameters: all parameters of one model, with their roles.

    Returns:
        Modules with a weight: "embedding", "hidden" (pre-activations), "branch" (added to the residual stream) or
        "logits"; and the blocks that repeat, "residual". Modules of norms and routers are left out.
    """
    kinds: dict[str, str] = {}
    for parameter in parameters:
        module, _, local = parameter.name.rpartition(".")
        block = _BLOCK.match(parameter.name)
        if parameter.in_block and block:
            kinds.setdefault(block[1], "residual")
        if local != "weight":
            continue
        if parameter.writes_residual:
            kinds[module] = "branch"
        elif parameter.role is Role.HIDDEN_WEIGHT:
            kinds[module] = "hidden"
        elif parameter.role is Role.EMBEDDING:
            kinds[module] = "embedding"
        elif parameter.role is Role.READOUT and not parameter.in_block:
            kinds[module] = "logits"
    return kinds


# What a worker reads of a recipe's model, for keys that a coordinator computes without torch.


def read_sizes(
    model: Model, base: tuple[int, int], sizes: Sequence[tuple[int, int]], init: InitSource
) -> list[dict[str, Any]]:
    """Read a model's parameters and their roles at several sizes, on the meta device.

    Args:
        model: the recipe's `model` section.
        base: width and depth at which every factor of a rule is 1.
        sizes: width and depth of each model to read.
        init: whose init is planned.

    Returns:
        Per size {"reading": a `ParameterReading` as plain data}, or {"faults": findings as mappings of rule, received
        and hint} where the model cannot be built or read there.
    """
    return [_read(model, base, size, init) for size in sizes]


def _read(model: Model, base: tuple[int, int], size: tuple[int, int], init: InitSource) -> dict[str, Any]:
    try:
        # batch and tokens do not change a model
        sizes = (Size(*base, batch_size=1, tokens=1), Size(*size, batch_size=1, tokens=1))
        reading = read_recipe_model(model, *sizes, init)
    except UsageError as error:
        return {"faults": [{"rule": f.rule, "received": f.received, "hint": f.hint} for f in error.findings]}
    return {"reading": READING.dump_python(ParameterReading(reading.parameters, reading.multiplied), mode="json")}
