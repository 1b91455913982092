"""`hptransfer stop`: asks the process that works in a run folder to finish."""

from __future__ import annotations

import os
import signal
import sys
import time
from typing import TYPE_CHECKING, Annotated

import typer

from hptransfer.cli.options import Quiet, Reference, Runs
from hptransfer.engine.options import DEFAULT_RUNS
from hptransfer.errors import MachineError, UsageError

if TYPE_CHECKING:
    from hptransfer.storage.run_folder import Owner, RunFolder

_INTERVAL = 0.2  # seconds between two checks whether it ended


def stop_command(
    reference: Reference,
    runs: Runs = DEFAULT_RUNS,
    now: Annotated[bool, typer.Option("--now", help="Interrupt running trials.")] = False,
    wait: Annotated[bool, typer.Option("--wait", help="Return when it has ended.")] = False,
    quiet: Quiet = False,
) -> int:
    """Ask the process that works in a run folder to finish; the same command continues later.

    With `now` it does not wait for running trials: they are interrupted, and trained again later.

    Returns:
        0, also where nothing runs.

    Raises:
        UsageError: nothing was run there yet; or `now` for a process of another machine.
        MachineError: the process may not be signalled.
    """
    from hptransfer.engine.run_lookup import locate
    from hptransfer.storage.run_folder import read_owner

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
    from hptransfer.storage.run_folder import read_owner

    found = read_owner(folder.path)
    return found is not None and found.alive is not False and found.pid == owner.pid


def _say(sentence: str, quiet: bool) -> None:
    if not quiet:
        print(sentence, file=sys.stderr)
