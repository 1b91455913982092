"""The lint rules of one level, run on one recipe."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace

from hptransfer.errors import Finding, Place
from hptransfer.linting.base import LINT_RULES, LintRule
from hptransfer.linting.levels.base import LevelOutcome, Subject
from hptransfer.recipe.load import LoadedRecipe
from hptransfer.registry import users_code


def run_rules(
    level: str, subject: Subject, around: Callable[[], AbstractContextManager[None]] | None = None
) -> LevelOutcome:
    """What the rules of one level find, those of installed packages and of the user's own among them.

    Args:
        level: its name; a rule names it in `at`.
        subject: the recipe, and the user's own rules.
        around: in what rules run, once all of them are imported; None: in nothing.

    Raises:
        UsageError: rules of the user's own cannot be imported, or fail.
    """
    found: dict[str, list[Finding]] = {"error": [], "warning": []}
    rules = [
        (rule, topic) for topic in (*LINT_RULES.names, *subject.options.rules) for rule in LINT_RULES.look_up(topic)
    ]
    with nullcontext() if around is None else around():
        for rule, topic in rules:
            if rule.at == level:
                found[rule.level] += _checked(rule, subject.loaded, topic)
    return LevelOutcome(tuple(found["error"]), tuple(found["warning"]))


def _checked(rule: LintRule, loaded: LoadedRecipe, topic: str) -> Iterator[Finding]:
    """The rule's findings, each with the rule's code and at least the recipe's file as its place."""
    own = topic not in LINT_RULES.built_in
    with users_code("a lint rule must check every valid recipe", f"{rule.code} of {topic}", own=own):
        for finding in rule.check(loaded):
            yield replace(finding, code=rule.code, place=finding.place or Place(str(loaded.path)))
