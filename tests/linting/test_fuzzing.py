"""Recipes damaged at random: what is planted covers the catalogue, and nothing falls (benchmarks/fuzz_validate.py)."""

from __future__ import annotations

import ast
import os
from pathlib import Path

import pytest

from benchmarks.fuzz_validate import recipes
from hptransfer.linting.catalogue import all_rules
from tests.support.offences import FIRED_BY, fuzzed, planted_texts

ROOT = Path(__file__).parents[2]


def test_every_rule_fires_and_nothing_falls() -> None:
    """The planted offences as they are, then a hundred damaged recipes; the benchmark goes on from there to 50,000.

    A new rule is planted by its own wrong example. One whose example is told instead needs a case in
    tests/support/broken_folders.py, or a test that breaks it, named in tests/support/offences.py.
    """
    count = len(planted_texts()) + 100
    here = Path.cwd()
    try:
        found = recipes(count, 15, 0)
    finally:
        os.chdir(here)

    assert found["never"] == []
    assert found["fallen"] == []
    assert found["passed the YAML gate"] > count / 2


def test_a_rule_that_nothing_breaks_is_seen() -> None:
    """Negative control: without the planted offences most rules do not fire in so few recipes."""
    here = Path.cwd()
    try:
        found = recipes(20, 15, len(planted_texts()))
    finally:
        os.chdir(here)

    assert len(found["never"]) > 50


def test_every_rule_is_broken_by_something() -> None:
    """By a planted recipe, or by a test that is there; `benchmarks.rules_fired` runs those."""
    assert fuzzed() | FIRED_BY.keys() == {rule.code for rule in all_rules()}
    assert all(rule.level in ("static", "validate") for rule in all_rules() if rule.code in fuzzed())


@pytest.mark.parametrize("test", sorted(set(FIRED_BY.values())))
def test_what_breaks_a_rule_elsewhere_is_there(test: str) -> None:
    """Named by file and function."""
    file, _, name = test.partition("[")[0].partition("::")
    body = ast.parse((ROOT / file).read_text(encoding="utf-8")).body

    assert name in {each.name for each in body if isinstance(each, ast.FunctionDef)}
