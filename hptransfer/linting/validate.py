"""Everything about a recipe that can be known without training, and without torch where its model is not built."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from hptransfer.errors import Finding, Place, RecipeError
from hptransfer.linting.base import LINT_RULES, LintRule
from hptransfer.recipe.load import LoadedRecipe, RecipeUnavailableError, load_recipe
from hptransfer.registry import users_code


@dataclass(frozen=True, slots=True)
class Validation:
    """What one recipe gave.

    Attributes:
        reference: path or name, as the user wrote it.
        loaded: the recipe, when it could be read and breaks no rule of `hptransfer.recipe`.
        errors: violated rules; a recipe with one is not valid.
        warnings: what weakens the evidence that the recipe can give.
        unavailable: whether its file could not be read at all.
    """

    reference: str
    loaded: LoadedRecipe | None
    errors: tuple[Finding, ...] = ()
    warnings: tuple[Finding, ...] = ()
    unavailable: bool = False

    #: what is counted, in the singular
    noun = "recipe"

    @property
    def notes(self) -> tuple[str, ...]:
        """What else a reader must know: nothing."""
        return ()

    @property
    def sound(self) -> str | None:
        """The line for people where nothing is wrong; None where something is."""
        return f"{self.loaded.path}: valid" if not self.errors and self.loaded else None

    @property
    def summary(self) -> dict[str, Any]:
        """What programs are told, but for the findings."""
        return {
            "recipe": self.reference,
            "valid": not self.errors,
            "hash": self.loaded.hash if self.loaded else None,
        }


def validate(reference: str, *, trust: bool = False, rules: Sequence[str] = ()) -> Validation:
    """Checks one recipe.

    Args:
        reference: path of a recipe, or name of a shipped one.
        trust: also check rules that run the code that the recipe names, among them that its model can be built.
        rules: further topics of lint rules, `module:attribute` each, after the built-in ones and those of installed
            packages.

    Raises:
        UsageError: rules of the user's own cannot be imported, or fail.
    """
    try:
        loaded = load_recipe(reference)
    except RecipeUnavailableError as error:
        return Validation(reference, None, error.findings, unavailable=True)
    except RecipeError as error:
        return Validation(reference, None, error.findings)
    found: dict[str, list[Finding]] = {"error": [], "warning": []}
    for topic in (*LINT_RULES.names, *rules):
        for rule in LINT_RULES.look_up(topic):
            if trust or not rule.runs_code:
                found[rule.level] += _checked(rule, loaded, topic)
    return Validation(reference, loaded, tuple(found["error"]), tuple(found["warning"]))


def _checked(rule: LintRule, loaded: LoadedRecipe, topic: str) -> Iterator[Finding]:
    """The rule's findings, each with the rule's code and at least the recipe's file as its place."""
    own = topic not in LINT_RULES.built_in
    with users_code("a lint rule must check every valid recipe", f"{rule.code} of {topic}", own=own):
        for finding in rule.check(loaded):
            yield replace(finding, code=rule.code, place=finding.place or Place(str(loaded.path)))
