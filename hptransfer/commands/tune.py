"""`hptransfer tune`: searches hyperparameters on the proxy and confirms the recommendation with fresh seeds."""

from __future__ import annotations

from hptransfer.cli.options import DryRun, TimeSteps
from hptransfer.engine.options import TrainingCommand, TrainingOptions


def tune_command(options: TrainingOptions, *, dry_run: DryRun = False, time_steps: TimeSteps = False) -> int:
    """Search hyperparameters on the proxy.

    The recommendation is confirmed with fresh seeds and written to `tuned.yaml`; run again, it continues or prints what
    it found.

    Returns:
        0 with a recommendation.

    Raises:
        RecipeError, UsageError, MachineError: it could not be run.
        BudgetError: the budget ended before that.
        InconclusiveError: every trial diverged, or no recommendation held.
        KeyboardInterrupt: Ctrl-C was pressed; finished trials are kept.
    """
    from rich.console import Console

    from hptransfer.checking.diagnose import chosen_diagnostics
    from hptransfer.engine.forecast import forecast
    from hptransfer.report.forecast import show_forecast
    from hptransfer.report.tracking import session_of
    from hptransfer.report.tune import print_tuned, tune_progress
    from hptransfer.tuning.forecast import wanted_trials
    from hptransfer.tuning.tune import tune

    if dry_run or time_steps:
        found = forecast(TrainingCommand.TUNE, options, wanted_trials, time_steps=time_steps)
        return show_forecast(found, as_json=options.as_json)
    with session_of(options) as session:
        chosen_diagnostics(session.loaded.recipe, ())  # a name that leads nowhere is found before anything is trained
        with tune_progress(session, quiet=options.quiet) as progress:
            tuned = tune(session, progress)
        tuned.write(session.folder.tuned)
        session.announce("tune", tuned.model_dump(mode="json"))
    if options.as_json:
        print(tuned.to_json(), end="")
    else:
        print_tuned(tuned, Console(highlight=False), session.folder.tuned)
    return 0
