"""Every rule is numbered and told once, and its example is its test."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from hptransfer.cli.app import app
from hptransfer.linting.base import LINT_RULES, STATED_RULES
from hptransfer.linting.catalogue import RuleText, all_rules, rule_of
from hptransfer.linting.levels.base import ORDER, ValidationOptions
from hptransfer.linting.validate import Validation, validate
from hptransfer.recipe.form_rules import CODES
from hptransfer.recipe.rule_text import Explanation, laid
from hptransfer.recipe.rules.base import recipe_rules

ROOT = Path(__file__).parents[2]
#: part or level of a rule -> first digits that its number may have (docs/lint.md says it to users)
RANGES = {
    "form": "0",
    "across": "19",
    "static": "29",
    "shapes": "39",
    "evidence": "459",
    "coordinate": "59",
    "full": "59",
}
NAMES = [rule.id or rule.code for rule in all_rules()]


def text_of(rule: RuleText) -> Explanation:
    """What a rule of this package says about itself; it must say something."""
    assert rule.explanation is not None, rule.code
    return rule.explanation


def test_numbers_and_codes_are_distinct() -> None:
    """A number means one rule, and so does a code, whichever room the rule lives in."""
    for names in ([rule.id for rule in all_rules()], [rule.code for rule in all_rules()]):
        assert len(set(names)) == len(names)


def test_nothing_is_left_out() -> None:
    """The catalogue has as many rules as the registries together."""
    lint = sum(len(LINT_RULES.look_up(topic)) for topic in LINT_RULES.built_in)
    stated = sum(len(STATED_RULES.look_up(topic)) for topic in STATED_RULES.built_in)

    assert len(all_rules()) == len(CODES) + len(recipe_rules()) + lint + stated


def test_every_code_in_the_sources_is_a_rule() -> None:
    """Whoever writes a finding with a code that has no rule leaves it without number, reason and repair."""
    rooms = [ROOT / "hptransfer" / room for room in ("evidence", "linting", "recipe", "data", "trainers")]
    paths = [path for room in rooms for path in room.rglob("*.py") if "foreign" not in path.parts]
    topics = "|".join(sorted({rule.code.partition("/")[0] for rule in all_rules()}))
    written = {code for path in paths for code in re.findall(rf'"((?:{topics})/[a-z-]+)"', path.read_text("utf-8"))}

    assert {code for code in written if rule_of(code) is None} == set()


@pytest.mark.parametrize("name", NAMES)
def test_a_rule_says_everything(name: str) -> None:
    """A number of its range, a reason, a repair and two examples; found by number and by code."""
    rule = rule_of(name)
    assert rule is not None
    text = text_of(rule)

    assert re.fullmatch(r"HPT[0-9]{3}", text.id)
    assert text.id[3] in RANGES.get(rule.part, RANGES.get(rule.level, "9"))
    assert rule.level in (*ORDER, "validate")
    assert text.why.endswith(".")
    assert text.repair
    assert not text.repair.endswith(".")
    assert "\n" not in text.why + text.repair
    assert text.wrong != text.right
    assert rule_of(rule.code) is rule
    assert rule_of(text.id.lower()) is rule


def checked(folder: Path, rule: RuleText, sections: str) -> Validation:
    """An example, at the level that checks its rule."""
    file = folder / "recipe.yaml"
    file.write_text(text_of(rule).whole(sections))
    levels = ("static", "shapes") if rule.level == "shapes" else ("static",)
    return validate(str(file), ValidationOptions(levels, trust=True))


@pytest.mark.parametrize("rule", [rule for rule in all_rules() if text_of(rule).base is not None], ids=lambda r: r.id)
def test_examples_are_what_they_are_called(tmp_path: Path, rule: RuleText) -> None:
    """The wrong one breaks its rule at its place, and no other unless it is said; the right one breaks none."""
    text = text_of(rule)
    wrong, right = checked(tmp_path, rule, text.wrong), checked(tmp_path, rule, text.right)

    found = [*wrong.errors, *wrong.warnings]
    assert {each.code for each in found} == {rule.code, *text.also}
    places = [(each.place.line, each.place.column) for each in found if each.code == rule.code and each.place]
    assert text.position in places
    assert all(each.id and each.hint for each in found)
    assert [*right.errors, *right.warnings] == []


def test_told_examples_are_few() -> None:
    """A rule of `static` has a recipe, unless it is on files, or on what the command line allows: tested elsewhere."""
    told = [rule.code for rule in all_rules() if text_of(rule).base is None and rule.level in ("static", "shapes")]

    trust = [f"trust/{why}" for why in ("time", "process", "memory", "processes", "output", "answer")]
    assert told == [
        "recipe/unavailable",
        "path/outside",
        "path/limits",
        "caps/trials",
        "caps/flops",
        "caps/model",
        *trust,
    ]


def test_sections_take_the_places_of_the_bases() -> None:
    """Whole sections are replaced with the comments above them, others stay, and new ones come last."""
    base = "# head\na: 1\nb:\n  c: 2\n"

    assert laid(base, "b: 3") == "# head\na: 1\nb: 3\n"
    assert laid(base, "d: 4\n") == base + "d: 4\n"
    assert laid(base, "# new\na: 5") == "# new\na: 5\nb:\n  c: 2\n"
    assert laid("", "a: 1\na: 2") == "a: 1\na: 2\n"


def run(*words: str) -> tuple[int, str]:
    """Exit status and output of a command."""
    result = CliRunner().invoke(app, list(words))
    return result.exit_code, result.stdout + result.stderr


def test_the_page_of_findings_is_generated_from_the_rules() -> None:
    """docs/lint.md equals what `hptransfer rules --format markdown` prints now."""
    status, printed = run("rules", "--format", "markdown")

    assert status == 0
    assert (ROOT / "docs/lint.md").read_text(encoding="utf-8") == printed


def test_rules_for_programs() -> None:
    """One object with everything that is said of each rule."""
    rules = json.loads(run("rules", "--format", "json")[1])["rules"]
    by_id = {rule["id"]: rule for rule in rules}

    assert len(rules) == len(all_rules())
    assert by_id["HPT112"]["code"] == "recipe/checked-not-searched"
    assert by_id["HPT112"]["ignorable"] is False
    assert by_id["HPT202"]["ignorable"] is True
    assert by_id["HPT202"]["example"]["wrong"] == "check: {seeds: 1}"


def test_rules_as_a_table() -> None:
    """A line for each, and how to learn more."""
    lines = run("rules")[1].splitlines()

    assert len(lines) == len(all_rules()) + 2
    assert lines[0].split()[:4] == ["HPT001", "error", "static", "recipe/unavailable"]


@pytest.mark.parametrize("name", ["HPT112", "hpt112", "recipe/checked-not-searched"])
def test_one_rule_is_told(name: str) -> None:
    """Sentence, reason, hint, and both examples with a caret under the wrong one."""
    status, printed = run("rule", name)

    assert status == 0
    assert printed.startswith("HPT112  recipe/checked-not-searched  (error, level static)\n")
    assert "    check: {hyperparameter: weight_decay}\n                            ^^^^^^^^^^^^\n" in printed
    assert "    check: {hyperparameter: learning_rate}\n" in printed
    assert "cannot: every other command refuses" in printed


def test_a_rule_of_another_framework_is_told() -> None:
    """Codes of `lint` have no numbers, and are told by the same command."""
    status, printed = run("rule", "litgpt/min-lr")

    assert status == 0
    assert printed.startswith("litgpt/min-lr  (error of `hptransfer lint`)\n")
    assert "    -     lr: 1.0e-05\n" in printed


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("recipe/no-sorce", "did you mean `recipe/no-source`?"),
        ("406", "did you mean `HPT406`?"),
        ("9", "did you mean `HPT009`?"),
        ("999", "`hptransfer rules` lists those of recipes"),
        ("HPT999", "`hptransfer rules` lists those of recipes"),
    ],
)
def test_a_rule_that_there_is_not(name: str, hint: str) -> None:
    """A usage error; numbers that look alike mean nothing alike."""
    status, printed = run("rule", name)

    assert status == 2
    assert hint in printed


@pytest.mark.parametrize("words", [["--help"], ["rule", "HPT300"], ["rules"]], ids=lambda words: words[0])
def test_rules_are_told_without_torch(words: list[str]) -> None:
    """Neither help nor a rule of models loads what trains."""
    code = f"""
import sys
from hptransfer.cli.app import app
try:
    app({words!r})
except SystemExit:
    print(sorted({{"torch", "optuna", "transformers"}} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)

    assert done.stdout.splitlines()[-1] == "[]"
