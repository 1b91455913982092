"""A hundred broken recipes: each gives one finding, with its rule, its line and column, and what to do about it."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from hptransfer.cli.app import app
from hptransfer.errors import Finding
from hptransfer.linting.catalogue import all_rules, rule_of
from hptransfer.linting.validate import validate
from tests.support.broken_folders import BROKEN_FOLDERS
from tests.support.broken_recipes import BROKEN
from tests.support.hostile_recipes import CORPUS
from tests.support.recipe_texts import GPT, MLP, edited


def found(folder: Path, text: str | bytes) -> list[Finding]:
    """Errors and warnings of `static` on a text."""
    file = folder / "recipe.yaml"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    result = validate(str(file))
    return [*result.errors, *result.warnings]


@pytest.mark.parametrize("name", sorted(BROKEN))
def test_rule_line_column_and_hint(tmp_path: Path, name: str) -> None:
    """One finding at the marked place, of the rule with that number, and a hint."""
    number, text, line, column = BROKEN[name]

    (finding,) = found(tmp_path, text)

    assert finding.place is not None
    assert (finding.id, finding.place.line, finding.place.column) == (number, line, column)
    assert finding.hint
    assert rule_of(finding.code) is not None


@pytest.mark.parametrize("name", sorted(BROKEN_FOLDERS))
def test_rule_and_place_of_a_broken_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """What is broken beside a recipe is told by its number too, at its place, with a hint."""
    case, folder = BROKEN_FOLDERS[name], tmp_path / "folder"
    folder.mkdir()
    case.build(folder)
    monkeypatch.chdir(folder)

    result = CliRunner().invoke(app, list(case.words))

    said = result.stdout + result.stderr
    assert result.exit_code in (1, 2, 3, 4)
    assert re.findall(r"^error.*", said, flags=re.MULTILINE)[0].startswith(
        f"error[{case.number}]: {case.where}{': ' if case.where else ''}"
    )
    assert len(re.findall(r"^error", said, flags=re.MULTILINE)) == 1
    assert "\nhint: " in said


def test_there_are_enough() -> None:
    """At least eighty, and every rule that needs no model is broken by one of them."""
    broken = {number for number, *_ in BROKEN.values()}
    beside = {case.number for case in BROKEN_FOLDERS.values()}
    static = {rule.id for rule in all_rules() if rule.level in ("static", "validate")}

    assert len(BROKEN) >= 80
    assert static - broken - beside == set()
    assert broken <= static


@pytest.mark.parametrize("name", sorted(CORPUS))
def test_hostile_recipes_have_numbers_and_hints(tmp_path: Path, name: str) -> None:
    """Whatever a stranger's file is refused for has a number and a hint."""
    findings = found(tmp_path, CORPUS[name])

    assert findings
    assert [finding.rule for finding in findings if not (finding.id and finding.hint)] == []


@given(st.integers(0, len(GPT)), st.integers(0, 40), st.text("ab:{}[],-1.\n #", max_size=5))
@settings(max_examples=150, deadline=None)
def test_whatever_is_found_has_a_number_and_a_hint(start: int, length: int, inserted: str) -> None:
    """Also where a random piece of a recipe is cut out or replaced."""
    with tempfile.TemporaryDirectory() as folder:
        findings = found(Path(folder), GPT[:start] + inserted + GPT[start + length :])

    assert [finding.rule for finding in findings if not (finding.id and finding.hint)] == []


@pytest.mark.parametrize(
    ("model", "hint"),
    [
        (
            "{kind: factory, factory: my.mod}",
            "the function is named after a colon: write `my:mod` where `mod` is the function",
        ),
        ("{kind: factory, factory: make}", "for example `factory: my_package.models:build`"),
        ("{kind: factory, factory: '1:2'}", "for example `factory: my_package.models:build`"),
        (
            "{kind: factory, factory: models/net.py:make}",
            "did you mean `models.net:make`? A module is named as `import` names it",
        ),
        ("{kind: huggingface, config: Llama, settings: {}}", "write `llama`"),
        ("{kind: huggingface, config: 'a b', settings: {}}", "for example `llama`"),
    ],
)
def test_a_hint_fits_the_text_that_is_asked_for(tmp_path: Path, model: str, hint: str) -> None:
    """A reference, a configuration and a name each have their own form; none is told to be a file's name."""
    (finding,) = found(tmp_path, edited(MLP, ("{kind: mlp}", model)))

    assert finding.hint == hint
    assert "start with a letter" not in finding.rule


def test_a_name_is_still_told_its_form(tmp_path: Path) -> None:
    """Negative control: the recipe's name is the name of a folder."""
    (finding,) = found(tmp_path, edited(MLP, ("name: small", "name: a b")))

    assert "must start with a letter or digit" in finding.rule
    assert finding.hint == "write `a-b`"
