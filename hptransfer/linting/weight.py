"""How much a recipe's model takes to be built without memory, told from its numbers before anything is built.

A stranger's recipe of ten lines may ask for a model of millions of parts: shapes take no memory, but every module and
every name is an object of Python. Models beyond these bounds are built in a process with limits, or not at all.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from hptransfer.recipe.model_sections import HuggingFaceModel
from hptransfer.recipe.schema import Recipe

#: the largest number in a setting that counts parts of a model; the deepest published models have a few hundred
MOST_PARTS = 4096
#: layers of all sizes together that are planned in some seconds: ours take milliseconds each, those of transformers ten
#: times as long
_LAYERS, _LAYERS_OF_TRANSFORMERS = 1024, 256
#: parts that a setting counts, times layers of the deepest size
_PARTS_IN_LAYERS = 20_000
#: the largest number that is surely the extent of a tensor, and the largest of one that may be no extent
_EXTENT, _NUMBER = 2**20, 2**16
_EXTENTS = re.compile(
    r"size|dim|positions?|embd|inner|ctx|context|buckets?|tokens?|id|frames?|patch|steps?|samples?|words?|features?"
    r"|bins?|vocab|window|length|max|theta|base|width|rank"
)
_COUNTS = re.compile(r"(num|n)_.*|.*(labels|layers|blocks|experts)|depths?")


def counted_parts(settings: Mapping[str, Any]) -> dict[str, int]:
    """Keys of settings that count parts of a model, each of which is built as an object -> the largest number there.

    Args:
        settings: of a configuration of transformers, as a recipe has them.
    """
    found: dict[str, int] = {}
    for key, number in _numbers(settings):
        name = key.rpartition(".")[2].lstrip("_")
        if _COUNTS.fullmatch(name) and not any(_EXTENTS.fullmatch(part) for part in name.split("_")):
            found[key] = max(found.get(key, 0), number)
    return found


def why_heavy(recipe: Recipe) -> str | None:
    """Why a recipe's model is only built under limits, a clause; None where it is as small as most.

    Args:
        recipe: a valid one; nothing of it is built.
    """
    model = recipe.model
    of_transformers = isinstance(model, HuggingFaceModel)
    depths = [depth for _, depth in recipe.shapes()]
    if sum(depths) > (_LAYERS_OF_TRANSFORMERS if of_transformers else _LAYERS):
        return f"its sizes have {sum(depths):,} layers together"
    if not isinstance(model, HuggingFaceModel):
        return None
    parts = counted_parts(model.settings)
    for key, number in parts.items():
        if number * max(depths) > _PARTS_IN_LAYERS:
            return f"`{key}` is {number:,}"
    for key, number in _numbers(model.settings):
        extent = any(_EXTENTS.fullmatch(part) for part in key.rpartition(".")[2].split("_"))
        if number > (_EXTENT if extent else _NUMBER):
            return f"`{key}` is {number:,}"
    return None


def _numbers(value: Any, key: str = "") -> Iterator[tuple[str, int]]:
    """Whole numbers of a setting, those of lists and sections in it too, with the key of the nearest section."""
    if isinstance(value, Mapping):
        for name, each in value.items():
            yield from _numbers(each, f"{key}.{name}" if key else str(name))
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _numbers(each, key)
    elif isinstance(value, int) and not isinstance(value, bool):
        yield key, value
