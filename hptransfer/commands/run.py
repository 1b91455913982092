"""`hptransfer run`: tune, check and scale in one go. Every step is resumable, so running it again continues."""

from __future__ import annotations

import json

from hptransfer.cli.options import DryRun, Force, TimeSteps
from hptransfer.engine.options import TrainingOptions
from hptransfer.files import write_atomically


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
    from hptransfer.report.scaled import describe_scaled
    from hptransfer.report.terminal import print_long
    from hptransfer.report.tracking import session_of
    from hptransfer.report.tune import print_tuned, tune_progress
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
            write_atomically(session.folder.target, scaled.text)
            target = scaled.target
            print_long(describe_scaled(session.folder.target, target, checked=True), console)
        else:
            print_long(
                f"no target.yaml: the verdict {checked.report.verdict} does not support one "
                "(--force writes it all the same)",
                console,
            )
        print_long(f"results in {session.folder.path}", console)
    if options.as_json:
        document = {
            "tuned": tuned.model_dump(mode="json"),
            "transfer": checked.document,
            "target": None if target is None else to_document(target.document),
        }
        print(json.dumps(document, indent=2, allow_nan=False))
    return checked.exit_status
