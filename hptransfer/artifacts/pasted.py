"""Commands that hints tell to run on a run folder: as they can be pasted, with the folder that is meant."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from pathlib import Path

#: where the folder of run folders lies where nobody says
DEFAULT_RUNS = "runs"


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


def runs_of(given: Sequence[str]) -> Path | None:
    """The folder of run folders among the options of a command; None where it is not named.

    Args:
        given: the words of the options, as the user gave them.
    """
    return Path(given[given.index("--runs") + 1]) if "--runs" in given[:-1] else None
