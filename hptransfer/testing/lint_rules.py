"""The conformance suite of lint rules."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import get_args

import pytest

from hptransfer.linting.base import Level, LintRule
from hptransfer.recipe.load import LoadedRecipe, load_recipe
from hptransfer.recipe.shipped import template

_CODE = re.compile(r"[a-z][a-z0-9-]*/[a-z][a-z0-9-]*")


class LintRuleConformance:
    """What `hptransfer validate` relies on, for one file of rules.

    Subclass it in a test module, and define the fixtures `rules` and `violations`.
    """

    @pytest.fixture
    def rules(self) -> tuple[LintRule, ...]:
        """The rules of the file."""
        raise NotImplementedError

    @pytest.fixture
    def violations(self) -> Mapping[str, str]:
        """Code of each rule -> text of a valid recipe that breaks it."""
        raise NotImplementedError

    @pytest.fixture
    def sound(self) -> str:
        """Text of a valid recipe that breaks none of the rules."""
        return template("quickstart").read_text("utf-8")

    @pytest.fixture
    def load(self, tmp_path: Path) -> _Load:
        """Loads a recipe from its text."""
        return _Load(tmp_path)

    def test_codes_are_identifiers(self, rules: tuple[LintRule, ...]) -> None:
        """A code is a topic and a name in small letters, once per file: CI configurations refer to it."""
        codes = [rule.code for rule in rules]

        assert codes
        assert all(_CODE.fullmatch(code) for code in codes)
        assert len(set(codes)) == len(codes)

    def test_rules_describe_themselves(self, rules: tuple[LintRule, ...]) -> None:
        """A sentence is one line, and a level is one that `validate` knows."""
        for rule in rules:
            assert rule.sentence.strip()
            assert "\n" not in rule.sentence
            assert rule.level in get_args(Level)
            assert rule.at in ("static", "shapes")

    def test_a_sound_recipe_has_no_findings(self, rules: tuple[LintRule, ...], sound: str, load: _Load) -> None:
        """Negative control."""
        loaded = load(sound)

        assert [finding for rule in rules for finding in rule.check(loaded)] == []

    def test_each_rule_finds_its_violation(
        self, rules: tuple[LintRule, ...], violations: Mapping[str, str], load: _Load
    ) -> None:
        """A finding says the rule in a line, and stands in the recipe's file."""
        for rule in rules:
            loaded = load(violations[rule.code])
            findings = list(rule.check(loaded))
            assert findings, rule.code
            assert all(finding.rule.strip() and "\n" not in finding.rule for finding in findings)
            assert {finding.place.file for finding in findings if finding.place} <= {str(loaded.path)}

    def test_checks_can_be_repeated(
        self, rules: tuple[LintRule, ...], violations: Mapping[str, str], load: _Load
    ) -> None:
        """The same recipe gives the same findings again: a rule keeps nothing between recipes."""
        for rule in rules:
            loaded = load(violations[rule.code])
            assert list(rule.check(loaded)) == list(rule.check(loaded))


class _Load:
    """Loads recipes from texts, each from a file of its own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._count = 0

    def __call__(self, text: str) -> LoadedRecipe:
        self._count += 1
        file = self._folder / f"recipe-{self._count}.yaml"
        file.write_text(text, "utf-8")
        return load_recipe(file)
