"""A recipe checked level by level, as far as it was asked: each level claims what it decided, and nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from hptransfer.errors import Finding
from hptransfer.files import shown_path
from hptransfer.linting.catalogue import explanations
from hptransfer.linting.ignores import Excused, Ignores
from hptransfer.linting.levels.base import LEVELS, LevelOutcome, Subject, ValidationOptions
from hptransfer.recipe.load import LoadedRecipe, RecipeSource, RecipeUnavailableError, read_source
from hptransfer.recipe.rule_text import explained


@dataclass(frozen=True, slots=True)
class Validation:
    """What one recipe gave.

    Attributes:
        reference: path or name, as the user wrote it.
        loaded: the recipe, when it could be read and breaks no rule of `hptransfer.recipe`.
        unreadable: why its file could not be read at all; nothing where it could.
        outcomes: name of each level that ran -> what it found.
        skipped: names of levels that were asked and did not run, because one before found errors.
        excused: findings that comments of the recipe excuse, with their reasons; they are in no outcome.
        unused: warnings on comments that excuse nothing.
        sources: path of a file -> the text that was validated, for excerpts.
    """

    reference: str
    loaded: LoadedRecipe | None
    unreadable: tuple[Finding, ...] = ()
    outcomes: tuple[tuple[str, LevelOutcome], ...] = ()
    skipped: tuple[str, ...] = ()
    excused: tuple[Excused, ...] = ()
    unused: tuple[Finding, ...] = ()
    sources: Mapping[str, str] = field(default_factory=dict, repr=False)

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
        return (*(each for _, outcome in self.outcomes for each in outcome.warnings), *self.unused)

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
        if self.errors or self.loaded is None:
            return None
        count = len(self.excused)
        excused = f"; {count} finding{'' if count == 1 else 's'} ignored by comments" if count else ""
        passed = ", ".join(level for level, outcome in self.outcomes if outcome.decided)
        open_ = [level for level, outcome in self.outcomes if not outcome.decided]
        undecided = f"; {', '.join(open_)} not decided" if open_ else ""
        return f"{self.loaded.path}: valid ({passed}){undecided}{excused}"

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
                level: {"passed": outcome.passed, "undecided": list(outcome.undecided)}
                for level, outcome in self.outcomes
            },
            "skipped": list(self.skipped),
            "suppressed": [
                {"id": each.finding.id, "code": each.finding.code, "level": each.level, "reason": each.reason}
                | {"rule": each.finding.rule, "received": each.finding.received, "comment": str(each.comment)}
                for each in self.excused
            ],
        }


def validate(reference: str, options: ValidationOptions = ValidationOptions()) -> Validation:  # noqa: B008 - it is frozen
    """Checks one recipe, level by level; after a level with errors, none that follows runs.

    Args:
        reference: path of a recipe, or name of a shipped one.
        options: levels, trust and what else the command line says.

    Raises:
        UsageError: rules of the user's own cannot be imported, or fail.
    """
    # findings, and what hints say to paste, are made of these
    options = replace(options, runs=None if options.runs is None else shown_path(options.runs))
    try:
        source = read_source(str(shown_path(Path(reference))) if Path(reference).is_absolute() else reference)
    except RecipeUnavailableError as error:
        return Validation(reference, None, error.findings)
    if source.findings:  # of its form and across its keys: what `static` decides first
        return _refused(reference, source, options)
    loaded, file = source.load(), str(source.path)
    ignores = Ignores.of(source.text, file, options.rules)
    subject = Subject(reference, loaded, options)
    outcomes: list[tuple[str, LevelOutcome]] = []
    for level in options.levels:
        found = LEVELS.look_up(level).run(subject).beside(options.levels)
        outcome = ignores.applied(_explained(found))
        if not outcomes:
            outcome = replace(outcome, errors=(*outcome.errors, *ignores.faults))
        outcomes.append((level, outcome))
        if outcome.errors or outcome.machine or outcome.open:
            break
    # a comment cannot be idle at a level that decided nothing
    asked = [level for level, outcome in outcomes if outcome.decided]
    return Validation(
        reference,
        loaded,
        outcomes=tuple(outcomes),
        skipped=options.levels[len(outcomes) :],
        excused=tuple(ignores.excused),
        unused=tuple(ignores.unused(asked)),
        sources={file: source.text},
    )


def _refused(reference: str, source: RecipeSource, options: ValidationOptions) -> Validation:
    """Of a text that is no recipe; its comments can excuse nothing, and their own faults are told."""
    file = str(source.path)
    readable = () not in source.document.unreadable
    faults = Ignores.of(source.text, file, options.rules).faults if readable else []
    found = (("static", LevelOutcome(errors=(*source.findings, *faults))),)
    sources = {file: source.text} if source.text else {}
    return Validation(reference, None, outcomes=found, skipped=options.levels[1:], sources=sources)


def _explained(outcome: LevelOutcome) -> LevelOutcome:
    """Its findings with the numbers of their rules, and repairs where they have no hint."""
    known = explanations()
    return replace(
        outcome,
        errors=tuple(explained(outcome.errors, known)),
        warnings=tuple(explained(outcome.warnings, known)),
        machine=tuple(explained(outcome.machine, known)),
        open=tuple(explained(outcome.open, known)),
    )
