"""`static`: what the text, the tables and the files beside it decide; torch is not imported, and no code runs."""

from __future__ import annotations

from dataclasses import replace

from hptransfer.linting.levels._lint_rules import run_rules
from hptransfer.linting.levels._open import left_open
from hptransfer.linting.levels.base import LevelOutcome, Subject


class Static:
    """The rules that need neither a model nor evidence."""

    claim = "its form, its rules across keys and the files that it names are in order"

    def run(self, subject: Subject) -> LevelOutcome:
        """Asks the static rules.

        Args:
            subject: a recipe that could be read.
        """
        outcome = run_rules("static", subject)
        return outcome if outcome.errors else replace(outcome, undecided=tuple(left_open(subject.loaded)))


LEVEL = Static()
