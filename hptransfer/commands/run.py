"""`hptransfer run`: tune, check and scale in one go. Every step is resumable, so running it again continues."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from hptransfer.commands.budget import BudgetOptions
from hptransfer.commands.check import check
from hptransfer.commands.remembered import OnChange
from hptransfer.commands.running import open_session, told
from hptransfer.commands.scale import scale
from hptransfer.commands.tune import print_tuned, tune
from hptransfer.commands.tune_result import tuned_document
from hptransfer.evidence.verdict import Verdict


def run_command(
    recipe: str,
    runs: Path,
    workers: int,
    *,
    max_trials: int | None,
    max_flops: float | None,
    max_time: str | None,
    trial_time: str | None,
    trial_memory: str | None,
    on_change: OnChange | None,
    force: bool,
    as_json: bool,
    quiet: bool,
    storage: str | None = None,
    log: Sequence[str] = (),
) -> int:
    """Tune the proxy, check transfer and, if the verdict allows it, write the target's configuration.

    Args:
        recipe: path or name of a recipe.
        runs: the folder of run folders.
        workers: trials at a time.
        max_trials: see `BudgetOptions`, as for the four that follow.
        max_flops: floating point operations.
        max_time: wall time of this command.
        trial_time: wall time of a trial.
        trial_memory: memory of a trial.
        on_change: "new" or "keep" where finished trials do not belong to the recipe as it is now.
        force: write the target's configuration whatever the verdict; the file then says so.
        as_json: print one object with `tuned`, `transfer` and `target` (null when it was not written).
        quiet: no progress.
        storage: address of a database whose workers train; None to train here.
        log: trackers that trials and results are logged to.

    Returns:
        The verdict's exit status: 0 TRANSFERS, 1 DRIFTS, 3 INCONCLUSIVE.
    """
    console = Console(highlight=False, quiet=as_json)
    options = BudgetOptions(max_trials, max_flops, max_time, trial_time, trial_memory)
    with open_session(
        recipe, runs, workers, options=options, on_change=on_change, say=told(quiet), storage=storage, log=log
    ) as session:
        tuned = tune(session, quiet=quiet)
        print_tuned(tuned, console, session.folder.tuned)
        console.print()
        checked = check(session, recipe, quiet=quiet, show=not as_json)
        verdict = checked.report.verdict
        target = None
        if force or verdict is Verdict.TRANSFERS:
            target = scale(session.loaded, session.folder, recipe, force=force)
            console.print(target.summary, markup=False, soft_wrap=True)
        else:
            console.print(f"no target.yaml: a {verdict} verdict does not support one (--force writes it all the same)")
        console.print(f"results in {session.folder.path}", soft_wrap=True)
    if as_json:
        document = {
            "tuned": tuned_document(tuned),
            "transfer": checked.document,
            "target": None if target is None else target.document,
        }
        print(json.dumps(document, indent=2, allow_nan=False))
    return verdict.exit_status
