"""The user's own function that builds a model; called by commands that need the model, never by reading a recipe."""

from __future__ import annotations

import importlib
from collections.abc import Callable

from torch import nn

from hptransfer.errors import UsageError
from hptransfer.recipe.model_sections import FactoryModel
from hptransfer.registry import current_folder_first


def load_function(reference: str) -> Callable[..., nn.Module]:
    """Import `module:function`; modules are looked up as Python does, the current folder first.

    Raises:
        UsageError: another form, no such module or function, or an import that fails.
    """
    module_name, colon, function_name = reference.partition(":")
    if not (module_name and colon and function_name):
        raise UsageError(
            "a factory must be written `module:function`", received=reference, hint="for example my_model:build"
        )
    with current_folder_first():
        try:
            found: object = importlib.import_module(module_name)
        except (Exception, SystemExit) as error:  # the user's module may raise anything while it is imported
            raise UsageError(
                "the factory's module must be importable",
                received=f"{module_name}: {type(error).__name__}: {error}",
                hint="run the command in the folder of the module, or install it",
            ) from error
    for part in function_name.split("."):
        found = getattr(found, part, None)
    if not callable(found):
        raise UsageError("the factory must name a function of its module", received=reference)
    return found


def build_factory(model: FactoryModel, width: int, depth: int) -> nn.Module:
    """Call the recipe's function with its width, its depth and its other arguments.

    Args:
        model: the recipe's `model` section of kind factory.
        width: width of the model, at least 1.
        depth: number of layers that repeat, at least 1.

    Raises:
        UsageError: the function cannot be loaded or fails.
    """
    function = load_function(model.factory)
    arguments = {**model.arguments, model.width_argument: width, model.depth_argument: depth}
    try:
        built = function(**arguments)
    except (Exception, SystemExit) as error:  # the user's code may raise anything
        raise UsageError(
            "the factory must build a model at every size",
            received=f"{model.factory} at {model.width_argument}={width}, {model.depth_argument}={depth}: "
            f"{type(error).__name__}: {error}",
        ) from error
    if not isinstance(built, nn.Module):
        raise UsageError("the factory must return a torch.nn.Module", received=type(built).__name__)
    return built
