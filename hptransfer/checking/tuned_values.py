"""The values that a check is of: those of `tuned.yaml`, where they follow from its trials."""

from __future__ import annotations

from hptransfer.artifacts.compared import Difference
from hptransfer.artifacts.pasted import command
from hptransfer.artifacts.tuned import read_tuned
from hptransfer.engine.session import Session
from hptransfer.errors import UsageError
from hptransfer.tuning.refitted import refitted


def tuned_values(session: Session, name: str) -> dict[str, float]:
    """The tuned value of every hyperparameter, of this version of the recipe.

    Args:
        session: of the recipe that is checked.
        name: what the user called the recipe, for hints.

    Raises:
        UsageError: nothing was tuned, or with another version of the recipe, or the file was edited since.
    """
    tuned = read_tuned(session.folder.tuned, name)
    again = command("tune", name, session.folder.path.parent)
    if tuned.recipe_hash != session.loaded.hash:
        raise UsageError(
            "transfer is checked for values that were tuned with the same recipe",
            received=f"{session.folder.tuned} is of another version of it",
            hint=f"run {again} again; trials that are still valid are reused",
        )
    try:
        edited = refitted(session.loaded.recipe, tuned, tuned.spent.target_flops)
    except (ValueError, LookupError, AttributeError) as error:
        edited = [Difference("evidence", str(error), "nothing")]
    if edited:
        raise UsageError(
            "transfer is checked for values that follow from the trials in tuned.yaml",
            received=f"{session.folder.tuned}: {'; '.join(map(str, edited[:3]))}",
            hint=f"run {again} again: finished trials are reused",
        )
    return tuned.hyperparameters
