"""Any program: told what to train by its command line, environment and files; its results are read as they come."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hptransfer.errors import UsageError
from hptransfer.recipe.command_sections import NOT_IDENTIFYING, CommandTrainer
from hptransfer.recipe.schema import Recipe
from hptransfer.trainers._command_code import command_code
from hptransfer.trainers._command_run import run_command
from hptransfer.trainers._plan_values import plans_of, require_taken
from hptransfer.trainers._rendered_config import require_template
from hptransfer.trainers.base import Capabilities
from hptransfer.trials.identity import ModelReader
from hptransfer.trials.messages import TrialMessage, TrialResult
from hptransfer.trials.trial import OnLoss, ignore

#: of what a command is told and how its results are read
VERSION = 1


class RunsCommand:
    """Runs the program that the recipe's `trainer` section names."""

    name = "command"
    version = VERSION
    capabilities = Capabilities(streams_losses=True, processes=True, follows_rules=True)

    def identity(self, recipe: Recipe) -> Mapping[str, Any]:
        """The section as it is written, but for what changes where and how often the command runs."""
        section = _section(recipe)
        return {"section": section.model_dump(mode="json", exclude_defaults=True, exclude=set(NOT_IDENTIFYING))}

    def code(self, recipe: Recipe, root: Path) -> dict[str, str]:
        """As `Trainer.code`: files of the command's words, declared ones, the configuration's template."""
        return command_code(_section(recipe), root)

    def require_trainable(self, recipe: Recipe, root: Path, reader: ModelReader) -> None:
        """Refuses what no run could be told, before any is started.

        Args:
            recipe: what its runs are described by.
            root: the recipe's folder, where relative names start.
            reader: of the recipe's model; not asked where there is none.

        Raises:
            UsageError: the plan sets what the command does not take, or the configuration's template lacks a key.
        """
        section = _section(recipe)
        require_template(section, root)
        if recipe.model.kind != "external":
            require_taken(recipe, section, plans_of(recipe, reader))

    def run(self, message: TrialMessage, on_loss: OnLoss = ignore) -> TrialResult:
        """Run the program, again where its exit status says so.

        Raises:
            TaskError: it ended with an error, was killed, hung, or reported what cannot be a result.
            UsageError: the plan of the run's size cannot be made.
        """
        return TrialResult.of(run_command(message, _section(message.recipe), on_loss))


def _section(recipe: Recipe) -> CommandTrainer:
    if not isinstance(recipe.trainer, CommandTrainer):
        raise UsageError("the trainer `command` must be told its command", received=str(recipe.trainer))
    return recipe.trainer


TRAINER = RunsCommand()
