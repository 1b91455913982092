"""The JSON Schema of recipes: draft 7, as committed, and of one mind with what `validate` decides."""

from __future__ import annotations

import json
import random
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from hptransfer.commands.init import init_command
from hptransfer.commands.schema import schema_command
from hptransfer.engine.new_recipe import SCHEMA_FILE, SCHEMA_LINE
from hptransfer.errors import RecipeError, UsageError
from hptransfer.hyperparameters import NAMES
from hptransfer.parameterization.tables import PARAMETERIZATIONS
from hptransfer.recipe.json_schema import FILE_MATCH, IDENTIFIER, json_schema, text
from hptransfer.recipe.load import load_recipe
from hptransfer.recipe.registered import OPTIMIZERS
from hptransfer.recipe.schema import Recipe
from hptransfer.recipe.shipped import schema_file, shipped_recipes, template, templates
from hptransfer.recipe.yaml.gate import Plain, read_yaml
from tests.support.recipe_faults import FAULTS
from tests.support.recipe_texts import MLP

FOLDER = Path(__file__).parent / "schema_store"
#: keywords of JSON Schema draft 7 (validation, sections 6 to 10) that this schema may use
DRAFT_7 = {
    "$schema", "$id", "$ref", "title", "description", "default", "definitions", "type", "enum", "const", "properties",
    "patternProperties", "additionalProperties", "propertyNames", "required", "items", "minItems", "maxItems",
    "minProperties", "maxProperties", "minLength", "maxLength", "pattern", "minimum", "maximum", "exclusiveMinimum",
    "exclusiveMaximum", "anyOf", "oneOf", "allOf", "not", "if", "then", "else",
}  # fmt: skip


