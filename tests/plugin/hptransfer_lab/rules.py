"""A lint rule: a recipe is named after its file."""

from __future__ import annotations

from collections.abc import Iterator

from hptransfer.errors import Finding
from hptransfer.linting.base import FunctionRule
from hptransfer.recipe.load import LoadedRecipe


def _named(loaded: LoadedRecipe) -> Iterator[Finding]:
    name, stem = loaded.recipe.name, loaded.path.stem
    if name != stem:
        rule = "a recipe should be named after its file"
        yield Finding(rule, f"{name} in {loaded.path.name}", f"write `name: {stem}`", loaded.place(("name",)))


RULES = (FunctionRule("lab/named", "a recipe is named after its file", _named),)
