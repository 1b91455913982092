"""Hyperparameters as a recipe's `training` section gives them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hptransfer.recipe.schema import Training
from hptransfer.hyperparameters import MULTIPLIERS, NAMES


def defaults(training: Training) -> dict[str, float]:
    """The value of every hyperparameter at the base size.

    Args:
        training: section of a recipe, with its `multipliers`.
    """
    return {name: float(getattr(training.multipliers if name in MULTIPLIERS else training, name)) for name in NAMES}
