"""Planted regressions against levels: each is caught by the level whose claim it breaks, and by no weaker claim.

`EXPECTED` is written from the claims in docs/recipes-in-ci.md and docs/identity.md, not from output: `static` reads the
recipe, `shapes` asks what `plan` asks, `evidence` compares rules, code, data and versions, `coordinate` measures first
steps, `full` compares verdict and optimum. Levels that train are asked one at a time, with `static` alone before them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hptransfer.linting.levels.base import ORDER
from tests.support import planted
from tests.support.command_line import ROOT
from tests.support.planted import CAUGHT, PASSED, UNDECIDED, WARNED, Plant

_CHEAP, _TRAINING = ORDER[:3], ORDER[3:]
#: of a level that is not asked: it takes minutes and another row says the same, or the recipe has too few sizes for it
_NOT_ASKED = "not asked"

#: what is planted, as the page says it -> how, in which recipe, and what each level of `ORDER` has to say of it
EXPECTED: dict[str, tuple[Plant, str, tuple[str, ...]]] = {
    "nothing": (planted.nothing, "mup-adamw", (PASSED, PASSED, PASSED, PASSED, PASSED)),
    "an exponent in a rule table": (planted.exponent, "mup-adamw", (PASSED, PASSED, CAUGHT, CAUGHT, CAUGHT)),
    "a built-in model's init, beside the tables": (planted.init, "mup-adamw", (PASSED, PASSED, PASSED, CAUGHT, CAUGHT)),
    "a line of a factory": (planted.factory, "own-factory", (PASSED, UNDECIDED, CAUGHT, UNDECIDED, UNDECIDED)),
    # three widths are too few for levels that train: they leave this recipe undecided, or fail it, as it is
    "the same line, with `--trust`": (
        planted.factory,
        "own-factory",
        (PASSED, PASSED, CAUGHT, _NOT_ASKED, _NOT_ASKED),
    ),
    "a byte of the data": (planted.data, "mup-adamw", (PASSED, PASSED, CAUGHT, PASSED, PASSED)),
    "the version of torch": (planted.torch_version, "mup-adamw", (PASSED, PASSED, WARNED, PASSED, PASSED)),
    "the same version, with `--strict`": (planted.torch_version, "mup-adamw", (PASSED, PASSED, CAUGHT, PASSED, PASSED)),
    "the version of Python, whose own text is the data": (
        planted.python_version,
        "quickstart",
        (PASSED, PASSED, WARNED, PASSED, _NOT_ASKED),
    ),
    "the same Python, with `--strict`": (
        planted.python_version,
        "quickstart",
        (PASSED, PASSED, CAUGHT, _NOT_ASKED, _NOT_ASKED),
    ),
    "the version of Python, with other data": (
        planted.python_version,
        "mup-adamw",
        (PASSED, PASSED, PASSED, PASSED, PASSED),
    ),
    "the version of hptransfer": (planted.tool_version, "mup-adamw", (PASSED, PASSED, PASSED, PASSED, PASSED)),
    "that version, and a sentence": (planted.words, "mup-adamw", (PASSED, PASSED, WARNED, PASSED, PASSED)),
    "both, with `--strict`": (planted.words, "mup-adamw", (PASSED, PASSED, CAUGHT, PASSED, PASSED)),
}
#: how -> what a level names that catches it, or warns of it
CODES: dict[tuple[Plant, str], set[str]] = {
    (planted.exponent, "evidence"): {"evidence/stale-rules"},
    (planted.exponent, "coordinate"): {"coordinate/fails"},
    (planted.exponent, "full"): {"full/verdict"},
    (planted.init, "coordinate"): {"coordinate/fails"},
    (planted.init, "full"): {"full/verdict", "full/other-optimum"},
    (planted.factory, "evidence"): {"evidence/stale-code"},
    (planted.data, "evidence"): {"evidence/stale-data"},
    (planted.torch_version, "evidence"): {"evidence/other-environment"},
    (planted.python_version, "evidence"): {"evidence/other-environment"},
    (planted.words, "evidence"): {"evidence/other-words"},
}
#: changes in the package itself: a process has to import its copy
_IN_PACKAGE = (planted.exponent, planted.init, planted.words)
#: rows whose processes take longest and say least beside their neighbours: with the levels that train
_DEAR = ("the same line, with `--trust`", "both, with `--strict`")


def options_of(name: str) -> tuple[str, ...]:
    """Options that a row names."""
    return tuple(re.findall(r"`(--\w+)`", name))


def held(name: str, level: str, found: dict[str, Any]) -> None:
    """What a level said is what its row expects of it, and for the reason that was planted."""
    plant, _, row = EXPECTED[name]
    expected = row[ORDER.index(level)]
    assert planted.outcome(found, level) == expected, found
    if expected in (CAUGHT, WARNED):
        weight = "error" if expected == CAUGHT else "warning"
        codes = {each["code"] for each in found["findings"] if each["level"] == weight}
        assert {code for code in codes if not code.startswith("advice/")} == CODES[plant, level]


def _rows() -> Iterator[Any]:
    for name in EXPECTED:
        yield pytest.param(name, marks=[pytest.mark.slow] if name in _DEAR else [])


@pytest.mark.parametrize("name", tuple(_rows()))
def test_levels_without_training(name: str, tmp_path: Path) -> None:
    """The three that belong on every pull request."""
    plant, recipe, _ = EXPECTED[name]
    place = planted.prepared(tmp_path, recipe)
    plant(place)
    ask = planted.said if plant in _IN_PACKAGE else planted.said_here

    found = ask(place, recipe, *_CHEAP, options=options_of(name))

    for level in _CHEAP:
        held(name, level, found)


def _trained() -> Iterator[tuple[str, str]]:
    for name, (_, _, row) in EXPECTED.items():
        for level, expected in zip(ORDER, row, strict=True):
            if level in _TRAINING and expected != _NOT_ASKED:
                yield name, level


@pytest.mark.slow
@pytest.mark.parametrize(("name", "level"), tuple(_trained()))
def test_levels_that_train(name: str, level: str, tmp_path: Path) -> None:
    """A few steps at every size, or the whole recipe again, in processes that import the copy."""
    plant, recipe, _ = EXPECTED[name]
    place = planted.prepared(tmp_path, recipe)
    plant(place)
    before = {path: path.read_bytes() for path in place.recipes.rglob("*") if path.is_file()}

    held(name, level, planted.said(place, recipe, "static", level, options=options_of(name)))

    after = {path: path.read_bytes() for path in place.recipes.rglob("*") if path.is_file()}
    assert after == before


def test_the_page_says_the_same() -> None:
    """Its table is the one that is held to the levels here."""
    page = (ROOT / "docs/recipes-in-ci.md").read_text(encoding="utf-8")
    _, _, rest = page.partition("## Regressions that were planted\n")
    rows = [line.strip("| ").split(" | ") for line in rest.partition("\n## ")[0].splitlines() if line.startswith("| ")]

    shown = {row[0]: tuple(cell.strip("*") for cell in row[1:]) for row in rows if row[0] != "planted"}
    assert rows[0] == ["planted", *(f"`{level}`" for level in ORDER)]
    assert shown == {name: row for name, (_, _, row) in EXPECTED.items()}
