"""The Python files beside the shipped recipes, as modules."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

_RECIPES = Path(__file__).parents[2] / "recipes"


def beside_the_recipes(name: str) -> ModuleType:
    """A module of its own for a file in `recipes/`.

    Args:
        name: of the file, without `.py`.
    """
    spec = importlib.util.spec_from_file_location(name, _RECIPES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found
