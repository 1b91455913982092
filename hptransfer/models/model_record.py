"""What files say of a plan's model and of its choices, for whoever builds the model elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from hptransfer.artifacts.target import ModelRecord
from hptransfer.errors import MachineError
from hptransfer.models.huggingface import family_of, head_dims, load_transformers, nested, settings_at
from hptransfer.parameterization.plan import Plan
from hptransfer.parameterization.rules import Options
from hptransfer.recipe.model_sections import Model
from hptransfer.recipe.sections import Setting
from hptransfer.sizes import Size


def said_options(options: Options) -> dict[str, bool | float | str]:
    """The choices that were made, as plain data.

    Args:
        options: choices, None where none was made.
    """
    return {name: value for name, value in asdict(options).items() if value is not None}


def model_record(model: Model, size: Size, plan: Plan | None = None) -> ModelRecord:
    """The model as a framework's configuration needs it.

    Args:
        model: the recipe's section of it.
        size: of the target; settings that follow it are those of this size.
        plan: of the model at this size, for what its `forward` must multiply; None where there is none.
    """
    if model.kind == "huggingface":
        family = family_of(model)
        heads = None if plan is None else head_dims(model.settings, family, plan.base.width, size.width)
        return ModelRecord(
            kind=model.kind,
            name=model.config,
            settings=_whole_settings(model.config, settings_at(model.settings, family, size.width, size.depth)),
            task=family.task,
            config_values={} if plan is None else plan.config_values,
            head_dims=None if heads is None or heads[0] == heads[1] else heads,
        )
    if model.kind == "factory":
        sizes = {model.width_argument: size.width}
        if model.depth_argument is not None:
            sizes[model.depth_argument] = size.depth
        return ModelRecord(kind=model.kind, name=model.factory, settings={**model.arguments, **sizes})
    return ModelRecord(kind=model.kind, settings=model.model_dump(exclude={"kind"}))


#: what no shape of a weight shows and a configuration's class has a default for
_DEFAULTS = ("rms_norm_eps", "layer_norm_epsilon", "layer_norm_eps")


def _whole_settings(config: str, settings: Mapping[str, Setting]) -> dict[str, Setting]:
    """The settings with the class's own base of rotations and eps of norms, where the recipe leaves them to it."""
    whole = {
        key: value for key, value in settings.items() if value is not None or key not in (*_DEFAULTS, "rope_theta")
    }
    try:
        built = load_transformers().AutoConfig.for_model(config, **nested(whole)).to_dict()
    except MachineError:
        return dict(settings)
    rope: Any = built.get("rope_parameters")
    defaults = {key: built.get(key) for key in _DEFAULTS}
    if "rope_parameters.rope_theta" not in whole:
        defaults["rope_theta"] = rope.get("rope_theta") if isinstance(rope, Mapping) else built.get("rope_theta")
    number = {key: value for key, value in defaults.items() if isinstance(value, int | float)}
    return {**number, **whole}
