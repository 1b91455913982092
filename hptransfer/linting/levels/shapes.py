"""`shapes`: the model is built at base, proxy, ladder and target without memory, and every parameter gets a rule."""

from __future__ import annotations

from hptransfer.linting.levels._lint_rules import run_rules
from hptransfer.linting.levels.base import LevelOutcome, Subject
from hptransfer.recipe.model_sections import FactoryModel


class Shapes:
    """The rules that build the model on the meta device."""

    claim = "its model can be built at every size, and `plan` has a rule for each parameter"

    def run(self, subject: Subject) -> LevelOutcome:
        """Builds the model, where no code of the recipe's own would run or it is trusted.

        Args:
            subject: a recipe that has no static error.
        """
        model = subject.loaded.recipe.model
        if isinstance(model, FactoryModel) and not subject.options.trust:
            asked = (
                f"whether {model.factory} can be built and planned: code that a recipe names runs with `--trust` only"
            )
            return LevelOutcome(undecided=(asked,))
        return run_rules("shapes", subject)


LEVEL = Shapes()
