"""What a worker reads of a recipe's model, for keys that a coordinator computes without torch; FLOPs likewise."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hptransfer.errors import UsageError
from hptransfer.models.build import build_model
from hptransfer.models.cost import training_flops
from hptransfer.models.shape_reading import read_recipe_model
from hptransfer.recipe.schema import Model
from hptransfer.sizes import Size
from hptransfer.trials.identity import READING, ParameterReading


def read_sizes(model: Model, base: tuple[int, int], sizes: Sequence[tuple[int, int]]) -> list[dict[str, Any]]:
    """Read a model's parameters and their roles at several sizes, on the meta device.

    Args:
        model: the recipe's section.
        base: width and depth at which every factor of a rule is 1.
        sizes: width and depth of each model to read.

    Returns:
        Per size {"reading": a `ParameterReading` as plain data}, or {"faults": findings as mappings of rule, received
        and hint} where the model cannot be built or read there.
    """
    return [_read(model, base, size) for size in sizes]


def _read(model: Model, base: tuple[int, int], size: tuple[int, int]) -> dict[str, Any]:
    try:
        # batch and tokens do not change a model
        reading = read_recipe_model(model, Size(*base, batch_size=1, tokens=1), Size(*size, batch_size=1, tokens=1))
    except UsageError as error:
        return {"faults": [{"rule": f.rule, "received": f.received, "hint": f.hint} for f in error.findings]}
    return {"reading": READING.dump_python(ParameterReading(reading.parameters, reading.multiplied), mode="json")}


def count_flops(model: Model, sizes: Sequence[Size]) -> list[float]:
    """Floating point operations of one training run at each of several sizes, on the meta device.

    Args:
        model: the recipe's section.
        sizes: width, depth and tokens of each run.
    """
    return [
        training_flops(build_model(model, size.width, size.depth, "meta"), size.tokens, model.context) for size in sizes
    ]
