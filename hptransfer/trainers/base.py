"""The contract of a trainer.

Users add one by an entry point of the group `hptransfer.trainers`, or `module:attribute`; `hptransfer.testing.trainers`
checks theirs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, cast

from hptransfer.recipe import registered
from hptransfer.recipe.schema import Recipe
from hptransfer.registry import Registry
from hptransfer.trials.code import code_digests
from hptransfer.trials.identity import ModelReader, TrainerIdentity
from hptransfer.trials.messages import TrialMessage, TrialResult
from hptransfer.trials.trial import OnLoss, ignore


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a trainer can do besides training.

    Attributes:
        streams_losses: whether its trials record a loss curve.
        diagnostics: whether workers can build its models and measure in them (coordinate check, sharpness, ...).
        processes: whether several processes may train one trial.
        follows_rules: whether it trains the recipe's model, where there is one, by the parameterization's rules; the
            rules for each parameter are then part of a trial's key.
        counts_flops: whether FLOPs of its trials are those that `hptransfer.engine.flops` counts from the recipe's
            model: evidence is then held to that count.
    """

    streams_losses: bool = False
    diagnostics: bool = False
    processes: bool = False
    follows_rules: bool = False
    counts_flops: bool = False


class Trainer(Protocol):
    """Whoever trains."""

    @property
    def name(self) -> str:
        """What keys and provenance call it."""

    @property
    def version(self) -> int:
        """Raised whenever the same run may end with another loss: trials of the version before are then not reused."""

    @property
    def capabilities(self) -> Capabilities:
        """What it can do besides training."""

    def identity(self, recipe: Recipe) -> Mapping[str, Any]:
        """What determines its runs besides recipe, size, hyperparameters and seed.

        Args:
            recipe: what its runs are described by.

        Returns:
            JSON-able data without measured or computed floats, so that machines agree.
        """

    def code(self, recipe: Recipe, root: Path) -> Mapping[str, str]:
        """Digests of the user's own code and files that the `trainer` section names and that determine its runs.

        Args:
            recipe: what its runs are described by.
            root: the recipe's folder, where files and local modules are looked for too.

        Returns:
            Sha256 (hex) by module or file; empty where the section names none.

        Raises:
            UsageError: what the section names cannot be read.
        """

    def run(self, message: TrialMessage, on_loss: OnLoss = ignore) -> TrialResult:
        """Train one model in this process, or in processes of its own.

        Args:
            message: the run, and the key that the answer must carry.
            on_loss: told of the objective on the way, as what is minimized; see `OnLoss`.

        Returns:
            The finished trial, a diverged one included; or why it was refused.
        """


#: built-in trainers, those of installed packages, and `module:attribute`
TRAINERS: Registry[Trainer] = cast("Registry[Trainer]", registered.TRAINERS)


class Foreseeing(Protocol):
    """A trainer that can say before any run that it cannot train a recipe."""

    def require_trainable(self, recipe: Recipe, root: Path, reader: ModelReader) -> None:
        """Refuses what no run could do.

        Args:
            recipe: what its runs are described by.
            root: the recipe's folder, where relative names start.
            reader: of the recipe's model; asked only where there is one.

        Raises:
            UsageError: it cannot be trained.
        """


def require_trainable(recipe: Recipe, root: Path, reader: ModelReader) -> None:
    """Whatever a trainer can refuse before any run, it refuses now.

    Args:
        recipe: names the trainer and its section.
        root: the recipe's folder, where relative names start.
        reader: of the recipe's model.

    Raises:
        UsageError: the recipe cannot be trained.
    """
    trainer = TRAINERS.look_up(recipe.trainer.name)
    if hasattr(trainer, "require_trainable"):
        cast("Foreseeing", trainer).require_trainable(recipe, root, reader)


def trainer_identity(recipe: Recipe, root: Path) -> TrainerIdentity:
    """Who trains a recipe's trials, with which of the user's own code.

    Args:
        recipe: names the trainer and the model.
        root: the recipe's folder, where local modules are looked for too.

    Raises:
        UsageError: there is no such trainer, or local code cannot be read.
    """
    trainer = TRAINERS.look_up(recipe.trainer.name)
    named = (TRAINERS.reference(recipe.trainer.name), registered.LOSSES.reference(recipe.training.loss))
    references = [reference for reference in named if reference is not None]
    if recipe.model.kind == "factory":
        references.append(recipe.model.factory)
    code: dict[str, str] = {}
    for reference in references:
        code |= code_digests(reference, root)
    code |= trainer.code(recipe, root)
    follows = trainer.capabilities.follows_rules and recipe.model.kind != "external"
    return TrainerIdentity(trainer.name, trainer.version, follows, dict(trainer.identity(recipe)), code)
