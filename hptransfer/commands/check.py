"""`hptransfer check`: does the tuned value carry over to the sizes of the ladder?"""

from __future__ import annotations

import json
from typing import Annotated

import typer

from hptransfer.cli.options import DryRun, TimeSteps
from hptransfer.engine.options import TrainingCommand, TrainingOptions


def check_command(
    options: TrainingOptions,
    *,
    diagnostic: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME", help="Also make this diagnostic (docs/verdicts.md); repeatable.", show_default=False
        ),
    ] = None,
    dry_run: DryRun = False,
    time_steps: TimeSteps = False,
) -> int:
    """Check that the tuned values transfer across width and depth.

    Returns:
        The verdict's exit status: 0 TRANSFERS, 1 DRIFTS, 3 INCONCLUSIVE, or a target that the check does not reach;
        where no rule is claimed, 0 or 3 as the ladder's law bounds what the target needs.
    """
    from rich.console import Console

    from hptransfer.checking.check import check
    from hptransfer.checking.forecast import wanted_trials
    from hptransfer.engine.forecast import forecast
    from hptransfer.report.check import CheckPrinter, save_check
    from hptransfer.report.forecast import show_forecast
    from hptransfer.report.tracking import session_of

    if dry_run or time_steps:
        found = forecast(TrainingCommand.CHECK, options, wanted_trials, time_steps=time_steps)
        return show_forecast(found, as_json=options.as_json)
    with session_of(options) as session:
        console = Console(quiet=options.as_json, highlight=False)
        printer = CheckPrinter(console, session.loaded.recipe.name, session.pool.workers, options.quiet)
        result = check(session, options.recipe, diagnostics=diagnostic or (), listener=printer)
        save_check(result, session.folder)
        session.announce("check", result.document)
    if options.as_json:
        print(json.dumps(result.document, indent=2, allow_nan=False))
    return result.exit_status
