"""Every file of lint rules passes the suite for users' rules, and rules from elsewhere run in `validate` alone."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from typer.testing import CliRunner

from hptransfer.cli.app import app
from hptransfer.errors import UsageError
from hptransfer.linting.base import LINT_RULES, LintRule
from hptransfer.linting.levels.base import ValidationOptions
from hptransfer.linting.validate import validate
from hptransfer.recipe.form_rules import CODES
from hptransfer.registry import untrusted_recipe
from hptransfer.testing.lint_rules import LintRuleConformance
from tests.support.plugins import install
from tests.support.recipe_texts import GPT, MLP, edited, faults

ROOT = Path(__file__).parents[2]

OWN = """\
from hptransfer.errors import Finding
from hptransfer.linting.base import FunctionRule

def described(loaded):
    if not loaded.recipe.description:
        yield Finding("a recipe should have a description", "none", "say what it is for")

RULES = (FunctionRule("house/described", "every recipe has a description", described, level="error"),)
"""


class TestEvidence(LintRuleConformance):
    """The rules on what weakens evidence."""

    @pytest.fixture
    def rules(self) -> tuple[LintRule, ...]:
        """The file's."""
        return LINT_RULES.look_up("evidence")

    @pytest.fixture
    def violations(self) -> Mapping[str, str]:
        """One recipe per rule."""
        return {
            "advice/short-ladder": edited(MLP, ("[64, 128, 256, 512]", "[64, 128]")),
            "advice/small-base": edited(MLP, ("width: 64", "width: 32"), ("[64,", "[32, 64,")),
            "advice/no-transfer": edited(MLP, ("{width: 1024, depth: 4}", "{width: 256, depth: 2}")),
            "advice/single-seed": edited(MLP, ("tune:", "check: {seeds: 1}\ntune:")),
            "advice/long-warmup": edited(MLP, ("steps: 100", "steps: 100\n  warmup: 1")),
        }


class TestHyperparameters(LintRuleConformance):
    """The rules on what is set or searched to no purpose."""

    @pytest.fixture
    def rules(self) -> tuple[LintRule, ...]:
        """The file's."""
        return LINT_RULES.look_up("hyperparameters")

    @pytest.fixture
    def violations(self) -> Mapping[str, str]:
        """One recipe per rule."""
        readout = "".join(
            f"\n    {name}: {{low: 0.1, high: 10}}"
            for name in ("output_multiplier", "readout_init", "readout_learning_rate")
        )
        return {
            "recipe/betas": edited(
                GPT, ("completep", "complete-d-p"), ("depth: 4}", "depth: 4, batch_size: 4096, tokens: 409600}")
            ),
            "advice/no-effect": edited(MLP, ("steps: 100", "steps: 100\n  momentum: 0.5")),
            "advice/redundant": edited(MLP, ("high: 1e-1}", "high: 1e-1}" + readout)),
        }


class TestFiles(LintRuleConformance):
    """The rules on files, of a recipe that is not trusted."""

    @pytest.fixture(autouse=True)
    def untrusted(self) -> Iterator[None]:
        """As `validate` reads it."""
        with untrusted_recipe():
            yield

    @pytest.fixture
    def rules(self) -> tuple[LintRule, ...]:
        """The file's."""
        return LINT_RULES.look_up("files")

    @pytest.fixture
    def violations(self, tmp_path: Path) -> Mapping[str, str]:
        """One recipe per rule, beside files that break four of them."""
        (tmp_path / "short.txt").write_text("sixteen bytes...")
        (tmp_path / "odd.bin").write_bytes(b"abc")
        (tmp_path / "out.txt").symlink_to("../out.txt")
        (tmp_path / "/".join("d" * 70)).mkdir(parents=True)
        tokens = "{kind: tokens, train: [odd.bin], dtype: uint16, vocabulary: 256}"
        return {
            "recipe/no-data": edited(MLP, ("{kind: stdlib-text}", '{kind: text, files: ["none.txt"]}')),
            "path/outside": edited(MLP, ("{kind: stdlib-text}", '{kind: text, files: ["out.txt"]}')),
            "path/limits": edited(MLP, ("{kind: stdlib-text}", '{kind: text, files: ["**/none.txt"]}')),
            "recipe/unusable-text": edited(MLP, ("{kind: stdlib-text}", '{kind: text, files: ["short.txt"]}')),
            "recipe/unusable-tokens": edited(MLP, ("{kind: stdlib-text}", tokens)),
        }


