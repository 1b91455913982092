"""A recipe for a tiny MLP, and single trials of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hptransfer.recipe.schema import Recipe
from hptransfer.trials.spec import TrialSpec

#: of recipes whose data lie nowhere in particular
ROOT = Path()


def recipe(**sections: Mapping[str, Any] | str) -> Recipe:
    """A recipe for a tiny MLP; a section given replaces these values in it."""
    document: dict[str, Any] = {
        "name": "tiny",
        "model": {"kind": "mlp", "context": 4, "embedding": 4},
        "data": {"kind": "stdlib-text"},
        "training": {"steps": 5, "batch_size": 8, "evaluation_batches": 2},
        "parameterization": {"name": "mup"},
        "sizes": {"base": {"width": 16, "depth": 2}, "widths": [16], "target": {"width": 64, "depth": 2}},
        "tune": {"space": {"learning_rate": {"low": 1e-4, "high": 1.0}}},
    }
    for name, values in sections.items():
        if isinstance(values, str):
            document[name] = values
            continue
        document[name] = {key: value for key, value in (document.get(name, {}) | values).items() if value is not None}
    return Recipe.model_validate_json(json.dumps(document))


def request(recipe_: Recipe | None = None, seed: int = 0, width: int = 16, **hyperparameters: float) -> TrialSpec:
    """A request at depth 2."""
    wanted = recipe_ or recipe()
    return TrialSpec(wanted, ROOT, wanted.size(width, 2), hyperparameters, seed)
