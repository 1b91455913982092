"""A trial that is wanted: what determines it, and its key."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from hptransfer.errors import UsageError
from hptransfer.hyperparameters import NAMES, identifying
from hptransfer.recipe.defaults import defaults
from hptransfer.recipe.schema import Recipe
from hptransfer.sizes import Size

#: parts of `training` that do not determine a run: size and hyperparameters carry them, `processes` change rounding
_CARRIED_ELSEWHERE = {"steps", "batch_size", "processes", "multipliers", *NAMES}


@dataclass(frozen=True, slots=True)
class TrialSpec:
    """A run that is wanted.

    Attributes:
        recipe: gives model, data, training and parameterization.
        root: the recipe's folder, where data patterns start.
        size: what to train.
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
        return self.recipe.size(self.recipe.sizes.base.width, self.recipe.sizes.base.depth)

    def key(self, fingerprint: str) -> str:
        """Sha256 (hex) of everything that determines the run; versions and paths do not.

        Args:
            fingerprint: of the corpus.
        """
        return _digest(
            self._experiment(fingerprint)
            | {"size": asdict(self.size), "hyperparameters": identifying(self.hyperparameters), "seed": self.seed}
        )

    def experiment(self, fingerprint: str) -> str:
        """Sha256 (hex) of what all trials of one study share: the identity without hyperparameters, size and seed."""
        return _digest(self._experiment(fingerprint))

    def _experiment(self, fingerprint: str) -> dict[str, Any]:
        model = self.recipe.model.model_dump(mode="json")
        return {
            # an empty list says nothing: trials of recipes without it keep the keys they have
            "model": {name: value for name, value in model.items() if name != "queries" or value},
            "data": self.recipe.data.model_dump(mode="json") | {"fingerprint": fingerprint},
            "training": {
                name: value
                for name, value in self.recipe.training.model_dump(mode="json", exclude=_CARRIED_ELSEWHERE).items()
                if name != "loss" or value != "next-token"  # the default is as if the key did not exist
            },
            "parameterization": {"alpha": None}
            | self.recipe.parameterization.model_dump(mode="json", exclude_none=True),
            "base": asdict(self.base),
        }

    def payload(self) -> dict[str, Any]:
        """The request as JSON-able data for `run_trial`."""
        return {
            "recipe": self.recipe.model_dump(mode="json"),
            "root": str(self.root),
            "size": asdict(self.size),
            "hyperparameters": dict(self.hyperparameters),
            "seed": self.seed,
        }

    def coordinates_payload(self, *, linearisation: bool = False) -> dict[str, Any]:
        """The request as JSON-able data for `run_coordinates`, at the steps of the recipe's coordinate check.

        Args:
            linearisation: whether to measure the distance from linearisation too.
        """
        steps = list(self.recipe.check.coordinate.steps)
        return self.payload() | {"task": "coordinates", "steps": steps, "linearisation": linearisation}


def _digest(identity: Mapping[str, Any]) -> str:
    canonical = json.dumps(identity, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()


def request_from_payload(payload: Mapping[str, Any]) -> TrialSpec:
    """The inverse of `TrialSpec.payload`."""
    return TrialSpec(
        # through JSON text, because pydantic's strict mode takes a list for a tuple there and nowhere else
        Recipe.model_validate_json(json.dumps(payload["recipe"])),
        Path(payload["root"]),
        Size(**payload["size"]),
        payload["hyperparameters"],
        payload["seed"],
    )