class TestBudget(LintRuleConformance):
    """The rules on budgets."""

    @pytest.fixture
    def rules(self) -> tuple[LintRule, ...]:
        """The file's."""
        return LINT_RULES.look_up("budget")

    @pytest.fixture
    def violations(self) -> Mapping[str, str]:
        """One recipe per rule."""
        return {
            "recipe/budget-trials": edited(MLP, ("tune:", "budget: {trials: 10}\ntune:")),
            "recipe/budget-flops": edited(MLP, ("tune:", "budget: {flops: 1e3}\ntune:")),
            "advice/max-trials": edited(MLP, ("tune:", "check: {adaptive: true, max_trials: 3}\ntune:")),
        }


class TestHuggingFace(LintRuleConformance):
    """The rules on configurations of transformers."""

    @pytest.fixture
    def rules(self) -> tuple[LintRule, ...]:
        """The file's."""
        return LINT_RULES.look_up("huggingface")

    @pytest.fixture
    def violations(self) -> Mapping[str, str]:
        """One recipe per rule."""
        llama = "{kind: huggingface, config: llama, settings: {hidden_size: 64, "
        return {
            "recipe/unknown-config": edited(MLP, ("{kind: mlp}", "{kind: huggingface, config: lama, settings: {}}")),
            "recipe/unknown-setting": edited(MLP, ("{kind: mlp}", llama + "hiden_act: silu}}")),
            "recipe/setting-names-code": edited(MLP, ("{kind: mlp}", llama + "attn_implementation: org/kernel}}")),
            "recipe/setting-counts-too-much": edited(MLP, ("{kind: mlp}", llama + "num_labels: 4097}}")),
        }


class TestModel(LintRuleConformance):
    """The rules on the model."""

    @pytest.fixture
    def rules(self) -> tuple[LintRule, ...]:
        """The file's."""
        return LINT_RULES.look_up("model")

    @pytest.fixture
    def violations(self) -> Mapping[str, str]:
        """One recipe per rule."""
        build = "tests.support.zoo:fixed_heads"
        return {
            "recipe/model": edited(MLP, ("{kind: mlp}", '{kind: factory, factory: "nowhere_at_all:build"}')),
            "recipe/forward": edited(MLP, ("{kind: mlp}", f'{{kind: factory, factory: "{build}"}}')),
        }


class TestCommand(LintRuleConformance):
    """The rules on commands."""

    @pytest.fixture
    def rules(self) -> tuple[LintRule, ...]:
        """The file's."""
        return LINT_RULES.look_up("command")

    @pytest.fixture
    def violations(self) -> Mapping[str, str]:
        """One recipe per rule."""
        words = 'command: ["true", "{width}", "{seed}", "{learning_rate}"], results: {stdout: "loss (.*)"}'
        trainer = f"trainer: {{{words}}}\nmodel:"
        missing = f"trainer: {{{words}, files: [none.txt]}}\nmodel:"
        return {
            "recipe/command-files": edited(MLP, ("model:", missing)),
            "recipe/command-takes": edited(MLP, ("model:", trainer)),
        }


def test_every_file_of_rules_is_under_the_suite() -> None:
    """A new file needs its class above."""
    assert set(LINT_RULES.built_in) == {
        "budget",
        "command",
        "evidence",
        "files",
        "huggingface",
        "hyperparameters",
        "model",
    }


def test_every_code_of_the_reader_is_on_the_page() -> None:
    """Codes that the sources of recipes, data and results write into findings are those that the page lists."""
    rooms = ("recipe", "data", "trainers/results")
    paths = [path for room in rooms for path in (ROOT / "hptransfer" / room).rglob("*.py")]
    sources = [path.read_text("utf-8") for path in paths if "rules" not in path.parts and path.stem != "form_rules"]
    written = {code for source in sources for code in re.findall(r'"(recipe/[a-z-]+)"', source)}

    assert written == set(CODES)


