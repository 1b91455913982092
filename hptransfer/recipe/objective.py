"""The number that trials are compared by: its unit, and the examples that it is measured on."""

from __future__ import annotations

from hptransfer.recipe.registered import LOSSES
from hptransfer.recipe.schema import Recipe

#: of losses that do not say theirs
NO_UNIT = "units of the loss"


def unit_of(recipe: Recipe) -> str:
    """The unit in which a recipe's losses are printed; no code of the user's is imported for it.

    Args:
        recipe: names the loss that is trained.

    Returns:
        The built-in loss's own unit, and `NO_UNIT` for a loss of the user's.
    """
    loss = recipe.training.loss
    if loss not in LOSSES.built_in:
        return NO_UNIT
    unit: str = LOSSES.look_up(loss).unit
    return unit


def evaluation_text(recipe: Recipe, fingerprint: str) -> str:
    """What a recipe's losses are measured on, in words; a prediction holds for it alone.

    Args:
        recipe: says how many examples of which data.
        fingerprint: sha256 (hex) of the data.

    Returns:
        For example "1,024 examples of stdlib-text validation, sha256 ab12cd34".
    """
    return f"{recipe.evaluation_examples:,} examples of {recipe.data.kind} validation, sha256 {fingerprint[:8]}"
