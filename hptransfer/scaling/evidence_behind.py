"""What speaks against the evidence that a registered prediction was made from, asked as `scale` asks."""

from __future__ import annotations

import shlex

from hptransfer.artifacts.transfer import read_transfer
from hptransfer.artifacts.tuned import read_tuned
from hptransfer.engine.identity import identity_here
from hptransfer.errors import RefusedError
from hptransfer.evidence.objections import weigh
from hptransfer.recipe.load import LoadedRecipe
from hptransfer.scaling.objections import outdated
from hptransfer.storage.run_folder import RunFolder


def evidence_objections(loaded: LoadedRecipe, folder: RunFolder, name: str) -> tuple[str, ...]:
    """Why tuned.yaml and transfer.json do not stand behind a prediction, a clause each.

    Args:
        loaded: the recipe, with the durations of its sizes.
        folder: its run folder, in which the files lie.
        name: what the user called the recipe, for hints.

    Returns:
        Nothing where no check lies in the folder: a target's file alone is held to its own sha256.

    Raises:
        UsageError: a file cannot be read, or the recipe's model, data or code.
    """
    checked = read_transfer(folder.transfer)
    if checked is None:
        return ()
    tuned = read_tuned(folder.tuned, name)
    present = identity_here(loaded, folder)
    weighed = weigh(loaded, folder.path, tuned, checked, present)
    return (*outdated(loaded, tuned, checked, present.digest, weighed.changed), *weighed.contradictions)


def refuse_comparison(objections: tuple[str, ...], name: str) -> None:
    """Say why no run is compared, and what would do instead.

    Args:
        objections: at least one of them, a clause each.
        name: what the user called the recipe, for hints.

    Raises:
        RefusedError: always.
    """
    again = " and ".join(f"`{shlex.join(['hptransfer', each, name])}`" for each in ("check", "scale"))
    raise RefusedError(
        "a run is compared with a prediction whose evidence is of the recipe as it is, and as it was written",
        received="; ".join(objections),
        hint=f"restore the files from version control, or register anew by {again}; "
        "`--force` compares all the same and says so",
    )
