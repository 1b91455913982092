"""The recipe's reference page, written from the schema: `python -m hptransfer.recipe.document > docs/recipe.md`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from hptransfer.recipe.schema import Recipe

_HEADER = """\
# Recipe reference

Generated from `hptransfer/recipe/schema.py` by `python -m hptransfer.recipe.document`; do not edit.

A recipe is YAML (1.2 scalars: `1e-3` is a number, `no` is text). Unknown keys, loose types, duplicate keys, anchors
and tags are errors, reported all at once with file:line:column. `hptransfer init` writes a commented recipe,
`hptransfer validate` checks one without training.
"""


def document() -> str:
    """The page as Markdown."""
    schema = Recipe.model_json_schema()
    parts = [_HEADER, *_section("Recipe", schema)]
    for name, definition in schema["$defs"].items():
        if "properties" in definition:
            parts += _section(name, definition)
    return "\n".join(parts) + "\n"


def _section(name: str, definition: dict[str, Any]) -> Iterator[str]:
    yield f"\n## {name}\n"
    yield _one_line(definition.get("description", ""))
    yield "\n| key | value | default | meaning |\n|---|---|---|---|"
    required = set(definition.get("required", ()))
    for key, field in definition["properties"].items():
        default = "**required**" if key in required else _default(field.get("default"))
        yield f"| `{key}` | {_type(field)} | {default} | {_one_line(field.get('description', ''))} |"


def _type(field: dict[str, Any]) -> str:
    """The JSON schema's type in a few words, with its bounds."""
    if "$ref" in field:
        return _link(field["$ref"])
    if "enum" in field or "const" in field:
        return ", ".join(f"`{value}`" for value in field.get("enum", [field.get("const")]))
    options = field.get("anyOf", field.get("oneOf"))
    if options:
        return " or ".join(dict.fromkeys(_type(option) for option in options))
    if field.get("type") == "array":
        return f"list of {_type(field['items'])}"
    if field.get("type") == "object":
        return f"mapping to {_type(field.get('additionalProperties') or {})}"
    return _scalar(field)


def _scalar(field: dict[str, Any]) -> str:
    words = {"integer": "integer", "number": "number", "string": "text", "null": "nothing", "boolean": "true or false"}
    bounds = [
        f"{symbol} {field[bound]:g}"
        for bound, symbol in (("minimum", "≥"), ("exclusiveMinimum", ">"), ("maximum", "≤"), ("exclusiveMaximum", "<"))
        if bound in field
    ]
    return " ".join([words.get(field.get("type", ""), "value"), ", ".join(bounds)]).strip()


def _link(reference: str) -> str:
    name = reference.rsplit("/", 1)[-1]
    return f"[{name}](#{name.lower()})"


def _default(value: object) -> str:
    if value is None or value in ("", {}):
        return "none"
    return "see there" if isinstance(value, dict) else f"`{value}`"


def _one_line(text: str) -> str:
    return re.sub(r"\s+", " ", text).replace("|", "\\|")


if __name__ == "__main__":
    print(document(), end="")