def keywords(schema: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every keyword of a schema and of those in it, with the schema that has it; names of properties are none."""
    if isinstance(schema, list):
        for each in schema:
            yield from keywords(each)
    elif isinstance(schema, dict):
        for key, value in schema.items():
            yield key, schema
            if key in ("properties", "patternProperties", "definitions"):
                for each in value.values():
                    yield from keywords(each)
            elif key not in ("enum", "const", "default", "required"):
                yield from keywords(value)


def plain(source: str | bytes) -> Plain:
    """Data of a recipe's text that passes the gate."""
    document = read_yaml(source.encode() if isinstance(source, str) else source, "r.yaml")
    assert not document.faults
    return document.data


@pytest.fixture(scope="module")
def valid() -> Any:
    """Whether the schema accepts plain data, as an implementation that is not ours says."""
    jsonschema = pytest.importorskip("jsonschema", reason="jsonschema is not installed: pip install jsonschema")
    jsonschema.Draft7Validator.check_schema(json_schema())
    return jsonschema.Draft7Validator(json_schema()).is_valid


def test_the_committed_file_is_current() -> None:
    """`python -m hptransfer.recipe.json_schema > hptransfer/recipe/recipe.schema.json` writes it."""
    assert schema_file().read_text("utf-8") == text()


def test_its_words_are_those_of_draft_7() -> None:
    """No `$defs`, `prefixItems` or `discriminator`; nothing stands beside a reference, where draft 7 ignores it."""
    found = list(keywords(json_schema()))

    assert {key for key, _ in found} <= DRAFT_7
    references = [schema for key, schema in found if key == "$ref"]
    assert len(references) > 30
    assert all(list(schema) == ["$ref"] for schema in references)
    defined = json_schema()["definitions"]
    assert {schema["$ref"].removeprefix("#/definitions/") for schema in references} <= set(defined)
    assert not any("(?P" in schema["pattern"] for key, schema in found if key == "pattern")


def test_it_explains_itself() -> None:
    """It has a name and a title, names of registries as choices, and the words of the code where there are some."""
    schema = json_schema()
    training = schema["definitions"]["Training"]["properties"]

    assert (schema["$schema"], schema["$id"]) == ("http://json-schema.org/draft-07/schema#", IDENTIFIER)
    assert schema["title"] == "hptransfer recipe"
    assert training["optimizer"]["enum"] == list(OPTIMIZERS.built_in)
    assert set(PARAMETERIZATIONS) <= set(schema["definitions"]["ParameterizationChoice"]["properties"]["name"]["enum"])
    assert schema["definitions"]["Tune"]["properties"]["space"]["propertyNames"]["enum"] == list(NAMES)
    assert {"pattern": ":", "type": "string"} in training["loss"]["anyOf"]
    assert (
        training["batch_size"]["description"]
        == Recipe.model_fields["training"]
        .annotation.model_fields[  # type: ignore[union-attr]  # it is a section
            "batch_size"
        ]
        .description
    )


def test_shipped_recipes_are_accepted(valid: Any) -> None:
    """Those in the repository, the templates, and those that SchemaStore tests with; `validate` takes the last too."""
    files = [*shipped_recipes().values(), *map(template, templates()), *FOLDER.glob("test/*.yaml")]

    assert len(files) > 15
    assert [file.name for file in files if not valid(plain(file.read_bytes()))] == []
    assert all(load_recipe(file) for file in FOLDER.glob("test/*.yaml"))


def test_negative_tests_are_refused(valid: Any) -> None:
    """By the schema and by `validate`."""
    files = list(FOLDER.glob("negative_test/*.yaml"))

    assert len(files) >= 8
    assert [file.name for file in files if valid(plain(file.read_bytes()))] == []
    for file in files:
        with pytest.raises(RecipeError):
            load_recipe(file)


def test_share_of_faults_that_a_schema_sees(valid: Any) -> None:
    """Of single faults all but rules across keys, numbers that are not finite, and 100.0 for an integer."""
    documents = {new: read_yaml(MLP.replace(old, new, 1).encode(), "r.yaml") for old, new, _ in FAULTS}
    readable = {new: document.data for new, document in documents.items() if not document.faults}
    unseen = [new for new, data in readable.items() if valid(data)]

    assert len(readable) > 40
    assert [new for new in unseen if not re.search(r"steps: 100\.0|\.nan|\.inf|1e999|steps:$|multipliers", new)] == []
    assert len(unseen) <= 6


_VALUES: tuple[Any, ...] = (
    None, True, 0, 1, -1, 64, 2**31, 0.5, 1e-4, "", "x", "a:b", "torch", "10s", "4GB", "../x", "/x", "text", [], [1],
    ["x"], {}, {"x": 1}, {"low": 0.1, "high": 1}, {"width": 64, "depth": 2}, "mup", "sgd", "readout", "last", 10**20,
)  # fmt: skip


def _mutants(seed: int, count: int) -> Iterator[dict[str, Any]]:
    """Recipes with a few values replaced, keys moved or taken out."""
    chance = random.Random(seed)
    sources = [plain(file.read_bytes()) for file in [*shipped_recipes().values(), *FOLDER.glob("test/*.yaml")]]
    sections = [name for name in Recipe.model_fields if name not in ("name", "description")]
    for _ in range(count):
        recipe = json.loads(json.dumps(chance.choice(sources)))
        for _ in range(chance.randint(1, 2)):
            place = recipe
            while True:
                keys = list(place) if isinstance(place, dict) else list(range(len(place)))
                if not keys:
                    break
                key = chance.choice(keys)
                if isinstance(place[key], dict | list) and chance.random() < 0.8:
                    place = place[key]
                    continue
                if chance.random() < 0.2:
                    del place[key]
                elif isinstance(place[key], int | float) and chance.random() < 0.7:
                    place[key] *= 2
                else:
                    place[key] = chance.choice(_VALUES)
                break
        if chance.random() < 0.2:
            recipe[chance.choice(sections)] = chance.choice(_VALUES)
        yield recipe


def test_no_false_alarm(valid: Any) -> None:
    """What the sections accept, the schema accepts; where it refuses, so do they, in nine of ten cases and more."""
    accepted = refused = seen = 0
    for recipe in _mutants(0, 2500):
        try:
            Recipe.model_validate(recipe)
        except ValidationError:
            refused += 1
            seen += not valid(recipe)
        else:
            accepted += 1
            assert valid(recipe), recipe
    assert accepted > 300
    assert refused > 1000
    assert seen / refused > 0.9


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It prints the file, with another `$id` where one is asked for; a copy is compared."""
    assert schema_command() == 0
    printed = capsys.readouterr().out
    assert printed == schema_file().read_text("utf-8")
    assert schema_command(identifier="https://example.org/r.json") == 0
    copy = tmp_path / "copy.json"
    copy.write_text(capsys.readouterr().out)
    assert json.loads(copy.read_text()) == json.loads(printed) | {"$id": "https://example.org/r.json"}
    assert schema_command(copy) == 0
    copy.write_text(printed.replace("1048576", "1048577"))
    assert schema_command(copy) == 1
    assert "is not the schema of this version" in capsys.readouterr().err
    copy.write_text("[" * 5000)
    with pytest.raises(UsageError, match="must be JSON"):
        schema_command(copy)
    with pytest.raises(UsageError, match="absolute URI"):
        schema_command(identifier="r.json")


def test_the_command_needs_no_sections() -> None:
    """The file is printed as it is: neither pydantic nor torch is imported."""
    code = "from hptransfer.commands.schema import schema_command as s; s(); import sys; print(*sys.modules)"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout

    assert not {"pydantic", "torch"} & set(printed.splitlines()[-1].split())


def test_the_page_has_the_catalog_entry() -> None:
    """As SchemaStore takes it, with the names of files that stand in the code."""
    page = (Path(__file__).parents[2] / "docs/ci-formats.md").read_text("utf-8")
    found = re.search(r'^    (\{"name": "hptransfer recipe".*?\})$', page, re.M | re.S)

    assert found is not None
    assert json.loads(found[1])["fileMatch"] == list(FILE_MATCH)


def test_new_recipes_name_the_schema_beside_them(tmp_path: Path) -> None:
    """Where it lies there; else an editor would report it missing. Templates have the line."""
    assert all(template(name).read_text().startswith(SCHEMA_LINE) for name in templates())
    init_command(tmp_path / "r.yaml")
    assert SCHEMA_LINE not in (tmp_path / "r.yaml").read_text()
    (tmp_path / SCHEMA_FILE).write_text(text())
    init_command(tmp_path / "s.yaml")
    assert (tmp_path / "s.yaml").read_text().startswith(SCHEMA_LINE)
    assert (tmp_path / "s.yaml").read_text().count(SCHEMA_LINE) == 1
