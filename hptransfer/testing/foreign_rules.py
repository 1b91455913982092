"""The conformance suite of known traps in other frameworks' files."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import pytest

from hptransfer.errors import Finding
from hptransfer.linting.foreign.base import FOREIGN_RULES, ForeignFramework, ForeignRule, Level
from hptransfer.linting.foreign_files import FileLint, lint_file
from hptransfer.linting.planned import Planned

_CODE = re.compile(r"[a-z][a-z0-9-]*/[a-z][a-z0-9-]*")
#: four times as wide as its base and twice as deep; its examples are written for it
EXAMPLE_PLAN = Planned(
    learning_rate=0.01,
    rates={"embedding": (0.01,), "hidden weight": (0.0025,), "readout": (0.0025,)},
    width=1024,
    base_width=256,
    depth=2,
    base_depth=1,
    init_stds=(0.01,),
    decays={"embedding": (0.1,)},
    beta2=0.95,
    model="granite",
    settings={"logits_scaling": 1.0},
    trained={
        "layers.0.feed_forward.w1.weight": {"learning_rate": 0.0025, "weight_decay": 0.1},
        "blocks.0.feed_forward.w1.weight": {"learning_rate": 0.0025, "weight_decay": 0.1},
        "model.layers.0.mlp.up_proj.weight": {"learning_rate": 0.0025, "weight_decay": 0.1},
        "norm.weight": {"learning_rate": 0.01, "weight_decay": 0.1},
    },
)


class ForeignRulesConformance:
    """What `hptransfer lint` relies on, for one framework.

    Subclass it in a test module, and define the fixture `reference`.
    """

    @pytest.fixture
    def reference(self) -> str:
        """Name of the framework, or `module:attribute`."""
        raise NotImplementedError

    @pytest.fixture
    def plan(self) -> Planned:
        """What examples of rules that need a plan are compared with."""
        return EXAMPLE_PLAN

    @pytest.fixture
    def framework(self, reference: str) -> ForeignFramework:
        """The framework."""
        return FOREIGN_RULES.look_up(reference)

    def test_codes_are_identifiers(self, framework: ForeignFramework) -> None:
        """A code is a framework and a name in small letters, once: CI configurations refer to it."""
        codes = [rule.code for rule in framework.rules]

        assert codes
        assert all(_CODE.fullmatch(code) for code in codes)
        assert len(set(codes)) == len(codes)

    def test_rules_describe_themselves(self, framework: ForeignFramework) -> None:
        """Sentence, reason and hint are one line each, and a level is one that `lint` knows."""
        assert framework.about.strip()
        for rule in framework.rules:
            for text in (rule.sentence, rule.why, rule.hint):
                assert text.strip(), rule.code
                assert "\n" not in text, rule.code
            assert rule.level in get_args(Level)

    def test_each_rule_finds_its_wrong_example(
        self, framework: ForeignFramework, reference: str, plan: Planned, tmp_path: Path
    ) -> None:
        """The finding stands where the example says, at the rule's level."""
        for rule in framework.rules:
            found = _of(rule, _linted(tmp_path, rule, rule.example.wrong, reference, plan))
            assert found, rule.code
            place = found[0].place
            assert place is not None, rule.code
            assert (place.line, place.column) == _position(rule), rule.code

    def test_each_rule_passes_its_right_example(
        self, framework: ForeignFramework, reference: str, plan: Planned, tmp_path: Path
    ) -> None:
        """Negative control."""
        for rule in framework.rules:
            assert _of(rule, _linted(tmp_path, rule, rule.example.right, reference, plan)) == [], rule.code

    def test_examples_are_recognised(
        self, framework: ForeignFramework, reference: str, plan: Planned, tmp_path: Path
    ) -> None:
        """A file of the framework says so by itself, where the framework has a name."""
        if ":" in reference:
            pytest.skip("a framework without a name is always said")
        for rule in framework.rules:
            for text in (rule.example.wrong, rule.example.right):
                assert _linted(tmp_path, rule, text, None, plan).framework == reference, rule.code

    def test_checks_can_be_repeated(
        self, framework: ForeignFramework, reference: str, plan: Planned, tmp_path: Path
    ) -> None:
        """The same file gives the same findings again: a rule keeps nothing between files."""
        for rule in framework.rules:
            first, second = (_linted(tmp_path, rule, rule.example.wrong, reference, plan) for _ in range(2))
            assert first == second, rule.code


def _linted(folder: Path, rule: ForeignRule, text: str, reference: str | None, plan: Planned) -> FileLint:
    path = folder / rule.example.name
    path.write_text(text, "utf-8")
    return lint_file(path, reference, plan if rule.needs_plan else None)


def _of(rule: ForeignRule, result: FileLint) -> list[Finding]:
    findings = result.errors if rule.level == "error" else result.warnings
    return [finding for finding in findings if finding.code == rule.code]


def _position(rule: ForeignRule) -> tuple[int, int]:
    """Line and column at which the example's mark stands first."""
    before = rule.example.wrong[: rule.example.wrong.index(rule.example.at)]
    return before.count("\n") + 1, len(before) - before.rfind("\n")
