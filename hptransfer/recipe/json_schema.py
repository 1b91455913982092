"""The recipe's JSON Schema for editors: `python -m hptransfer.recipe.json_schema` prints `recipe.schema.json`.

Draft 7, the newest that yaml-language-server and SchemaStore take. It says of a recipe's form what a schema can;
`hptransfer validate` says the rest, the rules across keys above all.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from hptransfer.recipe.command_sections import CommandTrainer
from hptransfer.recipe.registered import DATA_SOURCES
from hptransfer.recipe.schema import OwnData, Recipe
from hptransfer.recipe.trainer_sections import SECTIONS, NamedTrainer

#: names the schema; a copy that is published under an address gets that instead (`hptransfer schema --id`)
IDENTIFIER = "urn:hptransfer:recipe"
#: what editors take for recipes by their names, as SchemaStore's catalog has it
FILE_MATCH = ("*.hptransfer.yaml", "*.hptransfer.yml", "hptransfer/*.yaml", "hptransfer/*.yml")

#: words of OpenAPI and of later drafts that draft 7 does not have
_FOREIGN = ("discriminator",)
#: keys under which a schema has names of its users and not its own words
_NAMES = ("properties", "patternProperties", "definitions")


def json_schema() -> dict[str, Any]:
    """The schema as plain data; names of what ships are listed, what packages add is `module:attribute` there."""
    source = Recipe.model_json_schema()
    definitions = source.pop("$defs")
    _mark_own_data(definitions[OwnData.__name__])
    _mark_commands(definitions[CommandTrainer.__name__])
    _mark_names(definitions[NamedTrainer.__name__])
    for reference in source["properties"]["model"]["discriminator"]["mapping"].values():
        section = definitions[reference.rpartition("/")[2]]
        section["required"] = sorted({"kind", *section.get("required", ())})
    trainer = source["properties"]["trainer"]
    trainer["oneOf"] = [
        definitions[NamedTrainer.__name__]["properties"]["name"] | {"description": ""},
        *trainer["oneOf"],
    ]
    converted = _converted(source)
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "$id": IDENTIFIER,
        "title": "hptransfer recipe",
        "description": converted.pop("description"),
        **{key: value for key, value in converted.items() if key != "title"},
        "definitions": {name: _converted(definition) for name, definition in definitions.items()},
    }


def _mark_own_data(section: dict[str, Any]) -> None:
    """Without a colon it is the name of a section that ships, so that a misspelt one is no source of one's own."""
    section["properties"]["kind"] |= {"pattern": ":", "not": {"enum": list(DATA_SOURCES.built_in)}}


def _mark_commands(section: dict[str, Any]) -> None:
    """A text is for a shell, a list is not."""
    words, text = section["properties"]["command"].pop("oneOf")
    section["if"] = {"properties": {"shell": {"const": True}}, "required": ["shell"]}
    section["then"] = {"properties": {"command": text}}
    section["else"] = {"properties": {"command": words}}


def _mark_names(section: dict[str, Any]) -> None:
    """Trainers with sections of their own are not named alone."""
    names, reference = section["properties"]["name"]["anyOf"]
    names["enum"] = [name for name in names["enum"] if name not in SECTIONS]
    section["properties"]["name"]["anyOf"] = [names, reference | {"maxLength": 200}]


def _converted(schema: Any) -> Any:
    """A schema in the words of draft 7."""
    if isinstance(schema, list):
        return [_converted(each) for each in schema]
    if not isinstance(schema, Mapping):
        return schema
    found: dict[str, Any] = {}
    for key, value in schema.items():
        if key in _NAMES:
            found[key] = {name: _without_title(_converted(each)) for name, each in value.items()}
        elif key == "default":
            if isinstance(value, bool | int | float | str) and value != "":
                found[key] = value
        elif key == "description":
            if value:
                found[key] = re.sub(r"\s+", " ", value)
        elif key == "pattern":
            found[key] = re.sub(r"\(\?P<\w+>", "(", value)  # names of groups are Python's
        elif key not in _FOREIGN:
            found[key] = _converted(value)
    if "patternProperties" in found:
        found.setdefault("additionalProperties", False)
    if "$ref" in found:
        return _referring(found)
    return found


def _referring(schema: dict[str, Any]) -> dict[str, Any]:
    """In draft 7 nothing beside `$ref` counts."""
    reference = {"$ref": schema.pop("$ref").replace("#/$defs/", "#/definitions/")}
    return {"allOf": [reference], **schema} if schema else reference


def _without_title(schema: Any) -> Any:
    """Pydantic's titles repeat the key in other letters."""
    return {key: value for key, value in schema.items() if key != "title"} if isinstance(schema, dict) else schema


def text() -> str:
    """The schema as the text of its file."""
    return json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    print(text(), end="")
