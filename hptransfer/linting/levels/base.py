"""What a level of `validate` is, what it is given, and the registry of all of them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

from hptransfer.errors import Finding, UsageError
from hptransfer.recipe.load import LoadedRecipe
from hptransfer.registry import Registry

#: the levels in the order in which they run and are printed, each dearer than the one before
ORDER = ("static", "shapes", "evidence", "coordinate", "full")


@dataclass(frozen=True, slots=True)
class ValidationOptions:
    """What the command line says about all recipes of one `validate`.

    Attributes:
        levels: names of the levels to run, in the order of `ORDER`; `static` is always among them.
        trust: whether code that recipes name may run, in a process of its own.
        strict: whether differences of torch, platform or Python since the evidence was gathered are errors.
        rules: further topics of lint rules, `module:attribute` each.
        runs: the folder of run folders, whose evidence is judged; None for `runs` beside each recipe.
        max_trials: trials that tune and check may train; None for no cap.
        max_flops: floating point operations that they may take; None for no cap.
        confined: whether the level runs in a process with limits already.
    """

    levels: tuple[str, ...] = ("static",)
    trust: bool = False
    strict: bool = False
    rules: tuple[str, ...] = ()
    runs: Path | None = None
    max_trials: int | None = None
    max_flops: float | None = None
    confined: bool = False


@dataclass(frozen=True, slots=True)
class Subject:
    """One recipe that a level is asked about.

    Attributes:
        reference: path or name, as the user wrote it.
        loaded: the recipe; it breaks no rule of `hptransfer.recipe`.
        options: what the command line says about all recipes.
    """

    reference: str
    loaded: LoadedRecipe
    options: ValidationOptions


@dataclass(frozen=True, slots=True)
class LevelOutcome:
    """What a level found in one recipe.

    Attributes:
        errors: what does not hold; the exit status is 1.
        warnings: what holds and is weak.
        undecided: what the level would have to decide for this recipe and could not, a clause each with the reason:
            "whether `my.module:make` can be built: its code runs with `--trust` only".
        notes: what else a reader must know, a sentence each.
        machine: what could not be done because of the machine or damaged storage; the exit status is 4.
        open: what was run and gave no answer, as when a budget ended; the exit status is 3.
        decided: whether anything of the level's claim was decided; where not, no recipe is called valid for the level.
        left_to: clause of `undecided` -> the level that decides it, or says itself why it cannot.
        unasked: what was not asked because of `errors`, a clause each; where comments excuse the errors, the level is
            not decided.
    """

    errors: tuple[Finding, ...] = ()
    warnings: tuple[Finding, ...] = ()
    undecided: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    machine: tuple[Finding, ...] = field(default=())
    open: tuple[Finding, ...] = ()
    decided: bool = True
    left_to: Mapping[str, str] = field(default_factory=dict)
    unasked: tuple[str, ...] = ()

    @property
    def passed(self) -> bool | None:
        """Whether the level's claim holds as far as it was decided; None where nothing was."""
        if self.errors or self.machine or self.open:
            return False
        return True if self.decided else None

    def beside(self, levels: Collection[str]) -> LevelOutcome:
        """The outcome without what it leaves to levels that are asked in the same run: they speak for themselves.

        Args:
            levels: names of all levels that are asked.
        """
        return replace(self, undecided=tuple(each for each in self.undecided if self.left_to.get(each) not in levels))


class ValidationLevel(Protocol):
    """One level of `validate`; a passed level claims what its `claim` says, and no more."""

    @property
    def claim(self) -> str:
        """What holds of a recipe that has no error at this level, one clause for docs and output."""

    def run(self, subject: Subject, /) -> LevelOutcome:
        """Asks everything that this level decides.

        Args:
            subject: a recipe without errors at the levels before.

        Raises:
            UsageError: rules of the user's own cannot be imported, or fail.
        """


LEVELS: Registry[ValidationLevel] = Registry("level", "hptransfer.linting.levels", "LEVEL")


def in_order(names: Sequence[str]) -> tuple[str, ...]:
    """Levels in the order in which they run, `static` always among them.

    Args:
        names: as the user wrote them; several may stand in one, with commas.

    Raises:
        UsageError: there is no such level, or one of them is empty, as an unset variable of a CI file is.
    """
    if any(not name.strip(" ,") for name in names):
        hint = f"write one of {', '.join(LEVELS.names)}, or leave `--level` out for static"
        raise UsageError("a level must have a name", received="an empty text", hint=hint)
    wanted = {part.strip() for name in names for part in name.split(",") if part.strip()}
    for name in sorted(wanted):
        LEVELS.look_up(name)
    return tuple(name for name in ORDER if name in wanted | {"static"})
