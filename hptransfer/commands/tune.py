"""`hptransfer tune`: searches hyperparameters on the proxy and confirms the recommendation with fresh seeds."""

from __future__ import annotations

import json

from rich.console import Console

from hptransfer.engine.forecast import forecast
from hptransfer.engine.options import TrainingOptions
from hptransfer.report.forecast import forecast_document, print_forecast
from hptransfer.report.session import session_of
from hptransfer.tuning.forecast import wanted_trials
from hptransfer.tuning.result import (
    tuned_document,
)
from hptransfer.tuning.tune import print_tuned, tune


def tune_command(options: TrainingOptions, *, dry_run: bool) -> int:
    """Search, confirm, write `tuned.yaml` and print the result; run again, it continues or prints what it found.

    Args:
        options: of the command line.
        dry_run: print what it would take instead.

    Returns:
        0 with a recommendation.

    Raises:
        RecipeError, UsageError, MachineError: it could not be run.
        BudgetError: the budget ended before that.
        InconclusiveError: every trial diverged, or no recommendation held.
        KeyboardInterrupt: after Ctrl-C.
    """
    if dry_run:
        found = forecast("tune", options, wanted_trials)
        if options.as_json:
            print(json.dumps(forecast_document(found), indent=2, allow_nan=False))
        else:
            print_forecast(found, Console(highlight=False))
        return 0
    with session_of(options) as session:
        result = tune(session, quiet=options.quiet)
    if options.as_json:
        print(json.dumps(tuned_document(result), indent=2, allow_nan=False))
    else:
        print_tuned(result, Console(highlight=False), session.folder.tuned)
    return 0
