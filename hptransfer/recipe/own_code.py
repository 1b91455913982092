"""Code that a recipe names: what would run, and so must be trusted, before a level may go further than the text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hptransfer.recipe.schema import Recipe
from hptransfer.recipe.yaml.gate import KeyPath

#: keys whose code builds and reads the model
_OF_THE_MODEL = (("model", "factory"), ("model", "example"))
#: keys whose code the first step of a run needs as well
_OF_A_STEP = (
    ("training", "loss"),
    ("data", "kind"),
    ("data", "source"),
    ("data", "evaluation"),
    ("trainer", "name"),
    ("trainer", "function"),
)


def model_code(recipe: Recipe) -> Mapping[KeyPath, str]:
    """Key -> `module:attribute` of the code that building and reading the model runs.

    Args:
        recipe: a valid one; nothing is imported.
    """
    return _references(recipe, _OF_THE_MODEL)


def step_code(recipe: Recipe) -> Mapping[KeyPath, str]:
    """Key -> `module:attribute` of the code that one step of training runs, the model's among it.

    Args:
        recipe: a valid one; nothing is imported.
    """
    return _references(recipe, (*_OF_THE_MODEL, *_OF_A_STEP))


def _references(recipe: Recipe, keys: tuple[tuple[str, str], ...]) -> dict[KeyPath, str]:
    found: dict[KeyPath, str] = {}
    for section, key in keys:
        named: Any = getattr(getattr(recipe, section), key, None)
        # names without a colon are built in, or of a package that is installed
        if isinstance(named, str) and ":" in named:
            found[section, key] = named
    return found
