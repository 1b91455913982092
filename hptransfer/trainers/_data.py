"""A recipe's data in a worker: read once and compared with the coordinator's; what was measured on them."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from hptransfer.errors import UsageError
from hptransfer.recipe.objective import evaluation_text
from hptransfer.recipe.schema import Data, Recipe
from hptransfer.registry import look_in
from hptransfer.trials.messages import SpecMessage, refusal
from hptransfer.trials.trial import EVALUATION_ERROR

if TYPE_CHECKING:  # torch is imported only where a worker trains
    from torch import nn

    from hptransfer.training.batches import Batches
    from hptransfer.training.loop import Outcome


def evaluation(recipe: Recipe, fingerprint: str, outcome: Outcome) -> dict[str, str]:
    """What the final loss is measured on, in which unit, and how far it may lie from that on more data of the kind.

    Args:
        recipe: says how many examples of which data.
        fingerprint: sha256 (hex) of the data.
        outcome: how the run ended.
    """
    from hptransfer.training.losses.base import find_loss

    error = outcome.evaluation_error
    return {
        "evaluation": evaluation_text(recipe, fingerprint),
        "unit": find_loss(recipe.training.loss, recipe.training.loss_arguments).unit,
    } | ({} if error is None else {EVALUATION_ERROR: f"{error:.3g}"})


def require_vocabulary(module: nn.Module, vocabulary: int | None) -> None:
    """Raise UsageError where the model cannot know all tokens: it has no table or readout as long as the vocabulary.

    Args:
        module: the model that is trained.
        vocabulary: that the data declare; None where they declare none.
    """
    longest = max((max(parameter.shape, default=0) for parameter in module.parameters()), default=0)
    if vocabulary is not None and longest < vocabulary:
        raise UsageError(
            "the model must have an embedding for every token of the data",
            received=f"`data.vocabulary` is {vocabulary:,}; the longest axis of a parameter is {longest:,}",
            hint=f"write `vocabulary: {vocabulary}` in `model` (transformers: `vocab_size` in `settings`)",
        )


def accepted_batches(message: SpecMessage) -> Batches:
    """The batches of a measurement.

    Args:
        message: of the coordinator, with the data's fingerprint.

    Raises:
        UsageError: the data here are not the coordinator's.
    """
    batches = cached_batches(message.recipe.data, message.root)
    refused = refusal(message, batches.fingerprint)
    if refused is not None:
        raise UsageError("data must stay the same while a command works", received=refused)
    return batches


@lru_cache(maxsize=4)
def cached_batches(data: Data, root: Path) -> Batches:
    """The data, read once per process; modules beside the recipe are found from now on."""
    from hptransfer.training.data import load_batches

    look_in(root)
    return load_batches(data, root)
