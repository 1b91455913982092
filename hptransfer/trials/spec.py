"""A trial that is wanted: a recipe, a size, hyperparameters and a seed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from hptransfer.errors import UsageError
from hptransfer.hyperparameters import NAMES, identifying
from hptransfer.recipe.defaults import defaults
from hptransfer.recipe.schema import Recipe
from hptransfer.sizes import Size
from hptransfer.trials.trial import Trial

#: size, hyperparameters and seed: what tells trials of one experiment apart
Point = tuple[Size, tuple[tuple[str, float], ...], int]


@dataclass(frozen=True, slots=True)
class TrialSpec:
    """A run that is wanted.

    Attributes:
        recipe: gives model, data, training and parameterization.
        root: the recipe's folder, where data patterns start.
        size: width, depth, batch and tokens to train at.
        hyperparameters: base-size values; names left out take the recipe's `training` values.
        seed: of initialisation and data order, at least 0.
    """

    recipe: Recipe
    root: Path
    size: Size
    hyperparameters: Mapping[str, float]
    seed: int

    def __post_init__(self) -> None:
        unknown = set(self.hyperparameters) - set(NAMES)
        if unknown:
            raise UsageError(
                f"hyperparameters of a trial must be among {', '.join(NAMES)}", received=", ".join(sorted(unknown))
            )
        given = {name: float(value) for name, value in self.hyperparameters.items()}
        object.__setattr__(self, "hyperparameters", defaults(self.recipe.training) | given)

    @property
    def base(self) -> Size:
        """The size at which the hyperparameters hold as they are."""
        return self.recipe.base_size

    @property
    def point(self) -> Point:
        """What tells this trial from others of the same experiment; a finished trial has the same, see `point_of`."""
        return _point(self.size, self.hyperparameters, self.seed)


def point_of(trial: Trial) -> Point:
    """Size, hyperparameters and seed of a finished trial, comparable with `TrialSpec.point`."""
    return _point(trial.size, trial.hyperparameters, trial.seed)


def _point(size: Size, hyperparameters: Mapping[str, float], seed: int) -> Point:
    return size, tuple(sorted(identifying(hyperparameters).items())), seed
