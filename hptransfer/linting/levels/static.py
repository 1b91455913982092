"""`static`: what the text, the tables and the files beside it decide; torch is not imported, and no code runs."""

from __future__ import annotations

from hptransfer.linting.levels._lint_rules import run_rules
from hptransfer.linting.levels.base import LevelOutcome, Subject


class Static:
    """The rules that need neither a model nor evidence."""

    claim = "its form, its rules across keys and the files that it names are in order"

    def run(self, subject: Subject) -> LevelOutcome:
        """Asks the static rules.

        Args:
            subject: a recipe that could be read.
        """
        return run_rules("static", subject)


LEVEL = Static()
