"""`hptransfer worker`: trains trials of a shared study."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from hptransfer.cli.options import Lease, Quiet, RecipeArgument, Runs, SharedStorage
from hptransfer.engine.options import DEFAULT_RUNS, Launch, TrainingCommand


def worker_command(
    recipe: RecipeArgument,
    storage: SharedStorage = None,
    runs: Runs = DEFAULT_RUNS,
    *,
    max_trials: Annotated[
        int | None, typer.Option(min=1, help="Stop after as many trials.", show_default=False)
    ] = None,
    idle_exit: Annotated[
        float | None, typer.Option(min=0, metavar="SECONDS", help="Stop after as long without work. Default: never.")
    ] = None,
    lease: Lease = 60.0,
    lead: Annotated[
        TrainingCommand | None,
        typer.Option(help="Coordinate with this command whenever nobody does; stop when it ended.", show_default=False),
    ] = None,
    workers: Annotated[int, typer.Option(min=1, max=1024, help="With --lead: trials in the queue at a time.")] = 4,
    launch: Launch,
    quiet: Quiet = False,
) -> int:
    """Train trials of a shared study until there is nothing left to do.

    Results that could not be delivered wait in the run folder.

    Returns:
        0: it stopped by itself; 130, 143 after Ctrl-C or SIGTERM.

    Raises:
        RecipeError, UsageError: it cannot join the study, or an option cannot be combined with the recipe.
        MachineError: the server was away for too long, or trials keep failing here.
    """
    from hptransfer.cluster.leader import Lead
    from hptransfer.cluster.postgres import find_address, masked, retry_while_server_down
    from hptransfer.cluster.study import join_study, terms_of
    from hptransfer.cluster.worker import NAME, WorkerLimits, work
    from hptransfer.data.base import fingerprint_of
    from hptransfer.engine.process_launch import with_processes
    from hptransfer.recipe.load import load_recipe
    from hptransfer.storage.run_folder import RunFolder
    from hptransfer.trials.messages import ENTRY

    loaded = with_processes(load_recipe(recipe), launch)
    address = find_address(storage)
    limits = WorkerLimits(max_trials, idle_exit, lease)

    def say(text: str) -> None:
        if not quiet:
            print(f"worker {NAME}: {masked(text, address)}", file=sys.stderr, flush=True)

    fingerprint = fingerprint_of(loaded.recipe.data, loaded.root)
    terms = terms_of(loaded, fingerprint)
    study = retry_while_server_down(lambda: join_study(address, loaded.recipe.name, terms), say=say)
    leading = None if lead is None else Lead(study, str(lead), recipe, runs, workers, say)
    folder = RunFolder(runs / loaded.recipe.name)
    return work(study, loaded, folder.path / "spool", limits, entry=ENTRY, say=say, leading=leading)
