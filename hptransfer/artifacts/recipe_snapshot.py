"""recipe.json: the recipe that a run folder was last worked on with, and what determined its trials."""

from __future__ import annotations

import json
from pathlib import Path
from typing import ClassVar

from pydantic import Field, ValidationError

from hptransfer.artifacts.base import MOST_BYTES, Artifact
from hptransfer.artifacts.json_keys import json_content
from hptransfer.errors import UsageError
from hptransfer.files import bounded_content
from hptransfer.parameterization.applied_rules import RuleText
from hptransfer.recipe.changes import without_removed_keys
from hptransfer.recipe.load import LoadedRecipe
from hptransfer.recipe.schema import Recipe
from hptransfer.trials.identity import Identity
from hptransfer.trials.legacy import legacy_experiment


class RecipeSnapshot(Artifact):
    """The content of recipe.json."""

    FORMAT: ClassVar[int] = 2
    WRITER: ClassVar[str] = "hptransfer tune"

    file: str
    """path of the user's recipe, absolute"""
    recipe_hash: str
    """sha256 (hex) of what evidence rests on in the recipe"""
    fingerprint: str
    """sha256 (hex) of the recipe's data at that time"""
    recipe: Recipe
    """as the last command worked with it"""
    identity: str | None = None
    """digest of rules, code, data, model and training, sha256 (hex); its first 8 digits end the names of studies; None
    where version 0.1 wrote the file"""
    trainer: str | None = None
    """name and version of the trainer, for example "torch 1"; None where version 0.1 wrote the file"""
    code: dict[str, str] = Field(default_factory=dict)
    """sha256 (hex) of each local module of the user's own code, by its dotted name"""
    rules: dict[str, dict[str, RuleText]] = Field(default_factory=dict)
    """pattern of parameter names -> role -> quantity -> exponents of the size's multipliers"""

    @classmethod
    def of(cls, loaded: LoadedRecipe, identity: Identity) -> RecipeSnapshot:
        """What is to be remembered of a session.

        Args:
            loaded: the recipe that is worked on.
            identity: what determines the recipe's trials.
        """
        return cls(
            format=cls.FORMAT,
            file=str(loaded.path.absolute()),
            recipe_hash=loaded.hash,
            fingerprint=identity.fingerprint,
            recipe=loaded.recipe,
            identity=identity.digest,
            trainer=f"{identity.trainer.name} {identity.trainer.version}",
            code=dict(identity.trainer.code),
            rules=identity.rules(),
        )

    @property
    def experiment(self) -> str | None:
        """The digest whose first 8 digits end the names of the folder's studies; None where nobody knows it."""
        return self.identity or legacy_experiment(self.recipe, self.fingerprint)


def read_snapshot(path: Path) -> RecipeSnapshot | None:
    """The recipe of a run folder; None where no command remembered one, or it cannot be read by this version.

    Args:
        path: file `recipe.json` of a run folder.
    """
    try:
        return load_snapshot(path)
    except UsageError:
        return None


def load_snapshot(path: Path) -> RecipeSnapshot | None:
    """As `read_snapshot`, but what cannot be read is named.

    Args:
        path: file `recipe.json` of a run folder.

    Raises:
        UsageError: there is a file, and it is not one that this version or 0.1 wrote.
    """
    try:
        text = bounded_content(path, MOST_BYTES).decode()
    except UnicodeDecodeError as error:
        raise UsageError("a recipe.json must be text", received=f"{path}: {error}") from None
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise UsageError("a recipe.json must be readable", received=f"{path}: {error}") from None
    try:
        content = json_content(text)
    except (ValueError, RecursionError):
        content = None
    if not isinstance(content, dict) or content.get("format") != 1:
        return RecipeSnapshot.parse(text, path)
    try:
        if not isinstance(content["recipe"], dict):
            raise TypeError("recipe: it must be a mapping")
        recipe = Recipe.model_validate_json(json.dumps(without_removed_keys(content["recipe"])))
        return RecipeSnapshot(
            format=RecipeSnapshot.FORMAT,
            file=str(content["file"]),
            recipe_hash=str(content["recipe_hash"]),
            fingerprint=str(content["fingerprint"]),
            recipe=recipe,
        )
    except (KeyError, TypeError, AttributeError, ValueError, RecursionError) as error:
        said = str(error) if not isinstance(error, ValidationError) else _fault(error)
        raise UsageError("a recipe.json of version 0.1 must hold a recipe", received=f"{path}: {said}") from None


def _fault(error: ValidationError) -> str:
    fault = error.errors(include_url=False)[0]
    return f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}"
