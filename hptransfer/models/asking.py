"""Ask a model: build it small on the CPU, run it, and say what was found; never an error, only what is not known."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from hptransfer.models.build import build_model
from hptransfer.models.factory import load_function
from hptransfer.models.probe_sizes import MOST_PARAMETERS, probe_sizes
from hptransfer.probe.findings import Probe
from hptransfer.probe.probing import probe
from hptransfer.recipe.model_sections import FactoryModel, HuggingFaceModel
from hptransfer.recipe.sections import Setting

if TYPE_CHECKING:
    from torch import nn

#: rows of a table that are enough for a model that is run once
_ROWS = 1024


def ask(
    build: Callable[[int, int], nn.Module], base: tuple[int, int], example: object = None, context: int = 64
) -> Probe:
    """What running a model tells.

    Args:
        build: makes the module at a width and a depth, under the current device.
        base: width and depth at which every factor of a rule is 1.
        example: what `forward` takes, or a function that returns it; None: it is guessed.
        context: positions of a sequence at most.
    """
    first: Probe | None = None
    for at_base, wide, deep in probe_sizes(build, base):
        told = probe(build, at_base, wide=wide, deep=deep, example=example, context=context)
        if told.example:
            return told
        first = first or told  # a smaller model may lack what another size has, such as a whole number of heads
    if first is None:
        said = (
            f"the model was not run: no size of it with the base's kinds of layers has fewer than {MOST_PARAMETERS:,} "
            "parameters"
        )
        return Probe(base, (2 * base[0], base[1]), (base[0], 2 * base[1]), unknown=(said,))
    return first


def ask_model(model: FactoryModel | HuggingFaceModel | Any, base: tuple[int, int]) -> Probe:
    """What running a recipe's model tells.

    Args:
        model: the recipe's `model` section, of a kind that is not built in.
        base: width and depth at which every factor of a rule is 1.

    Raises:
        UsageError: the function that `example` names cannot be loaded.
    """
    small = _with_few_rows(model) if isinstance(model, HuggingFaceModel) else model
    example = None if model.example is None else load_function(model.example)

    def build(width: int, depth: int) -> nn.Module:
        return build_model(small, width, depth, device=None)

    return ask(build, base, example, model.context)


def _with_few_rows(model: HuggingFaceModel) -> HuggingFaceModel:
    """The same with a short vocabulary: nothing that is asked depends on its length."""
    rows = model.settings.get("vocab_size")
    ids = [value for key, value in model.settings.items() if key.endswith("_token_id") and isinstance(value, int)]
    if not isinstance(rows, int) or rows <= _ROWS or max(ids, default=0) >= _ROWS:
        return model
    settings: dict[str, Setting] = {**model.settings, "vocab_size": _ROWS}
    return model.model_copy(update={"settings": settings})
