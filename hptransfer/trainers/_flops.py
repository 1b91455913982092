"""Operations of a run, counted on the meta device: nothing is trained, and no memory is allocated.

FLOPs are those of training: three times the forward pass, because each product has two more in the backward pass, one
for each factor (Kaplan et al., arXiv 2001.08361, section 2.1). For a decoder that is 6 for each weight of a matrix and
12 * depth * context * width of attention per token (PaLM, arXiv 2204.02311, appendix B). Softmax, norms, additions,
look-ups and the optimizer are not counted.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from hptransfer.data.python import PythonData
from hptransfer.errors import UsageError
from hptransfer.recipe.schema import Recipe
from hptransfer.sizes import Size

if TYPE_CHECKING:  # torch is imported only where a worker counts
    from torch import nn

    from hptransfer.models.forward_cost import ForwardCost
    from hptransfer.training.batches import Batch

T = TypeVar("T")
#: characters of a reason that are shown; torch's messages can be pages
_LONGEST = 200
#: kinds of models whose operations `training_flops` knows by their layers
_BUILT_IN = ("mlp", "gpt")


def run_flops(recipe: Recipe, size: Size, root: Path) -> float:
    """Floating point operations of one run, counted once per process.

    Args:
        recipe: gives the model, the loss and what a batch is.
        size: width, depth, batch and tokens of the run.
        root: the recipe's folder, where data and modules are looked for.

    Raises:
        UsageError: the model cannot be built at this size.
    """
    return _known_flops(recipe.model_dump_json(), size, root)


@lru_cache(maxsize=256)
def _known_flops(recipe: str, size: Size, root: Path) -> float:
    from hptransfer.models.build import build_model

    loaded = Recipe.model_validate_json(recipe)
    module = build_model(loaded.model, size.width, size.depth, "meta")
    forward = None if loaded.model.kind in _BUILT_IN else forward_of(loaded, module, size.batch_size, root)
    return flops_of(loaded, size, module, size.batch_size, forward)[0]


def flops_of(
    recipe: Recipe, size: Size, module: nn.Module, examples: int, forward: ForwardCost | str | None
) -> tuple[float, list[str]]:
    """Operations of a whole run.

    Args:
        recipe: gives the model's kind and what an example is.
        size: width, depth, batch and tokens of the run.
        module: the model at this size, on any device.
        examples: of the forward pass.
        forward: what `forward_of` returned; None for built-in models, which need none.

    Returns:
        The count, and sentences on what it leaves out.
    """
    from hptransfer.models.build import training_flops

    if recipe.model.kind in _BUILT_IN:
        return training_flops(module, size.tokens, recipe.model.context), []
    if forward is None or isinstance(forward, str):
        note = "FLOPs are 6 per weight of a linear layer and prediction, without attention and convolutions"
        return training_flops(module, size.tokens, recipe.model.context), [note]
    return 3 * forward.flops / examples * size.tokens / recipe.predictions_per_example, []


def forward_of(recipe: Recipe, module: nn.Module, examples: int, root: Path) -> ForwardCost | str:
    """Count the pass of a batch through model and loss.

    Args:
        recipe: gives the loss and what an example is.
        module: the model, on the meta device.
        examples: in the batch, at least 1.
        root: the recipe's folder, where data and modules are looked for.

    Returns:
        The counts; or why there are none, in one line, where the user's code does not run on the meta device.
    """
    from hptransfer.models.forward_cost import forward_cost
    from hptransfer.training.losses.base import find_loss

    def count() -> ForwardCost:
        loss, batch = find_loss(recipe.training.loss, recipe.training.loss_arguments), _batch(recipe, examples, root)
        return forward_cost(module.train(), lambda: loss(module, batch))

    return or_reason(count)


def _batch(recipe: Recipe, examples: int, root: Path) -> Batch:
    """What the loss gets, without content: examples x (context + 1) integers, or the shapes of the user's own batch."""
    import torch

    if isinstance(recipe.data, PythonData):
        from hptransfer.trainers._data import cached_batches
        from hptransfer.training.batches import map_tensors

        batch = cached_batches(recipe.data, root).batch(0, 0, examples, recipe.model.context)
        return map_tensors(batch, lambda tensor: tensor.to("meta"))
    return torch.zeros(examples, recipe.model.context + 1, dtype=torch.int64, device="meta")


def or_reason(count: Callable[[], T]) -> T | str:
    """What is counted; where that fails, what was said, in one line.

    Args:
        count: runs code that may be the user's.
    """
    try:
        return count()
    except UsageError as error:
        return error.findings[0].rule
    except (Exception, SystemExit) as error:  # the user's code may raise anything
        said = " ".join(str(error).split())
        return f"{type(error).__name__}: {said if len(said) <= _LONGEST else said[:_LONGEST] + '...'}"
