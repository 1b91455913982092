"""A recipe checked level by level, as far as it was asked: each level claims what it decided, and nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hptransfer.errors import Finding, RecipeError
from hptransfer.linting.levels.base import LEVELS, LevelOutcome, Subject, ValidationOptions
from hptransfer.recipe.load import LoadedRecipe, RecipeUnavailableError, load_recipe


@dataclass(frozen=True, slots=True)
class Validation:
    """What one recipe gave.

    Attributes:
        reference: path or name, as the user wrote it.
        loaded: the recipe, when it could be read and breaks no rule of `hptransfer.recipe`.
        unreadable: why its file could not be read at all; nothing where it could.
        outcomes: name of each level that ran -> what it found.
        skipped: names of levels that were asked and did not run, because one before found errors.
    """

    reference: str
    loaded: LoadedRecipe | None
    unreadable: tuple[Finding, ...] = ()
    outcomes: tuple[tuple[str, LevelOutcome], ...] = ()
    skipped: tuple[str, ...] = ()

    #: what is counted, in the singular
    noun = "recipe"

    @property
    def errors(self) -> tuple[Finding, ...]:
        """Broken rules of every level, and what gave no answer; a recipe with one is not called valid."""
        found = (each for _, outcome in self.outcomes for each in (*outcome.errors, *outcome.machine, *outcome.open))
        return (*self.unreadable, *found)

    @property
    def unavailable(self) -> bool:
        """Whether its file could not be read at all."""
        return bool(self.unreadable)

    @property
    def warnings(self) -> tuple[Finding, ...]:
        """What weakens the evidence that the recipe can give."""
        return tuple(each for _, outcome in self.outcomes for each in outcome.warnings)

    @property
    def notes(self) -> tuple[str, ...]:
        """What each level did not decide, and what else a reader must know."""
        found = []
        for level, outcome in self.outcomes:
            found += [f"{self.reference}: {level} did not decide {each}" for each in outcome.undecided]
            found += [f"{self.reference}: {each}" for each in outcome.notes]
        if self.skipped:
            found.append(f"{self.reference}: {', '.join(self.skipped)} did not run, because of the errors before")
        return tuple(found)

    @property
    def ran(self) -> tuple[str, ...]:
        """Names of the levels that ran."""
        return tuple(level for level, _ in self.outcomes)

    @property
    def sound(self) -> str | None:
        """The line for people where nothing is wrong; None where something is."""
        return f"{self.loaded.path}: valid ({', '.join(self.ran)})" if not self.errors and self.loaded else None

    @property
    def broken_machine(self) -> bool:
        """Whether something could not be asked because of the machine or damaged storage."""
        return any(outcome.machine for _, outcome in self.outcomes)

    @property
    def unanswered(self) -> bool:
        """Whether all that speaks against it is that something was run and gave no answer."""
        open_ = any(outcome.open for _, outcome in self.outcomes)
        return open_ and not self.unreadable and not any(outcome.errors for _, outcome in self.outcomes)

    @property
    def summary(self) -> dict[str, Any]:
        """What programs are told, but for the findings."""
        return {
            "recipe": self.reference,
            "valid": not self.errors,
            "hash": self.loaded.hash if self.loaded else None,
            "levels": {
                level: {
                    "passed": not (outcome.errors or outcome.machine or outcome.open),
                    "undecided": list(outcome.undecided),
                }
                for level, outcome in self.outcomes
            },
            "skipped": list(self.skipped),
        }


def validate(reference: str, options: ValidationOptions = ValidationOptions()) -> Validation:  # noqa: B008 - it is frozen
    """Checks one recipe, level by level; after a level with errors, none that follows runs.

    Args:
        reference: path of a recipe, or name of a shipped one.
        options: levels, trust and what else the command line says.

    Raises:
        UsageError: rules of the user's own cannot be imported, or fail.
    """
    try:
        loaded = load_recipe(reference)
    except RecipeUnavailableError as error:
        return Validation(reference, None, error.findings)
    except RecipeError as error:  # of its form and across its keys: what `static` decides first
        found = (("static", LevelOutcome(errors=error.findings)),)
        return Validation(reference, None, outcomes=found, skipped=options.levels[1:])
    subject = Subject(reference, loaded, options)
    outcomes: list[tuple[str, LevelOutcome]] = []
    for place, level in enumerate(options.levels):
        outcome = LEVELS.look_up(level).run(subject)
        outcomes.append((level, outcome))
        if outcome.errors or outcome.machine or outcome.open:
            return Validation(reference, loaded, outcomes=tuple(outcomes), skipped=options.levels[place + 1 :])
    return Validation(reference, loaded, outcomes=tuple(outcomes))
