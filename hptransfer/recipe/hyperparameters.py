"""The hyperparameters a trial takes: names, defaults from the recipe, and how they are searched."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from hptransfer.recipe.schema import Training

HyperparameterName = Literal["learning_rate", "weight_decay", "init_scale", "warmup"]

#: every value a trial needs, in the order they are shown; the searchable ones are `HyperparameterName`
NAMES: tuple[str, ...] = (
    "learning_rate",
    "weight_decay",
    "init_scale",
    "warmup",
    "beta1",
    "beta2",
    "eps",
    "momentum",
)


def defaults(training: Training) -> dict[str, float]:
    """The base-size value of every hyperparameter as the recipe's `training` section gives it."""
    return {name: float(getattr(training, name)) for name in NAMES}
