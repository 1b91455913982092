"""The recipes and templates that come with hptransfer, found from a wheel, an editable install and a checkout alike.

The standard library alone, because help lists the templates.
"""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parents[1]


def shipped_recipes() -> dict[str, Path]:
    """Name -> file of every shipped recipe, sorted by name; the name is the file's without `.yaml`.

    A wheel carries them inside the package (`hptransfer/recipes/`). A checkout, which is also what an editable install
    points to, has them next to the package; `pyproject.toml` distinguishes a checkout from someone else's `recipes`.
    """
    checkout = _PACKAGE.parent
    folder = _PACKAGE / "recipes"
    if not folder.is_dir() and (checkout / "pyproject.toml").is_file():
        folder = checkout / "recipes"
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def template(name: str) -> Path:
    """The file of a commented recipe template, which `init` copies.

    Args:
        name: of the template, one of `templates()`: "quickstart", "gpt".
    """
    return Path(__file__).resolve().parent / "templates" / f"{name}.yaml"


def templates() -> tuple[str, ...]:
    """Names of the templates, sorted."""
    return tuple(sorted(path.stem for path in template("any").parent.glob("*.yaml")))


def schema_file() -> Path:
    """The JSON Schema of recipes, as `hptransfer.recipe.json_schema` writes it."""
    return Path(__file__).parent / "recipe.schema.json"