def test_a_broken_rule_has_its_own_code(tmp_path: Path) -> None:
    """Two rules broken at once are two codes."""
    found = faults(tmp_path, edited(GPT, ("[64, 128,", "[64, 129,"), ("width: 1024", "width: 32")))

    assert [finding.code for finding in found] == ["recipe/partial-head", "recipe/small-target"]


def test_an_installed_rule_runs_in_validate_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package's rule is an error of `validate`, with its code and at least the file; loading stays as it was."""
    entries = {"hptransfer.lint_rules": {"house": "house_rules:RULES"}}
    install(monkeypatch, tmp_path, "house_rules", OWN, entries)
    (tmp_path / "r.yaml").write_text(MLP)
    result = CliRunner().invoke(app, ["validate", str(tmp_path / "r.yaml"), "--format", "json"])

    assert result.exit_code == 1
    assert '"code": "house/described"' in result.stdout
    assert f'"file": "{tmp_path / "r.yaml"}"' in result.stdout
    assert faults(tmp_path, MLP) == ()


def test_a_rule_of_the_current_folder_can_be_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`--rules module:attribute` finds the module in the current folder, as an installed command does not by itself."""
    (tmp_path / "local_rules.py").write_text(OWN)
    (tmp_path / "r.yaml").write_text(MLP)
    monkeypatch.chdir(tmp_path)
    plain = CliRunner().invoke(app, ["validate", "r.yaml"])
    with_rules = CliRunner().invoke(app, ["validate", "r.yaml", "--rules", "local_rules:RULES"])

    assert (plain.exit_code, with_rules.exit_code) == (0, 1)
    assert "error: r.yaml: a recipe should have a description" in with_rules.stdout


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("RULES = 1 / 0", "must be importable"),
        (
            OWN.replace("if not loaded.recipe.description:", "if loaded.recipe.nothing:"),
            "must check every valid recipe",
        ),
    ],
)
def test_a_rule_that_fails_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, said: str) -> None:
    """A user's rule that raises is a usage error, not a defect of hptransfer."""
    module = f"failing_rules_{len(source)}"
    (tmp_path / f"{module}.py").write_text(source)
    (tmp_path / "r.yaml").write_text(MLP)
    monkeypatch.syspath_prepend(str(tmp_path))

    with pytest.raises(UsageError, match=said):
        validate(str(tmp_path / "r.yaml"), ValidationOptions(rules=(f"{module}:RULES",)))


@pytest.mark.parametrize(
    ("rules", "said"),
    [
        ("5", "int, which is no tuple of rules"),
        ("None", "NoneType, which is no tuple of rules"),
        ("(RULE, 5)", "entry 2: 5 has no `code`"),
        (
            "(replace(RULE, level='fatal'),)",
            "entry 1: level 'fatal' of house/described, which is none of error, warning",
        ),
        ("(replace(RULE, code=5),)", "entry 1: code 5, which is no str"),
        ("(replace(RULE, check=5),)", "entry 1: the `check` of house/described cannot be called"),
        ("(replace(RULE, check=lambda loaded: exit()),)", "odd_rules.py:12 in <lambda>: SystemExit"),
        ("exit()", "odd_rules.py:12: SystemExit"),
    ],
)
def test_what_are_no_rules_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rules: str, said: str) -> None:
    """The entry and what is wrong with it; `exit()` in a rule does not end the command in silence."""
    head = "from dataclasses import replace\nfrom sys import exit\n"
    (tmp_path / "odd_rules.py").write_text(f"{head}{OWN}(RULE,) = RULES\nRULES = {rules}\n")
    (tmp_path / "recipe.yaml").write_text(MLP)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "odd_rules", raising=False)

    with pytest.raises(UsageError) as caught:
        validate(str(tmp_path / "recipe.yaml"), ValidationOptions(rules=("odd_rules:RULES",)))
    assert said in str(caught.value.findings[0].received)
