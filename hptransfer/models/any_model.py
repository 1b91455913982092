"""Whatever a caller in Python names a model by: a function, its import path, a configuration, or a recipe's section."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from hptransfer.errors import UsageError
from hptransfer.models.asking import ask
from hptransfer.models.factory import argument_fault, built, load_function
from hptransfer.models.huggingface import section_of
from hptransfer.models.recipe_reading import NOT_RUN, read_recipe_model
from hptransfer.models.shape_reading import ModelParameters, read_model
from hptransfer.parameterization.roles import InitSource
from hptransfer.recipe.sections import Section
from hptransfer.sizes import Size

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True, slots=True)
class Asking:
    """What a reading is for, and whether the model is run.

    Attributes:
        init: whose init is scaled: the model's own, or that of the tables.
        covers: axes ("width", "depth") for which the rules that will be applied have a power.
        probe: whether small models are run once.
        example: what `forward` takes in that run; None: it is guessed.
    """

    init: InitSource
    covers: frozenset[str]
    probe: bool = True
    example: object = None


def as_section_or_function(model: Any, keys: Mapping[str, Any]) -> Any:
    """A configuration of transformers as a recipe's section; everything else as it is.

    Args:
        model: whatever names a model.
        keys: `follow_width`, `depth_key` and `task` of a configuration, as far as they were given.

    Raises:
        UsageError: the configuration has no such keys, or keys were given for something else.
    """
    if hasattr(model, "to_diff_dict") and hasattr(model, "model_type"):
        return section_of(model, **keys)
    if keys:
        rule = "`follow_width`, `depth_key` and `task` must go with a configuration of transformers"
        raise UsageError(rule, received=f"{', '.join(keys)} and {type(model).__name__}")
    return model


def read_any(
    model: Any, base: Size, size: Size, arguments: Mapping[str, str], given: Mapping[str, Any], asking: Asking
) -> ModelParameters:
    """The parameters of a model at a size.

    Args:
        model: a function, `"module:function"`, or a recipe's section.
        base: size at which every factor of a rule is 1.
        size: the size to read, any.
        arguments: "width" and "depth" -> name of the function's argument.
        given: what `read_model` takes besides, by name; of a section those that are not None replace its own.
        asking: what the reading is for.

    Raises:
        UsageError: it is none of these, cannot be built, or has parameters whose role is not decided.
    """
    if isinstance(model, Section):
        run = ({} if asking.probe else {"probe": False}) | {"example": asking.example}
        named = {key: value for key, value in {**given, **run}.items() if value is not None}
        if unusable := sorted(named.keys() - type(model).model_fields.keys()):
            raise UsageError("a recipe's section must say this itself", received=", ".join(unusable))
        return read_recipe_model(model.model_copy(update=named), base, size, asking.init, asking.covers)  # type: ignore[arg-type]  # sections of models
    function = load_function(model) if isinstance(model, str) else model
    if not callable(function):
        raise UsageError(
            "a model must be a function of width and depth, `module:function`, a transformers configuration or a "
            "recipe's section",
            received=type(model).__name__,
            hint="wrap the module's construction: `lambda width, depth: Model(width, depth)`",
        )
    name = model if isinstance(model, str) else _name_of(function)
    fault = argument_fault(function, name, arguments, {}, "{size}={name!r}")
    if fault is not None:
        raise fault

    def build(width: int, depth: int) -> nn.Module:
        return built(function, {arguments["width"]: width, arguments["depth"]: depth}, name)

    told = ask(build, (base.width, base.depth), asking.example) if asking.probe else None
    reading = read_model(build, base, size, **given, init=asking.init, probe=told, covers=asking.covers)
    return reading if asking.probe else replace(reading, notes=(*reading.notes, NOT_RUN))


def _name_of(function: Callable[..., object]) -> str:
    """What a message calls a function; of `functools.partial` that which it calls."""
    inner = getattr(function, "func", function)
    name: str = getattr(inner, "__qualname__", type(inner).__name__)
    return name.rpartition("<locals>.")[2]
