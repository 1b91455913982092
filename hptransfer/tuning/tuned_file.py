"""Reading what `tune` recommended, and refusing what belongs to another recipe."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import yaml

from hptransfer.errors import UsageError
from hptransfer.hyperparameters import NAMES, with_default_multipliers


def read_tuned(path: Path, recipe: str) -> dict[str, Any]:
    """The content of `tuned.yaml`, with known, finite hyperparameters.

    Args:
        path: the file in the run folder.
        recipe: what the user called the recipe, for the hint.

    Raises:
        UsageError: nothing was tuned yet, or the file is not what `tune` wrote.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise UsageError(
            "hyperparameters must be tuned first", received=f"no {path}", hint=f"run `hptransfer tune {recipe}`"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError("a file of the run folder must be readable", received=f"{path}: {error}") from None
    try:
        tuned = yaml.safe_load(text)
    except yaml.YAMLError:
        tuned = None
    values = tuned.get("hyperparameters") if isinstance(tuned, dict) else None
    if not isinstance(tuned, dict) or not isinstance(values, dict) or not values:
        raise UsageError("tuned.yaml must be what `hptransfer tune` wrote", received=str(path))
    for name, value in values.items():
        if name not in NAMES or not isinstance(value, int | float) or not math.isfinite(value):
            raise UsageError(
                "`hyperparameters` of tuned.yaml must be known names with finite numbers",
                received=f"{path}: {name}: {value!r}",
            )
    return tuned | {"hyperparameters": with_default_multipliers(values)}
