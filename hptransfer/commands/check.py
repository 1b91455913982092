"""`hptransfer check`: does the tuned value carry over to the sizes of the ladder?"""

from __future__ import annotations

import json

from rich.console import Console

from hptransfer.checking.check import check
from hptransfer.checking.forecast import wanted_trials
from hptransfer.engine.forecast import forecast
from hptransfer.engine.options import TrainingOptions
from hptransfer.report.forecast import forecast_document, print_forecast
from hptransfer.report.session import session_of


def check_command(options: TrainingOptions, *, sharpness: bool, noise_scale: bool = False, dry_run: bool) -> int:
    """Check transfer of the tuned values and print the verdict.

    Args:
        options: of the command line.
        sharpness: measure it whatever the recipe says.
        noise_scale: the same.
        dry_run: print what it would take instead.

    Returns:
        The verdict's exit status: 0 TRANSFERS, 1 DRIFTS, 3 INCONCLUSIVE.
    """
    if dry_run:
        found = forecast("check", options, wanted_trials)
        if options.as_json:
            print(json.dumps(forecast_document(found), indent=2, allow_nan=False))
        else:
            print_forecast(found, Console(highlight=False))
        return 0
    with session_of(options) as session:
        result = check(
            session,
            options.recipe,
            quiet=options.quiet,
            show=not options.as_json,
            sharpness=sharpness,
            noise_scale=noise_scale,
        )
    if options.as_json:
        print(json.dumps(result.document, indent=2, allow_nan=False))
    return result.report.verdict.exit_status
