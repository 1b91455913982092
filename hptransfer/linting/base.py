"""What a lint rule is, and the registry of all of them.

Rules across keys that make a recipe invalid for every command are in `hptransfer.recipe.rules`; those here run in
`hptransfer validate` only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal, Protocol

from hptransfer.errors import Finding
from hptransfer.recipe.load import LoadedRecipe
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
    def runs_code(self) -> bool:
        """Whether the rule imports code that the recipe names; it is then checked with `validate --trust` only."""

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
        runs_code: whether the check imports code that the recipe names.
    """

    code: str
    sentence: str
    check: Callable[[LoadedRecipe], Iterator[Finding]]
    level: Level = "warning"
    runs_code: bool = False


#: topic -> its rules, a file each
LINT_RULES: Registry[tuple[LintRule, ...]] = Registry(
    "set of lint rules", "hptransfer.linting.rules", "RULES", group="hptransfer.lint_rules"
)
