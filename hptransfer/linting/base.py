"""What a lint rule is, and the registry of all of them.

Rules across keys that make a recipe invalid for every command are in `hptransfer.recipe.rules`; those here run in
`hptransfer validate` only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal, Protocol, get_args

from hptransfer.errors import Finding
from hptransfer.recipe.load import LoadedRecipe
from hptransfer.recipe.rule_text import Explanation
from hptransfer.registry import Registry

#: "error": the exit status of `validate` is 1; "warning": the recipe is valid, but what it can show is weakened
Level = Literal["error", "warning"]


class LintRule(Protocol):
    """One rule that `hptransfer validate` checks on every recipe that could be read."""

    @property
    def code(self) -> str:
        """Stable identifier for CI formats, a topic and a name: "recipe/no-data"."""

    @property
    def sentence(self) -> str:
        """What should hold, one line for the table of docs/lint.md."""

    @property
    def level(self) -> Level:
        """How severe a violation is."""

    @property
    def at(self) -> str:
        """Level of `validate` that checks it: "static" without torch, "shapes" with the model built."""

    def check(self, loaded: LoadedRecipe, /) -> Iterator[Finding]:
        """Yields a finding for each violation; `validate` writes the rule's code into it.

        Args:
            loaded: a valid recipe with its file and the position of each of its entries.
        """


@dataclass(frozen=True, slots=True)
class FunctionRule:
    """A lint rule whose check is a function.

    Attributes:
        code: stable identifier for CI formats, a topic and a name: "recipe/no-data".
        sentence: what should hold, one line for the table of docs/lint.md.
        check: yields a finding for each violation in a valid recipe.
        level: how severe a violation is.
        at: level of `validate` that checks it, "static" or "shapes".
        explanation: number, reason, examples and repair; rules of this package have one, others need none.
    """

    code: str
    sentence: str
    check: Callable[[LoadedRecipe], Iterator[Finding]]
    level: Level = "warning"
    at: str = "static"
    explanation: Explanation | None = None


@dataclass(frozen=True, slots=True)
class StatedRule:
    """A rule that a level, or `validate` itself, checks as part of its work; what it finds has this code.

    Attributes:
        code: of its findings, a topic and a name: "evidence/stale-data".
        sentence: what should hold, one line for the table of docs/lint.md.
        level: how severe a violation is.
        at: level of `validate` that checks it; "validate" for what is checked whichever levels run.
        explanation: number, reason, examples and repair.
    """

    code: str
    sentence: str
    level: Level
    at: str
    explanation: Explanation


def _fault(entry: Any) -> str | None:
    """What an object lacks to be a tuple of lint rules; None where it lacks nothing."""
    if not isinstance(entry, tuple | list):
        return f"{type(entry).__name__}, which is no tuple of rules"
    faults = (f"entry {place}: {said}" for place, rule in enumerate(entry, 1) if (said := _fault_of_rule(rule)))
    return next(faults, None)


def _fault_of_rule(rule: Any) -> str | None:
    parts = {"code": str, "sentence": str, "level": str, "at": str}
    missing = [name for name in (*parts, "check") if not hasattr(rule, name)]
    if isinstance(rule, type) or missing:
        return f"{rule!r} has no `{missing[0]}`" if missing else f"{rule!r} is a class; name an object of it"
    for name, kind in parts.items():
        if not isinstance(getattr(rule, name), kind):
            return f"{name} {getattr(rule, name)!r}, which is no {kind.__name__}"
    if rule.level not in get_args(Level):
        return f"level {rule.level!r} of {rule.code}, which is none of {', '.join(get_args(Level))}"
    return None if callable(rule.check) else f"the `check` of {rule.code} cannot be called"


#: topic -> its rules, a file each
LINT_RULES: Registry[tuple[LintRule, ...]] = Registry(
    "set of lint rules", "hptransfer.linting.rules", "RULES", group="hptransfer.lint_rules", fault=_fault
)

#: topic -> rules that levels check as part of their work, a file each; it names them, and nothing of it is called
STATED_RULES: Registry[tuple[StatedRule, ...]] = Registry("set of stated rules", "hptransfer.linting.stated", "RULES")
