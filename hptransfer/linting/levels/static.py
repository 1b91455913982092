"""`static`: what the text, the tables and the files beside it decide; torch is not imported, and no code runs."""

from __future__ import annotations

from contextlib import nullcontext

from hptransfer.linting.caps import trials_capped
from hptransfer.linting.levels._lint_rules import run_rules
from hptransfer.linting.levels._open import left_open
from hptransfer.linting.levels.base import LevelOutcome, Subject
from hptransfer.matching import remembered
from hptransfer.registry import untrusted_recipe


class Static:
    """The rules that need neither a model nor evidence."""

    claim = "its form, its rules across keys and the files that it names are in order"

    def run(self, subject: Subject) -> LevelOutcome:
        """Asks the static rules.

        Args:
            subject: a recipe that could be read.
        """
        around = nullcontext if subject.options.trust else untrusted_recipe
        with remembered():
            outcome = run_rules("static", subject, around)
            with around():
                capped = trials_capped(subject)  # whatever else is wrong: comments may excuse that
                if errors := (*outcome.errors, *capped.errors):
                    return LevelOutcome(errors, outcome.warnings)
                left_to = {
                    **dict(left_open(subject.loaded)),
                    **dict.fromkeys(capped.undecided, "full"),
                    **_cost(subject),
                }
            return LevelOutcome(warnings=outcome.warnings, undecided=tuple(left_to), left_to=left_to)


def _cost(subject: Subject) -> dict[str, str]:
    most = subject.options.max_flops
    return {} if most is None else {f"whether it takes at most {most:.3g} FLOPs (level shapes)": "shapes"}


LEVEL = Static()
