"""Strings of a recipe that must be names of a registry."""

from __future__ import annotations

from typing import Annotated

import pytest
from pydantic import BaseModel, ConfigDict, ValidationError

from hptransfer.recipe.faults import schema_findings
from hptransfer.recipe.registered import registered
from hptransfer.recipe.yaml.gate import read_yaml
from hptransfer.registry import Registry

CLOSED: Registry[object] = Registry("table", "hptransfer.parameterization.tables", "TABLE")
OPEN: Registry[object] = Registry("table", "hptransfer.parameterization.tables", "TABLE", "hptransfer.nobodys")


class Section(BaseModel):
    """A section of a recipe."""

    model_config = ConfigDict(strict=True)

    closed: Annotated[str, registered(CLOSED)] = "mup"
    extensible: Annotated[str, registered(OPEN)] = "mup"


def findings(text: str) -> list[str]:
    """What is wrong with a section, as place, rule, received, hint and code."""
    document = read_yaml(text.encode(), "a.yaml")
    try:
        Section.model_validate(document.data)
    except ValidationError as error:
        found = [finding for _, finding in schema_findings(error.errors(), document, "a.yaml")]
        return [f"{f.place} {f.rule} | {f.received} | {f.hint} | {f.code}" for f in found]
    return []


def test_names_of_the_folder_are_accepted() -> None:
    """A module's name with `_` as `-`; where users add entries, also a path to an attribute, which is not imported."""
    assert findings("closed: complete-d-p\nextensible: nobody.made:this\n") == []


@pytest.mark.parametrize(
    ("text", "end"),
    [
        ("closed: mupp", '| "mupp" (text) | did you mean `mup`? | recipe/unknown-value'),
        ("closed: mup:TABLE", '| "mup:TABLE" (text) | None | recipe/unknown-value'),
        ("closed: 3", "| 3 | None | recipe/unknown-value"),
        ("extensible: mupp", ', or `module:attribute` | "mupp" (text) | did you mean `mup`? | recipe/unknown-value'),
    ],
)
def test_an_unknown_name_is_a_finding_at_its_position(text: str, end: str) -> None:
    """It lists what is allowed and names the nearest, as for a literal."""
    (found,) = findings(text + "\n")
    key = text.partition(":")[0]
    assert found.startswith(f"a.yaml:1:{len(key) + 3} `{key}` must be one of `build`, `complete-d-p`, ")
    assert found.endswith(end)


def test_the_schema_lists_built_in_names() -> None:
    """The reference page of recipes is written from it."""
    field = Section.model_json_schema()["properties"]["extensible"]
    assert field["anyOf"] == [{"type": "string", "enum": list(OPEN.built_in)}, {"type": "string", "pattern": ":"}]
    assert field["default"] == "mup"
