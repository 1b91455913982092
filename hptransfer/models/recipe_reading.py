"""A recipe's model, read: its parameters with their roles, and what running it told."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

from hptransfer.errors import UsageError
from hptransfer.models.asking import ask_model
from hptransfer.models.build import model_builder
from hptransfer.models.huggingface import family_of, head_dims
from hptransfer.models.shape_reading import ModelParameters, read_model
from hptransfer.parameterization.role_presets import PRESETS
from hptransfer.parameterization.roles import InitSource
from hptransfer.probe.findings import Probe
from hptransfer.recipe.model_sections import MODEL, ExternalModel, GptModel, HuggingFaceModel, MlpModel, Model
from hptransfer.sizes import Size
from hptransfer.trials.identity import READING, ParameterReading

#: families whose changes were measured not to be flat in depth, and why is not known (docs/families.md)
OFF_IN_DEPTH: Mapping[str, tuple[str, ...]] = {
    "whisper": (
        "whisper was measured not to be flat in depth, for a reason that is not known: its encoder's stream changes as "
        "depth^+0.20 after 10 steps under CompleteP (docs/families.md); check the depth before you rely on it",
    )
}
#: what a plan says of a model that was not asked
NOT_RUN = (
    "the model was not run (`probe: false`): factors in `forward`, norms behind residual writers and the attention "
    "scale are not known"
)


def read_recipe_model(
    model: Model, base: Size, size: Size, init: InitSource = "rule", covers: Collection[str] = ()
) -> ModelParameters:
    """Read a recipe's model at a size, without allocating any parameter of that size.

    Args:
        model: the recipe's `model` section.
        base: size at which every factor of a rule is 1.
        size: size to read, any.
        init: whose init is planned, the recipe's `init_source`.
        covers: axes ("width", "depth") for which the rules that will be applied have a power.

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
        probe=asked(model.model_dump_json(), (base.width, base.depth)) if model.probe else None,
        covers=covers,
    )
    if not model.probe:
        reading = replace(reading, notes=(*reading.notes, NOT_RUN))
    if isinstance(model, HuggingFaceModel) and base.depth != size.depth and "depth" in covers:
        reading = replace(reading, notes=(*reading.notes, *OFF_IN_DEPTH.get(model.config, ())))
    if isinstance(model, HuggingFaceModel) and not model.probe:
        return replace(reading, head_dims=head_dims(model.settings, family_of(model), base.width, size.width))
    return reading


@lru_cache(maxsize=64)
def reading_of(
    model: str, base: Size, size: Size, init: InitSource, covers: frozenset[str] = frozenset()
) -> ModelParameters:
    """What `read_recipe_model` reads, once per process.

    Args:
        model: the recipe's section as JSON, because sections with mappings cannot be hashed.
        base: the size at which every factor of a rule is 1.
        size: width, depth, batch and tokens of the model that is read.
        init: whose init is planned.
        covers: axes for which the rules that will be applied have a power.
    """
    return read_recipe_model(MODEL.validate_json(model), base, size, init, covers)


@lru_cache(maxsize=16)
def asked(model: str, base: tuple[int, int]) -> Probe:
    """What running a recipe's model tells, once per process.

    Args:
        model: the recipe's section as JSON, because sections with mappings cannot be hashed.
        base: width and depth at which every factor of a rule is 1.
    """
    return ask_model(MODEL.validate_json(model), base)


# What a worker reads of a recipe's model, for keys that a coordinator computes without torch.


def read_sizes(
    model: Model,
    base: tuple[int, int],
    sizes: Sequence[tuple[int, int]],
    init: InitSource,
    covers: Collection[str] = (),
) -> list[dict[str, Any]]:
    """Read a model's parameters and their roles at several sizes, on the meta device.

    Args:
        model: the recipe's `model` section.
        base: width and depth at which every factor of a rule is 1.
        sizes: width and depth of each model to read.
        init: whose init is planned.
        covers: axes for which the rules that will be applied have a power.

    Returns:
        Per size {"reading": a `ParameterReading` as plain data}, or {"faults": findings as mappings of rule, received
        and hint} where the model cannot be built or read there.
    """
    return [_read(model, base, size, init, covers) for size in sizes]


def _read(
    model: Model, base: tuple[int, int], size: tuple[int, int], init: InitSource, covers: Collection[str]
) -> dict[str, Any]:
    try:
        # batch and tokens do not change a model
        sizes = (Size(*base, batch_size=1, tokens=1), Size(*size, batch_size=1, tokens=1))
        reading = read_recipe_model(model, *sizes, init, covers)
    except UsageError as error:
        return {"faults": [{"rule": f.rule, "received": f.received, "hint": f.hint} for f in error.findings]}
    found = ParameterReading(reading.parameters, reading.multiplied, reading.probed)
    return {"reading": READING.dump_python(found, mode="json")}
