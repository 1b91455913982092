"""`hptransfer run`: tune, check and scale in one go. Every step is resumable, so running it again continues."""

from __future__ import annotations

import json
import sys

from hptransfer.cli.options import DryRun, Force, TimeSteps, target_options
from hptransfer.engine.options import TrainingOptions


def run_command(
    options: TrainingOptions, *, force: Force = False, dry_run: DryRun = False, time_steps: TimeSteps = False
) -> int:
    """Tune, check and scale in one go; run again, it continues.

    Returns:
        The verdict's exit status: 0 TRANSFERS, 1 DRIFTS, 3 INCONCLUSIVE, or a target that the check does not reach.
    """
    from rich.console import Console

    from hptransfer.artifacts.json_data import to_document
    from hptransfer.checking.check import check
    from hptransfer.checking.diagnose import chosen_diagnostics
    from hptransfer.costing.forecast import forecast_run
    from hptransfer.report.check import CheckPrinter, save_check
    from hptransfer.report.forecast import show_forecast
    from hptransfer.report.scaled import describe_kept, print_open, print_scaled
    from hptransfer.report.tracking import session_of
    from hptransfer.report.tune import print_tuned, tune_progress
    from hptransfer.scaling.objections import no_target
    from hptransfer.scaling.registering import write_target
    from hptransfer.scaling.scale import scale
    from hptransfer.tuning.tune import tune

    if dry_run or time_steps:
        return show_forecast(forecast_run(options, time_steps=time_steps), as_json=options.as_json)
    console = Console(highlight=False, quiet=options.as_json)
    with session_of(options) as session:
        chosen_diagnostics(session.loaded.recipe, ())  # a name that leads nowhere is found before anything is trained
        with tune_progress(session, quiet=options.quiet) as progress:
            tuned = tune(session, progress)
        tuned.write(session.folder.tuned)
        session.announce("tune", tuned.model_dump(mode="json"))
        print_tuned(tuned, console, session.folder.tuned)
        console.print()
        printer = CheckPrinter(console, session.loaded.recipe.name, session.pool.workers, options.quiet)
        checked = check(session, options.recipe, listener=printer)
        save_check(checked, session.folder)
        session.announce("check", checked.document)
        target = None
        if force or checked.supports_target:
            scaled = scale(session.loaded, session.folder, options.recipe, force=force)
            kept = write_target(session.folder.target, scaled.target, scaled.text)
            if kept is not None:
                print(describe_kept(session.folder.target, kept), file=sys.stderr)
            target = scaled.target
            print_scaled(session.folder.target, target, console, checked=True)
        else:
            given = target_options(options.runs)
            refusal = no_target(checked.evidence, checked.outlook, options.recipe, given)
            console.print(refusal, markup=False, soft_wrap=True)
        console.print(f"results in {session.folder.path}", soft_wrap=True)
        if target is not None:
            print_open(checked, console)
    if options.as_json:
        document = {
            "tuned": tuned.model_dump(mode="json"),
            "transfer": checked.document,
            "target": None if target is None else to_document(target.document),
        }
        print(json.dumps(document, indent=2, allow_nan=False))
    return checked.exit_status
