"""Where a new recipe goes: a path that can be written, and the name that it gives the recipe."""

from __future__ import annotations

import os
import re
from pathlib import Path

from hptransfer.errors import Place, UsageError
from hptransfer.files import write_atomically

#: where editors find the schema, beside recipes: `hptransfer schema > hptransfer.schema.json`
SCHEMA_FILE = "hptransfer.schema.json"
#: what yaml-language-server reads; a path beside the recipe is the same in every checkout
SCHEMA_LINE = f"# yaml-language-server: $schema={SCHEMA_FILE}\n"


def require_destination(path: Path, *, force: bool) -> None:
    """Refuses a path that cannot be written, before anything is tried.

    Args:
        path: where the recipe is to lie.
        force: whether a file that exists may be replaced.

    Raises:
        UsageError: it is a folder, exists, or lies where nothing can be written.
    """
    place = Place(str(path))
    if path.is_dir():
        rule, example = "the recipe must be written to a file", path / "recipe.yaml"
        raise UsageError(rule, received="a directory", hint=f"name a file in it, for example {example}", place=place)
    if path.exists() and not force:
        rule = "`init` does not overwrite"
        raise UsageError(rule, received="a file that exists", hint="choose another path, or say --force", place=place)
    folder = next(parent for parent in path.absolute().parents if parent.exists())
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        received = str(folder) if folder.is_dir() else f"{folder}, which is not a folder"
        rule = "the recipe must be written into a folder that can be written"
        raise UsageError(rule, received=received, hint="choose another path", place=place)


def recipe_name(path: Path) -> str:
    """The file's stem with what the schema does not allow in a name replaced.

    Args:
        path: where the recipe is to lie.
    """
    slug = re.sub(r"[^A-Za-z0-9._-]+", "-", path.stem).strip("-._")
    return slug[:80] or "recipe"


def write_recipe(path: Path, text: str) -> None:
    """Writes a new recipe; editors are told of the schema where it lies beside it, for else they report it missing.

    Args:
        path: where the recipe is to lie.
        text: of the recipe, with or without the line for editors.

    Raises:
        UsageError: the path cannot be written.
        MachineError: the disk is full.
    """
    line = SCHEMA_LINE if (path.parent / SCHEMA_FILE).is_file() else ""
    write_atomically(path, line + text.replace(SCHEMA_LINE, "", 1))
