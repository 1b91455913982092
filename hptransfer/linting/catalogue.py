"""All rules of recipes by number and by code, generated from where they are defined: nothing is listed here."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Literal

from hptransfer.linting.base import LINT_RULES, STATED_RULES, Level
from hptransfer.recipe.form_rules import FORM_RULES
from hptransfer.recipe.rule_text import Explanation
from hptransfer.recipe.rules.base import recipe_rules

#: who checks a rule: the reader of recipes, the rules across keys, those of `validate`, or one of its levels by itself
Part = Literal["form", "across", "lint", "stated"]
_REPLACED = "evidence that its own trials contradict is replaced, not excused"
#: topics and codes whose findings may not be ignored, and why
_HELD = {
    "path": "what a recipe may reach on a machine is not the recipe's to say",
    "caps": "what a recipe may cost is not the recipe's to say",
    "trust": "what may run on a machine is not the recipe's to say",
    "ignore": "a comment cannot excuse comments",
    "expect": "what a recipe is held to is changed in `expect`",
    "evidence/edited-trials": _REPLACED,
    "evidence/edited-identity": _REPLACED,
    "evidence/edited-fit": _REPLACED,
    "evidence/edited-verdict": _REPLACED,
    "evidence/other-target": _REPLACED,
    "evidence/shared": "evidence of another recipe is none of its own",
    "evidence/unreadable": "whether it says what it should cannot be asked",
}
_REFUSED = "every other command refuses such a recipe as well"
#: levels whose findings may be ignored
_IGNORABLE = ("static", "shapes", "evidence", "coordinate")


@dataclass(frozen=True, slots=True)
class RuleText:
    """All that is told of one rule.

    Attributes:
        code: stable identifier, a topic and a name: "recipe/no-source".
        summary: what must hold, one line.
        severity: whether a violation is an "error" or a "warning".
        level: of `validate`, that checks it; "validate" for what is checked whichever levels run.
        part: who checks the rule.
        explanation: number, reason, examples and repair; None for a rule of one's own that has none.
    """

    code: str
    summary: str
    severity: Level
    level: str
    part: Part
    explanation: Explanation | None

    @property
    def id(self) -> str | None:
        """Stable number, "HPT101"; None for a rule of one's own without one."""
        return None if self.explanation is None else self.explanation.id

    @property
    def why(self) -> str | None:
        """What goes wrong where it does not hold."""
        return None if self.explanation is None else self.explanation.why

    @property
    def repair(self) -> str | None:
        """What to do about a finding."""
        return None if self.explanation is None else self.explanation.repair

    @property
    def held(self) -> str | None:
        """Why `# hptransfer: ignore[...]` cannot name it; None where it can."""
        if self.part in ("form", "across"):
            return _REFUSED
        held = _HELD.get(self.code.partition("/")[0]) or _HELD.get(self.code)
        if held is not None or self.level in _IGNORABLE:
            return held
        return f"the level {self.level} asks for what was measured now"


@cache
def all_rules() -> tuple[RuleText, ...]:
    """Every rule of this package, in the order of the numbers."""
    return tuple(sorted(_built_in(), key=lambda rule: rule.id or rule.code))


def rule_of(name: str) -> RuleText | None:
    """The rule of this package with a number or a code; None where there is none.

    Args:
        name: "HPT101", or "recipe/no-source"; small letters do as well.
    """
    return _by_name().get(name.casefold())


def other_rules(topics: tuple[str, ...] = ()) -> dict[str, RuleText]:
    """Code -> rule, of installed packages and of the user's own.

    Args:
        topics: those of the user's own, `module:attribute` each.

    Raises:
        UsageError: they cannot be imported.
    """
    installed = (name for name in LINT_RULES.names if name not in LINT_RULES.built_in)
    return {rule.code: rule for rule in _lint((*installed, *topics))}


@cache
def _by_name() -> dict[str, RuleText]:
    names = {rule.id.casefold(): rule for rule in all_rules() if rule.id is not None}
    return names | {rule.code: rule for rule in all_rules()}


@cache
def explanations() -> dict[str, Explanation]:
    """Code -> number, reason, examples and repair, of every rule that has them."""
    return {rule.code: rule.explanation for rule in all_rules() if rule.explanation is not None}


def _built_in() -> Iterator[RuleText]:
    for form in FORM_RULES:
        yield RuleText(form.code, form.sentence, "error", "static", "form", form.explanation)
    for across in recipe_rules():
        yield RuleText(across.code, across.sentence, "error", "static", "across", across.explanation)
    yield from _lint(LINT_RULES.built_in)
    for topic in STATED_RULES.built_in:
        for rule in STATED_RULES.look_up(topic):
            yield RuleText(rule.code, rule.sentence, rule.level, rule.at, "stated", rule.explanation)


def _lint(topics: tuple[str, ...]) -> Iterator[RuleText]:
    for topic in topics:
        for rule in LINT_RULES.look_up(topic):
            explanation: Explanation | None = getattr(rule, "explanation", None)
            yield RuleText(rule.code, rule.sentence, rule.level, rule.at, "lint", explanation)
