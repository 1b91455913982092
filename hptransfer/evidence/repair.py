"""What a hint says to run: a command that writes the evidence which was read, and what it trains again."""

from __future__ import annotations

import os
from pathlib import Path

from hptransfer.artifacts.pasted import command
from hptransfer.evidence.files import Evidence

#: database of finished trials in a run folder
_STUDY = "study.db"


def again(name: str, recipe: str | Path, evidence: Evidence) -> str:
    """The command that writes files of a run folder anew, as `command`.

    Args:
        name: of the command, one that has `--runs`.
        recipe: path or name of the recipe, as the user wrote it.
        evidence: what the run folder holds.
    """
    return command(name, recipe, evidence.folder.parent)


def reused(evidence: Evidence) -> str:
    """What becomes of finished trials when a recipe is run again, a clause.

    Args:
        evidence: what its run folder holds.
    """
    if os.path.lexists(evidence.folder / _STUDY):
        return "finished trials that still fit are reused"
    return f"all trials are trained again, because no {_STUDY} lies in {evidence.folder}"
