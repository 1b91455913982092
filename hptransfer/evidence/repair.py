"""What a hint says to run: a command that writes the evidence which was read, and what it trains again."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

from hptransfer.evidence.files import DEFAULT_RUNS, Evidence

#: database of finished trials in a run folder
_STUDY = "study.db"


def command(name: str, recipe: str | Path, runs: Path | None) -> str:
    """A command on a recipe that can be pasted, between backticks.

    Args:
        name: of the command, one that has `--runs`.
        recipe: path or name of the recipe, as the user wrote it.
        runs: the folder of run folders whose files were read; None for the command's own default.
    """
    words = ["hptransfer", name, str(recipe)]
    if runs is not None and os.path.abspath(runs) != os.path.abspath(DEFAULT_RUNS):
        words += ["--runs", str(runs)]  # else the evidence would be written to a second folder, which is read first
    return f"`{shlex.join(words)}`"


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
