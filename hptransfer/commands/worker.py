"""`hptransfer worker`: trains trials of a shared study."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Literal

from hptransfer.cluster.leader import Lead
from hptransfer.cluster.postgres import find_address, masked, retry_while_server_down
from hptransfer.cluster.study import join_study, terms_of
from hptransfer.cluster.worker import NAME, WorkerLimits, work
from hptransfer.data.base import read_text
from hptransfer.engine.options import Launch
from hptransfer.engine.process_launch import with_processes
from hptransfer.recipe.load import load_recipe
from hptransfer.storage.run_folder import RunFolder
from hptransfer.trials.messages import ENTRY


def worker_command(
    recipe: str,
    storage: str | None,
    runs: Path,
    *,
    max_trials: int | None,
    idle_exit: float | None,
    lease: float,
    lead: str | None,
    workers: int,
    launcher: Literal["none", "torchrun"] | None,
    processes: int | None,
    quiet: bool,
) -> int:
    """Train trials until there is a reason to stop: a signal, no work for too long, or the study's command ended.

    Args:
        recipe: path or name of a recipe, the same as everywhere else.
        storage: address of the database; default: HPTRANSFER_STORAGE.
        runs: the folder of run folders; results that could not be delivered wait there.
        max_trials: stop after as many trials.
        idle_exit: stop after as many seconds without work.
        lease: seconds after which a silent worker's trial is given to another.
        lead: command to coordinate the study with whenever nobody does: "tune", "check" or "run".
        workers: with `lead`, trials in the queue at a time.
        launcher: what starts the processes of a trial; see `Launch`.
        processes: that train one trial together on this host.
        quiet: say nothing but errors.

    Returns:
        0: it stopped by itself; 130, 143 after Ctrl-C or SIGTERM.

    Raises:
        RecipeError, UsageError: it cannot join the study, or an option cannot be combined with the recipe.
        MachineError: the server was away for too long, or trials keep failing here.
    """
    loaded = with_processes(load_recipe(recipe), Launch(launcher, processes))
    address = find_address(storage)
    limits = WorkerLimits(max_trials, idle_exit, lease)

    def say(text: str) -> None:
        if not quiet:
            print(f"worker {NAME}: {masked(text, address)}", file=sys.stderr, flush=True)

    fingerprint = read_text(loaded.recipe.data, loaded.path.parent.absolute()).fingerprint
    terms = terms_of(loaded, fingerprint)
    study = retry_while_server_down(lambda: join_study(address, loaded.recipe.name, terms), say=say)
    leading = None if lead is None else Lead(study, lead, recipe, runs, workers, say)
    folder = RunFolder(runs / loaded.recipe.name)
    return work(study, loaded, folder.path / "spool", limits, entry=ENTRY, say=say, leading=leading)
