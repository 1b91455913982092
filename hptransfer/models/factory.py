"""The user's own function that builds a model; called by commands that need the model, never by reading a recipe."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any

from torch import nn

from hptransfer.errors import HptransferError, UsageError
from hptransfer.recipe.model_sections import FactoryModel
from hptransfer.recipe.size_names import nearest
from hptransfer.registry import current_folder_first, look_in, require_trusted, written_as_file
from hptransfer.user_code import described_error

_BUILDS = "the factory must build a model at every size"
_LISTED = 12


def load_function(reference: str) -> Callable[..., nn.Module]:
    """Import `module:function`; modules are looked up as Python does, the current folder first.

    What the function imports when it is called, and what its model imports later on, is found in the current folder
    too, after every other place.

    Raises:
        UsageError: another form, no such module or function, or an import that fails.
    """
    module_name, colon, function_name = reference.partition(":")
    if not (module_name and colon and function_name):
        raise UsageError(
            "a factory must be written `module:function`", received=reference, hint="for example my_model:build"
        )
    require_trusted(reference)
    look_in(Path.cwd())
    with current_folder_first():
        try:
            found: object = importlib.import_module(module_name)
        except (Exception, SystemExit) as error:  # the user's module may raise anything while it is imported
            raise UsageError(
                "the factory's module must be importable",
                received=f"{module_name}: {described_error(error)}",
                hint=_import_hint(module_name, function_name, error),
            ) from error
    for part in function_name.split("."):
        owner, found = found, getattr(found, part, None)
        if found is None:
            break
    if not callable(found):
        names = [name for name, value in vars(owner).items() if callable(value) and not name.startswith("_")]
        near = get_close_matches(part, names, 1)
        raise UsageError(
            "the factory must name a function of its module",
            received=reference if found is None else f"{reference}, a {type(found).__name__}",
            hint=f"did you mean `{reference.removesuffix(part)}{near[0]}`?" if near else None,
        )
    return found


def _import_hint(module: str, function: str, error: BaseException) -> str:
    """What to do about a module that cannot be imported."""
    if (meant := written_as_file(module, function)) is not None:
        return meant
    if isinstance(error, ImportError) and "no known parent package" in str(error):
        with current_folder_first():
            spec = PathFinder.find_spec(module)
        folder = Path(spec.origin).parent if spec is not None and spec.origin else Path.cwd()
        return (
            f"name it with its package, `{folder.name}.{module}:{function}`, and run the command in the folder above it"
        )
    if isinstance(error, ModuleNotFoundError) and (error.name or "") != module.partition(".")[0]:
        return f"install `{error.name}`, or put it beside the factory's module"
    if isinstance(error, ModuleNotFoundError):
        return "run the command in the folder of the module, or install it"
    return f"correct {module}: `python -c 'import {module}'` shows where it fails"


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
    sizes = {"width": model.width_argument}
    if model.depth_argument is not None:
        sizes["depth"] = model.depth_argument
    fault = argument_fault(function, model.factory, sizes, model.arguments, "{size}_argument: {name}")
    if fault is not None:
        raise fault
    values = {"width": width, "depth": depth}
    arguments = {**model.arguments, **{argument: values[size] for size, argument in sizes.items()}}
    return built(function, arguments, model.factory)


def built(function: Callable[..., Any], arguments: Mapping[str, Any], whose: str) -> nn.Module:
    """The module that a user's function returns.

    Args:
        function: called once, with what it imports looked up as in `load_function`.
        arguments: value of each argument, by its name.
        whose: function is called, as the user named it.

    Raises:
        UsageError: it fails, with the user's file and line; or it returns something else.
    """
    try:
        with current_folder_first():
            module = function(**arguments)
    except HptransferError:
        raise
    except (Exception, SystemExit) as error:  # the user's code may raise anything
        said = ", ".join(f"{name}={value!r}" for name, value in arguments.items())
        raise UsageError(_BUILDS, received=f"{whose} at {said[:200]}: {described_error(error)}") from error
    if not isinstance(module, nn.Module):
        came = type(module).__name__
        hint = f"let it return the module alone: {whose} returns a {came}" if isinstance(module, tuple | list) else None
        raise UsageError("the factory must return a torch.nn.Module", received=came, hint=hint)
    return module


def argument_fault(
    function: Callable[..., Any], whose: str, sizes: Mapping[str, str], others: Mapping[str, Any], line: str
) -> UsageError | None:
    """Why a function cannot be called with these arguments; None where it can, or does not say what it takes.

    Args:
        function: the user's, which is not called.
        whose: function is meant, as the user named it.
        sizes: "width" and "depth" -> name of the argument that is to be it.
        others: further arguments by name.
        line: what the hint writes for the argument that was meant, with `{size}` and `{name}` in it.
    """
    try:
        parameters = inspect.signature(function).parameters
    except (TypeError, ValueError):  # written in C, without a signature
        return None
    kinds = {each.kind for each in parameters.values()}
    names = [each.name for each in parameters.values() if each.kind in (each.POSITIONAL_OR_KEYWORD, each.KEYWORD_ONLY)]
    takes = f"{whose} takes ({', '.join(names[:_LISTED])}{', ...' if len(names) > _LISTED else ''})"
    rule = "the model's function must have the arguments that it is called with"
    if inspect.Parameter.VAR_KEYWORD not in kinds:
        wrong = {size: name for size, name in sizes.items() if name not in names}
        if wrong:
            free = [name for name in names if name not in (*sizes.values(), *others)]
            near = {size: nearest(size, name, free) for size, name in wrong.items()}
            lines = [f"`{line.format(size=size, name=meant)}`" for size, meant in near.items() if meant is not None]
            hint = f"write {' and '.join(lines)}" if lines else "give the function such an argument"
            missing = " and ".join(f"`{name}`" for name in wrong.values())
            return UsageError(rule, received=f"{takes}, not {missing}", hint=hint)
        unknown = [name for name in others if name not in names]
        if unknown:
            close = get_close_matches(unknown[0], names, 1)
            return UsageError(
                rule, received=f"{takes}, not `{unknown[0]}`", hint=f"did you mean `{close[0]}`?" if close else None
            )
    lacking = [
        each.name
        for each in parameters.values()
        if each.default is each.empty
        and each.kind in (each.POSITIONAL_OR_KEYWORD, each.KEYWORD_ONLY)
        and each.name not in (*sizes.values(), *others)
    ]
    if lacking:
        values = ", ".join(f"{name}: ..." for name in lacking)
        hint = f"give a value at which all sizes are built: `arguments: {{{values}}}`"
        return UsageError(rule, received=f"{takes}; nothing gives `{lacking[0]}`", hint=hint)
    return None
