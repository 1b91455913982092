from __future__ import annotations

import os
from pathlib import Path

import pytest
import yaml

from hptransfer.commands.init import init_command
from hptransfer.errors import UsageError
from hptransfer.linting.validate import validate
from hptransfer.recipe.load import load_recipe
from hptransfer.recipe.schema import Recipe
from hptransfer.recipe.sections import Section
from hptransfer.recipe.shipped import template, templates
from hptransfer.recipe.yaml.outline import KINDS, keys_at


@pytest.mark.parametrize("name", templates())
def test_the_result_validates(tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Each template becomes a recipe without errors or warnings, named after its file; its path is printed."""
    path = tmp_path / "a folder" / "my first.yaml"

    assert init_command(path, name) == 0

    result = validate(str(path))
    assert (result.errors, result.warnings) == ((), ())
    assert result.loaded is not None
    assert result.loaded.recipe.name == "my-first"
    assert capsys.readouterr().out == f"{path}\n"


def test_no_overwriting(tmp_path: Path) -> None:
    """An existing file is kept, unless --force says otherwise."""
    path = tmp_path / "r.yaml"
    path.write_text("mine")

    with pytest.raises(UsageError, match="`init` does not overwrite"):
        init_command(path)
    assert path.read_text() == "mine"

    init_command(path, force=True)
    assert load_recipe(path).recipe.name == "r"
    assert os.listdir(tmp_path) == ["r.yaml"]


def test_a_folder_is_no_destination(tmp_path: Path) -> None:
    """A folder is refused even with --force, with a file in it as the hint."""
    with pytest.raises(UsageError) as caught:
        init_command(tmp_path, force=True)

    assert "recipe.yaml" in str(caught.value.findings[0].hint)


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    """A path through a file is refused."""
    (tmp_path / "file").touch()

    with pytest.raises(UsageError, match="which is not a folder"):
        init_command(tmp_path / "file" / "r.yaml")


def test_unknown_template(tmp_path: Path) -> None:
    """A mistyped template is compared with the existing ones."""
    with pytest.raises(UsageError) as caught:
        init_command(tmp_path / "r.yaml", "quikstart")

    assert caught.value.findings[0].hint == "did you mean `quickstart`? templates: `gpt`, `quickstart`"


@pytest.mark.parametrize("stem", ["ünï", "-x", "a" * 120, "..."])
def test_any_file_name_gives_a_valid_name(tmp_path: Path, stem: str) -> None:
    """What the schema does not allow in a name is replaced."""
    path = tmp_path / f"{stem}.yaml"

    init_command(path)

    assert load_recipe(path).recipe.name


@pytest.mark.parametrize("name", templates())
def test_templates_show_the_defaults(name: str) -> None:
    """A key that a template writes out only to show its default does show the default."""
    recipe = load_recipe(template(name)).recipe
    chosen = {"name", "description", "steps", "batch_size", "kind", "widths", "depths", "space", "alpha"}

    fields = [(key, getattr(section, key), type(section).model_fields[key]) for section, key in shown(recipe)]
    defaults = [
        (key, value, field.default)
        for key, value, field in fields
        if not field.is_required() and key not in chosen and not isinstance(value, Section)
    ]

    assert defaults
    assert [(key, value) for key, value, _ in defaults] == [(key, default) for key, _, default in defaults]


def shown(section: Section) -> list[tuple[Section, str]]:
    """Every (section, key) that a recipe writes out."""
    found = [(section, key) for key in section.model_fields_set]
    for key in section.model_fields_set:
        value = getattr(section, key)
        if isinstance(value, Section):
            found += shown(value)
    return found


@pytest.mark.parametrize("name", templates())
def test_templates_mention_every_key(name: str) -> None:
    """Every key of the schema (of this model's kind) stands in the template, as an entry or as a comment."""
    text = template(name).read_text("utf-8")
    data = yaml.safe_load(text)
    sections = [(), *((key,) for key in Recipe.model_fields if key != "expect"), ("sizes", "target")]
    sections += [("check", "criteria"), ("check", "coordinate")]
    keys = {key for path in sections for key in keys_at(path, data)} | set(KINDS["data"]["text"].model_fields)

    assert {key for key in keys if f"{key}:" not in text} == set()
