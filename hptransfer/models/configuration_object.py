"""The function to write around a model that takes a configuration object; it is tried before it is told."""

from __future__ import annotations

import inspect
import re
import sys
import typing
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import nn

from hptransfer.errors import UsageError
from hptransfer.models.factory import built
from hptransfer.recipe.sections import Setting
from hptransfer.recipe.size_names import named

_HEADS = r"(n_?|num_?)?(attention_?)?heads?"
#: width of a head in the function that is told
_HEAD = 64
#: (width, depth) at which it is tried
_TRIED = ((64, 1), (128, 2))
#: fields that a message lists
_LISTED = 12


def wrapper_hint(function: Callable[..., Any], reference: str, guess: Callable[[str], Setting | None]) -> str | None:
    """What to write around a function of a configuration object; None where no class of such objects is known.

    Args:
        function: the user's, or the class of a model.
        reference: of the function, `module:function`.
        guess: value of a field that must be given, by its name; None where nothing is known.
    """
    name = reference.partition(":")[2]
    seen: list[type] = []
    for argument, kind, annotated in _configurations(function):
        fields = _fields(kind)
        sizes = [next(iter(named(size, fields)), None) for size in ("width", "depth")]
        if not sizes[0] or not sizes[1]:
            continue
        seen += [kind] if annotated else []
        heads = next((each for each in fields if re.fullmatch(_HEADS, each)), None)
        required = [each for each, default in fields.items() if default is inspect.Parameter.empty]
        given = {each: guess(each) for each in required if each not in (*sizes, heads)}
        if None in given.values() or not _runs(function, kind, argument, (str(sizes[0]), str(sizes[1]), heads), given):
            continue
        values = [f"{sizes[0]}=width", f"{sizes[1]}=depth", *([f"{heads}=max(1, width // {_HEAD})"] if heads else [])]
        values += [f"{each}={value!r}" for each, value in given.items()]
        before = "" if argument is None else f"{argument}="
        code = f"def build(width, depth): return {name}({before}{kind.__name__}({', '.join(values)}))"
        return f"write `{code}`{_import_of(kind, function)}, and name it `{reference.partition(':')[0]}:build`"
    if not seen:
        return None
    known = list(_fields(seen[0]))
    fields_said = f"{', '.join(known[:_LISTED])}{', ...' if len(known) > _LISTED else ''}"
    return (
        f"write a function `build(width, depth)` that gives {name} a `{seen[0].__name__}`; its fields are {fields_said}"
    )


def _configurations(function: Callable[..., Any]) -> Iterator[tuple[str | None, type, bool]]:
    """Argument (None for the first one), class of what could be a configuration, and whether annotations say so.

    Annotated ones go first; where they say nothing, any class that the function's module knows is tried.
    """
    try:
        parameters = list(inspect.signature(function).parameters)
        hints = typing.get_type_hints(function.__init__ if inspect.isclass(function) else function)
    except (NameError, TypeError, AttributeError, ValueError):
        hints = {}
    if not parameters:
        return
    arguments = {each: None if place == 0 else each for place, each in enumerate(parameters)}
    for each, argument in arguments.items():
        hint = hints.get(each)
        for kind in (hint, *typing.get_args(hint)):
            if _is_configuration(kind):
                yield argument, kind, True
    module = sys.modules.get(function.__module__)
    for each, argument in arguments.items():
        if each not in hints:
            yield from ((argument, kind, False) for kind in vars(module).values() if _is_configuration(kind))


def _is_configuration(kind: object) -> typing.TypeGuard[type]:
    return inspect.isclass(kind) and not issubclass(kind, nn.Module) and kind.__module__ != "builtins"


def _fields(kind: type) -> Mapping[str, Any]:
    """Name -> default of what its construction takes."""
    try:
        parameters = inspect.signature(kind).parameters.values()
    except (TypeError, ValueError):
        return {}
    return {
        each.name: each.default for each in parameters if each.kind in (each.POSITIONAL_OR_KEYWORD, each.KEYWORD_ONLY)
    }


def _runs(
    function: Callable[..., Any],
    kind: type,
    argument: str | None,
    names: tuple[str, str, str | None],
    given: Mapping[str, Setting | None],
) -> bool:
    """Whether the function that would be told builds a model whose widths follow, without memory."""
    width_name, depth_name, heads = names

    def build(width: int, depth: int) -> Any:
        values: dict[str, Any] = {**given, width_name: width, depth_name: depth}
        if heads is not None:
            values[heads] = max(1, width // _HEAD)
        configuration = kind(**values)
        return function(configuration) if argument is None else function(**{argument: configuration})

    try:
        with torch.device("meta"):
            small, large = (built(build, {"width": width, "depth": depth}, kind.__name__) for width, depth in _TRIED)
    except UsageError:
        return False
    shapes = [{name: each.shape for name, each in module.named_parameters()} for module in (small, large)]
    return any(shapes[1].get(name) != shape for name, shape in shapes[0].items())


def _import_of(kind: type, function: Callable[..., Any]) -> str:
    known = vars(sys.modules[function.__module__]).get(kind.__name__) is kind
    return "" if known else f" behind `from {kind.__module__} import {kind.__name__}`"
