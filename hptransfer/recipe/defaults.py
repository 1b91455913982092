"""Hyperparameters as a recipe's `training` section gives them."""

from __future__ import annotations

from hptransfer.hyperparameters import MULTIPLIERS, NAMES
from hptransfer.recipe.training import Training


def schema_defaults() -> dict[str, float]:
    """The value of every hyperparameter where a recipe says nothing."""
    return defaults(Training())


def defaults(training: Training) -> dict[str, float]:
    """The value of every hyperparameter at the base size.

    Args:
        training: section of a recipe, with its `multipliers`.
    """
    return {name: float(getattr(training.multipliers if name in MULTIPLIERS else training, name)) for name in NAMES}
