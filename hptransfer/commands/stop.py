"""`hptransfer stop`: asks the process that works in a run folder to finish."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

from hptransfer.engine.run_lookup import locate
from hptransfer.errors import MachineError, UsageError
from hptransfer.storage.run_folder import Owner, RunFolder, read_owner

_INTERVAL = 0.2  # seconds between looks at whether it ended


def stop_command(reference: str, runs: Path, now: bool, wait: bool, quiet: bool) -> int:
    """Ask the owner of a run folder to stop; the same command continues later.

    Args:
        reference: a recipe, or a run folder's path or name.
        runs: the folder of run folders.
        now: do not wait for running trials: they are interrupted, and trained again later.
        wait: return when it has ended.
        quiet: print nothing to stderr.

    Returns:
        0, also where nothing runs.

    Raises:
        UsageError: nothing was run there yet; or `now` for a process of another machine.
        MachineError: the process may not be signalled.
    """
    folder = locate(reference, runs).folder
    owner = read_owner(folder.path)
    if owner is None or owner.alive is False:
        _say(f"nothing runs in {folder.path}", quiet)
        return 0
    if now:
        _terminate(owner, folder)
    else:
        folder.request_stop()
    how = "at once" if now else "when its running trials have ended"
    _say(f"asked {owner} to stop {how}", quiet)
    while wait and _works(owner, folder):
        time.sleep(_INTERVAL)
    return 0


def _terminate(owner: Owner, folder: RunFolder) -> None:
    if owner.alive is None:
        raise UsageError(
            "`--now` sends a signal, which reaches processes of this machine only",
            received=f"{folder.path} is in use by {owner}",
            hint="leave out --now, or run it there",
        )
    try:
        os.kill(owner.pid, signal.SIGTERM)
    except ProcessLookupError:  # it ended meanwhile
        return
    except PermissionError as error:
        raise MachineError("the process must be yours to stop it at once", received=str(owner)) from error


def _works(owner: Owner, folder: RunFolder) -> bool:
    found = read_owner(folder.path)
    return found is not None and found.alive is not False and found.pid == owner.pid


def _say(sentence: str, quiet: bool) -> None:
    if not quiet:
        print(sentence, file=sys.stderr)
